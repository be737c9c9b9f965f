"""A Git repository, asked through Git's own command: its refs, its commits, and the files they hold."""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from predictflow.errors import CouldNotTell
from stages.support.errors import UserError

# Not refs/exps/exec/…, refs/exps/stash or the queue's: those are DVC's own bookkeeping.
EXPERIMENT_REF = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")
REF_KINDS = {"refs/heads/": "branch", "refs/remotes/": "branch", "refs/tags/": "tag"}
BLOBS_AT_ONCE = 500  # blobs held in memory
SHA1 = 40  # digits; a repository may also go by SHA-256
# Objects are read as they are stored, whatever `git replace`, a grafts file or the cache of commits would
# show in their place.
AS_STORED = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
NO_CACHE = ("-c", "core.commitGraph=false")
BROKEN = re.compile(r"^(?:error: |missing |broken |corrupt).*", re.MULTILINE)  # lines of `git fsck`


@dataclass(frozen=True)
class Ref:
    """A name for a commit.

    Attributes:
        kind: branch, tag or experiment (one of DVC's).
        name: as a person says it: main, origin/main, v1.0, shallow.
    """

    kind: str
    name: str
    commit: str


class Repository:
    """A repository with or without a working tree.

    Attributes:
        git_folder: the .git folder, or the bare repository itself; absolute.
        root: the top folder of the working tree; None for a bare repository.
        shallow: whether the clone was cut off, so that older commits are not here.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UserError where there is no repository around `folder`."""
        rev_parse = ["git", "-C", str(folder), "rev-parse"]
        about = ["--is-bare-repository", "--is-shallow-repository", "--absolute-git-dir"]
        try:
            asked = subprocess.run([*rev_parse, *about], capture_output=True, text=True)
        except FileNotFoundError:
            raise UserError("Git is not installed.\nCure: https://git-scm.com/downloads") from None
        if asked.returncode:
            raise UserError(
                f"{folder} is in no Git repository: {asked.stderr.strip()}\n"
                "Cure: run this in the project's folder, or name it: `predictflow --repo FOLDER …`."
            )
        bare, shallow, git_folder = asked.stdout.splitlines()
        self.git_folder = Path(git_folder)
        self.shallow = shallow == "true"
        self.root: Path | None = None
        if bare == "false":
            top = subprocess.run([*rev_parse, "--show-toplevel"], capture_output=True, text=True)
            self.root = Path(top.stdout.strip())

    @property
    def folder(self) -> Path:
        """Where Git works: the top folder, or the bare repository itself."""
        return self.root or self.git_folder

    def require_root(self) -> Path:
        """The top folder of the working tree. Raises UserError for a bare repository."""
        if self.root is None:
            raise UserError(f"{self.git_folder} is a bare repository.\nCure: `git clone` it, and go there.")
        return self.root

    def git(
        self, *words: str, given: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """What `git` says, however it ends; `env` comes on top of this process's own environment."""
        whole = os.environ | AS_STORED | dict(env or {})
        return subprocess.run(
            ["git", *NO_CACHE, *words], cwd=self.folder, input=given.encode(), capture_output=True, env=whole
        )

    def read(self, *words: str, given: str = "") -> str:
        """What `git` prints. Raises UserError where it fails."""
        done = self.git(*words, given=given)
        if done.returncode:
            raise UserError(
                f"`git {' '.join(words)}` failed: {done.stderr.decode(errors='replace').strip()}\n"
                "Cure: `git fsck` tells what is broken."
            )
        return done.stdout.decode(errors="replace")

    def commit(self, revision: str) -> str | None:
        """The id of the commit that a revision names."""
        done = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
        return done.stdout.decode().strip() if done.returncode == 0 else None

    @cached_property
    def head(self) -> str | None:
        """The commit checked out; None before the first one."""
        return self.commit("HEAD")

    @cached_property
    def refs(self) -> list[Ref]:
        """Every branch, tag and experiment of DVC's."""
        form = "%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)"
        refs = []
        for line in self.read("for-each-ref", f"--format={form}").splitlines():
            name, *objects = line.split()
            target, commit = objects[-2:]  # what an annotated tag points to comes last
            if target != "commit":
                continue
            if experiment := EXPERIMENT_REF.fullmatch(name):
                refs.append(Ref("experiment", experiment[1], commit))
            for prefix, kind in REF_KINDS.items():
                if name.startswith(prefix) and not name.endswith("/HEAD"):
                    refs.append(Ref(kind, name.removeprefix(prefix), commit))
        return refs

    @property
    def disguises(self) -> dict[str, str]:
        """{what shows Git's commands other objects or parents than are stored: the command against it}."""
        listed = self.read("for-each-ref", "--format=%(refname:strip=2)", "refs/replace/").split()
        disguises = {f"refs/replace/{name}": f"git replace -d {name}" for name in listed}
        grafts = self.folder / self.read("rev-parse", "--git-common-dir").rstrip("\n") / "info/grafts"
        return disguises | ({str(grafts): f"rm {grafts}"} if grafts.is_file() else {})

    def ids(self, names: list[str]) -> list[str | None]:
        """The id of what each name (`<commit>:<path>`) stands for; None where there is no such thing."""
        answer = self.read("cat-file", "--batch-check=%(objectname)", given="\n".join(names))
        return [None if line.endswith(" missing") else line for line in answer.splitlines()]

    def blobs(self, ids: list[str]) -> Iterator[tuple[str, bytes]]:
        """(id, bytes) of each blob, or other object, that is here.

        Raises CouldNotTell where Git holds other bytes than an id says.
        """
        for start in range(0, len(ids), BLOBS_AT_ONCE):
            chunk = ids[start : start + BLOBS_AT_ONCE]
            answer = self.git("cat-file", "--batch", given="\n".join(chunk)).stdout
            place = 0
            for blob in chunk:
                end = answer.index(b"\n", place)
                if answer[place:end].endswith(b" missing"):
                    place = end + 1
                    continue
                kind, size = answer[place:end].split()[1:]
                place = end + 1 + int(size) + 1
                text = answer[end + 1 : place - 1]
                hashed = hashlib.new("sha1" if len(blob) == SHA1 else "sha256", b"%s %s\0" % (kind, size))
                hashed.update(text)
                if hashed.hexdigest() != blob:
                    raise CouldNotTell(
                        f"Git's {kind.decode()} {blob} holds other bytes than its id says.\n"
                        "Cure: `git fsck` names its file; remove that, then `git fetch` from another clone."
                    )
                yield blob, text

    @property
    def broken(self) -> list[str]:
        """The objects that are not what their ids say, or not there, in the words of `git fsck`."""
        done = self.git("fsck", "--no-progress", "--no-dangling", "--no-reflogs")
        said = (done.stdout + done.stderr).decode(errors="replace")
        return BROKEN.findall(said) if done.returncode else []
