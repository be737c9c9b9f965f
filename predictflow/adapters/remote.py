"""The default remote, asked through DVC's own file systems: what it holds, and what it lets one do.

Every wait has an end: a server that does not answer is told within ANSWER_TIMEOUT, and S3's questions are
asked again, at growing distances, only where that may help.
"""

import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictflow.adapters.remote_errors import NO_S3, RemoteError, RemoteQuestion, absent, code_of, explain
from predictflow.errors import masked
from stages.support import hashes
from stages.support.deadline import in_time

ANSWER_TIMEOUT = 30  # seconds for the first answer
CONNECT_TIMEOUT, READ_TIMEOUT = 10, 30  # seconds without a byte, where DVC's settings say nothing
ATTEMPTS = {
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "3",
}  # botocore's, where the environment says nothing
S3FS_RETRIES = 2  # each of botocore's attempts again: of a body that was cut
AT_ONCE = 16  # questions
UNLISTED = ("NoSuchUpload", "NotImplemented")  # of servers that tell no uploads in parts, as rclone's
MD5_ETAG = re.compile(r"[0-9a-f]{32}")
OBJECT_KEY = re.compile(r"/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)$")
METHODS = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the credentials file (~/.aws/credentials)",
    "config-file": "the config file (~/.aws/config)",
    "iam-role": "this machine's role",
    "container-role": "this container's role",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity",
    "sso": "single sign-on",
}


@dataclass(frozen=True)
class RemoteObject:
    """What a remote tells of an object.

    Attributes:
        size: bytes; None where it tells none.
        etag: as the server tells it, often the md5; None where it tells none.
    """

    size: int | None
    etag: str | None = None


class Remote:
    """A remote as DVC's settings name it.

    Attributes:
        url: its address, without a password.
        is_s3: whether S3 is spoken there: errors name rights, lists tell ETags.
        folder: where it is a folder of this machine.
        repo, storage: DVC's own objects for the project, and for the remote.
    """

    def __init__(self, root: Path, name: str | None = None) -> None:
        """Raises RemoteError where none is set, or DVC cannot use it."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        for key, value in ATTEMPTS.items():
            os.environ.setdefault(key, value)
        try:
            self.repo = Repo(str(root))
            name = name or self.repo.config["core"].get("remote")
            settings = self.repo.config["remote"].get(name, {})
            if str(settings.get("url", "")).startswith("s3://"):
                settings.setdefault("connect_timeout", CONNECT_TIMEOUT)
                settings.setdefault("read_timeout", READ_TIMEOUT)
            self.storage = self.repo.cloud.get_remote(name, "push")
            if self.storage.worktree or self.storage.fs.version_aware:
                raise RemoteError(
                    f"the remote {name} keeps versions by itself, which holds no objects by their md5s",
                    "`dvc push` and `dvc pull` know it; what it holds is not checked",
                )
        except DvcException as error:
            raise RemoteError(
                f"no remote can be used: {error}",
                "`dvc remote add --default NAME s3://BUCKET` (docs/remote.md)",
            ) from error
        self.name, self.url = str(name), masked(self.storage.fs.unstrip_protocol(self.storage.path))
        self.is_s3 = self.storage.fs.protocol == "s3"
        self.folder = Path(self.storage.path) if self.storage.fs.protocol in ("local", "file") else None
        self._whose = ""

    # --- what it is, and whose credentials ask ---------------------------------------------------------

    def ask(self) -> None:
        """Let it answer once. Raises RemoteError where it does not in ANSWER_TIMEOUT seconds, or refuses."""
        self._in_time(self._first_question, RemoteQuestion(self.url, "", "s3:ListBucket"))

    def whose(self) -> str:
        """Whose credentials ask: where they were found, and the end of the access key; never the secret."""
        if not self._whose and self.is_s3:
            self._whose = self._in_time(self._find_credentials, RemoteQuestion(self.url, ""))
        return self._whose

    def _find_credentials(self) -> str:
        from fsspec.asyn import sync

        config = self.storage.config
        if config.get("access_key_id"):
            return f"The keys are {_end_of(config['access_key_id'])}, of DVC's settings of {self.name}"
        if config.get("allow_anonymous_login"):
            return "No keys were sent: allow_anonymous_login is set"
        files = self.files
        found = sync(files.loop, files.session.get_credentials, timeout=ANSWER_TIMEOUT)
        if found is None:
            return "No keys were found"
        profile = files.session.profile
        method = METHODS.get(found.method, found.method)
        of = f", profile {profile}" if profile and found.method != "env" else ""
        return f"The keys are {_end_of(found.access_key)}, of {method}{of}"

    def asked(self, what: str, right: str | None = None) -> RemoteQuestion:
        """What an error is explained with."""
        try:
            whose = self.whose()
        except RemoteError:  # the question itself tells it
            whose = ""
        return RemoteQuestion(what, whose, right)

    @property
    def files(self) -> Any:
        """fsspec's file system of it."""
        files = self.storage.fs.fs
        if self.is_s3:
            files.retries = S3FS_RETRIES
        return files

    def _in_time(self, question: Callable[[], Any], asked: RemoteQuestion) -> Any:
        """The answer to a question. Raises RemoteError for what it raises, and after ANSWER_TIMEOUT."""
        try:
            return in_time(question, ANSWER_TIMEOUT, f"not within {ANSWER_TIMEOUT} seconds")
        except RemoteError:
            raise
        except Exception as error:
            raise explain(error, asked) from error

    def _first_question(self) -> None:
        """A list first: of all of S3's answers, it alone tells why something is refused."""
        if self.is_s3:
            try:
                self._list(self._key(""), most=1)
            except Exception as error:
                raise explain(error, self.asked(self.url, "s3:ListBucket")) from error
        elif self.folder:  # the first push makes it
            if self.folder.exists():
                next(self.folder.iterdir(), None)
        else:
            self.look_up([uuid.uuid4().hex])

    # --- what it holds ---------------------------------------------------------------------------------

    def place(self, md5: str) -> str:
        """The whole address of an object, for people."""
        return masked(self.storage.fs.unstrip_protocol(self.path(md5)))

    def path(self, md5: str) -> str:
        return self.storage.odb.oid_to_path(md5)

    def look_up(self, md5s: Iterable[str]) -> dict[str, RemoteObject]:
        """Those of some objects that are there. Raises RemoteError where that cannot be told."""
        md5s = set(md5s)
        with ThreadPoolExecutor(AT_ONCE) as executor:
            if self.is_s3:
                lists = executor.map(self._of_prefix, sorted({md5[:2] for md5 in md5s}))
                held = {md5: found for listed in lists for md5, found in listed.items()}
                return {md5: held[md5] for md5 in md5s & held.keys()}
            answers = executor.map(self._head, md5s)
            return {md5: found for md5, found in zip(md5s, answers, strict=True) if found}

    def _of_prefix(self, prefix: str) -> dict[str, RemoteObject]:
        folder = self.path(prefix + "0")[:-1]
        try:
            listed = self._list(self._key(folder))
        except Exception as error:
            raise explain(error, self.asked(self.url, "s3:ListBucket")) from error
        named = ((OBJECT_KEY.search(entry["Key"]), entry) for entry in listed)
        return {
            found[1] + found[2]: RemoteObject(entry["Size"], entry.get("ETag", "").strip('"'))
            for found, entry in named
            if found
        }

    def _list(self, prefix: str, most: int | None = None) -> list[dict[str, Any]]:
        """S3's own list of what begins with a key, asked anew each time: s3fs would answer from memory."""
        entries: list[dict[str, Any]] = []
        more: dict[str, Any] = {"MaxKeys": most} if most else {}
        while True:
            answer = self.files.call_s3("list_objects_v2", Bucket=self.bucket, Prefix=prefix, **more)
            entries += answer.get("Contents", [])
            if most or not answer.get("IsTruncated"):
                return entries
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    @property
    def bucket(self) -> str:
        return self.files.split_path(self.storage.path)[0]

    def _key(self, path: str) -> str:
        return self.files.split_path(path or self.storage.path)[1]

    def _head(self, md5: str) -> RemoteObject | None:
        return self.info(self.path(md5))

    def info(self, path: str) -> RemoteObject | None:
        """What is told of one place; None where nothing is. Not `exists`, which takes every failure for a no.

        Raises RemoteError.
        """
        try:
            if self.is_s3:
                told = self.files.call_s3("head_object", Bucket=self.bucket, Key=self._key(path))
                return RemoteObject(told["ContentLength"], told.get("ETag", "").strip('"'))
            info = self.storage.fs.info(path)
        except Exception as error:
            if absent(error):
                return None
            place = masked(self.storage.fs.unstrip_protocol(path))
            raise explain(error, self.asked(place, "s3:GetObject")) from error
        return RemoteObject(info.get("size"))

    def ask_for_nothing(self) -> str | None:
        """What is wrong with the answer when an object is asked for that cannot be there; None for a no.

        Raises RemoteError where the answer is neither.
        """
        md5 = uuid.uuid4().hex
        if self._head(md5) is None:
            return None
        return f"{self.place(md5)}, which nobody has put there, is said to be there: {NO_S3}"

    def hash_of(self, md5: str) -> str:
        """The md5 of an object's bytes as they come from there. Raises RemoteError."""
        if self.folder:
            return hashes.md5(Path(self.path(md5)))
        with tempfile.TemporaryDirectory(dir=self.repo.tmp_dir) as folder:
            file = Path(folder, "object")
            try:
                self.storage.fs.get_file(self.path(md5), str(file))
            except Exception as error:
                raise explain(error, self.asked(self.place(md5), "s3:GetObject")) from error
            return hashes.md5(file)

    def read(self, md5: str) -> bytes:
        """The bytes of a small object. Raises RemoteError."""
        try:
            return self.files.cat_file(self.path(md5))
        except Exception as error:
            raise explain(error, self.asked(self.place(md5), "s3:GetObject")) from error

    def unfinished_uploads(self) -> int:
        """How many uploads in parts were begun and never ended: they are paid for. Raises RemoteError."""
        if not self.is_s3:
            return 0
        try:
            prefix = self._key("")
            told = self.files.call_s3("list_multipart_uploads", Bucket=self.bucket, Prefix=prefix)
        except Exception as error:
            if code_of(error) in UNLISTED:
                return 0
            asked = self.asked(self.url, "s3:ListBucketMultipartUploads")
            raise explain(error, asked) from error
        return len(told.get("Uploads", []))


def _end_of(access_key: str) -> str:
    """An access key as people tell theirs apart."""
    return f"…{access_key[-4:]}"
