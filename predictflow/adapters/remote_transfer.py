"""DVC's own transfer of objects, and a probe of one's own: what a remote does when it is written to."""

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from predictflow.adapters.remote import Remote
from predictflow.adapters.remote_errors import RemoteError, RemoteQuestion, explain
from predictflow.errors import masked

PROBES = ".predictflow-doctor"  # the folder of the remote that probes are put into
Done = Callable[[int], None]  # is told how many objects are done


def put_objects(remote: Remote, md5s: Iterable[str], done: Done) -> dict[str, RemoteError]:
    """Let DVC upload objects from its cache; {md5: why it was not} of those that were not."""
    cache = remote.repo.cache.local
    return _add(remote, cache, remote.storage.odb, md5s, done, "s3:PutObject", verify=False)


def get_objects(remote: Remote, md5s: Iterable[str], done: Done) -> dict[str, RemoteError]:
    """Let DVC bring objects into its cache, hash each, remove what is another; {md5: why it did not come}.

    What has no reason, and is not in the cache either, had other bytes.
    """
    cache = remote.repo.cache.local
    return _add(remote, remote.storage.odb, cache, md5s, done, "s3:GetObject", verify=True)


def _add(
    remote: Remote, source: Any, target: Any, md5s: Iterable[str], done: Done, right: str, verify: bool
) -> dict[str, RemoteError]:
    md5s, failed = sorted(md5s), {}

    def on_error(md5: str, error: BaseException) -> None:
        failed[md5] = explain(error, remote.asked(remote.place(md5), right))

    if not md5s:
        return failed
    _ = remote.files  # its retries
    try:
        target.add(
            [source.oid_to_path(md5) for md5 in md5s],
            source.fs,
            md5s,
            check_exists=False,
            on_error=on_error,
            callback=_callback(done),
            verify=verify,
        )
    except OSError as error:  # of the disk; or of a single file that did not come, which on_error was told
        if not failed:
            raise explain(error, RemoteQuestion(remote.url, "", right)) from error
    return failed


def _callback(done: Done) -> Any:
    """fsspec's way of telling how far a transfer is."""
    from fsspec.callbacks import Callback

    class Told(Callback):
        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            done(self.value)

    return Told()


def probe(remote: Remote) -> Iterator[tuple[str, str | None]]:
    """Put, ask for, read and delete a small object of one's own: each step, and what is wrong with it.

    Raises RemoteError where a step is refused.
    """
    text = os.urandom(64)
    path = remote.storage.fs.join(remote.storage.path, PROBES, uuid.uuid4().hex)
    place = masked(remote.storage.fs.unstrip_protocol(path))

    def step(what: Callable[[], Any], right: str) -> Any:
        try:
            return what()
        except Exception as error:
            raise explain(error, remote.asked(place, right)) from error

    if remote.folder:
        step(lambda: Path(path).parent.mkdir(parents=True, exist_ok=True), "")
    step(lambda: remote.files.pipe_file(path, text), "s3:PutObject")
    yield "put", None
    told = remote.info(path)
    if told is None:
        yield "head", f"{place} was put there, and is not there"
        return
    size = f"{place} has {told.size} bytes, and {len(text)} were put there"
    yield "head", None if told.size == len(text) else size
    back = step(lambda: remote.files.cat_file(path), "s3:GetObject")
    yield "get", None if back == text else f"{place} was put there, and other bytes come back"
    step(lambda: remote.files.rm_file(path), "s3:DeleteObject")
    yield "delete", f"{place} was deleted, and is still there" if remote.info(path) else None
