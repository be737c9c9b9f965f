"""A commit checked out in a folder of its own, which is gone afterwards, also after a kill.

Each lies in .dvc/tmp/predictflow/rebuild/ beside a lock that its process holds. A lock that can be had is
that of a process which has ended: the next call removes what it has left behind.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from predictflow.adapters import processes
from predictflow.adapters.git import AS_STORED, Repository
from predictflow.adapters.processes import Children
from stages.support.errors import UserError

WORKTREES = Path(".dvc/tmp/predictflow/rebuild")
PROJECT = "project"


@contextmanager
def checked_out(repository: Repository, commit: str, running: Children) -> Iterator[Path]:
    """A folder of one's own with the commit in project/; both are removed at the end.

    Nothing of the user's working tree, index or refs changes, and no hook runs. Raises UserError where Git
    cannot do it, and Stopped.
    """
    root = repository.require_root()
    top = root / WORKTREES
    folder = top / uuid.uuid4().hex
    with _one_at_a_time(top):
        lock = _lock(folder)
        lock.acquire()
        folder.mkdir(mode=0o700)  # it will hold the passwords of DVC's remotes
    try:
        words = ["git", "-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--detach"]
        words += [str(folder / PROJECT), commit]
        env, log = processes.environ() | AS_STORED, folder / "git.log"
        if running.run(words, root, env, log):
            wrong = processes.end_of(log)
            raise UserError(f"commit {commit[:10]} cannot be checked out:\n{wrong}\nCure: `git fsck`.")
        yield folder
    finally:
        with _one_at_a_time(top):
            _remove(repository, folder)
            lock.release()


def clear(repository: Repository) -> None:
    """Remove what killed processes have left: their processes, worktrees, Git's entries for these, stores."""
    top = repository.require_root() / WORKTREES
    if not top.is_dir():
        return
    with _one_at_a_time(top):
        for folder in {path.with_suffix("") for path in top.iterdir() if path.name != ".lock"}:
            lock = _lock(folder)
            try:
                lock.acquire(timeout=0)
            except Timeout:  # it is at work
                continue
            processes.end_those_in(folder)
            _remove(repository, folder)
            lock.release()


def _one_at_a_time(top: Path) -> BaseFileLock:
    """Held while a folder comes or goes with its lock."""
    top.mkdir(parents=True, exist_ok=True)
    return FileLock(top / ".lock")


def _lock(folder: Path) -> BaseFileLock:
    """The lock of a folder, beside it. It is released by the system when its process ends in any way."""
    return FileLock(folder.with_suffix(".lock"))


def _remove(repository: Repository, folder: Path) -> None:
    """Git's entries go by hand: `git worktree remove` stumbles over a half-made one, and `prune` would
    also forget the user's own on a disk that is not there now."""
    common = Path(repository.read("rev-parse", "--path-format=absolute", "--git-common-dir").strip())
    for entry in common.glob("worktrees/*"):
        named = entry / "gitdir"
        if named.is_file() and Path(named.read_text().strip()).is_relative_to(folder):
            shutil.rmtree(entry, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
