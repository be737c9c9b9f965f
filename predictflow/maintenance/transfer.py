"""DVC's own transfer between a check before and a check after it.

Nothing wrong goes out, nothing wrong comes in, and what is told to be there was seen there.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from predictflow.adapters.dvc_storage import right_file
from predictflow.adapters.remote import Remote
from predictflow.adapters.remote_errors import RemoteError
from predictflow.adapters.remote_transfer import Done
from predictflow.errors import CouldNotTell
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.verification.remote_content import (
    Need,
    Needs,
    Tell,
    commits_meant,
    needed,
)
from stages.support.errors import UserError
from stages.support.progress import progress

PAUSES = (1, 4)  # seconds before what failed for a moment is tried again


@dataclass(frozen=True)
class Problem:
    """An object that is not where it should be.

    Attributes:
        place: its address on the remote.
        message: what is the matter.
    """

    need: Need
    place: str
    message: str
    cure: str

    def as_json(self) -> Json:
        named = {"md5": self.need.md5, "path": self.need.path, "key": self.place}
        return named | {"error": self.message, "cure": self.cure}


@dataclass(frozen=True)
class Transfer:
    """One push or pull: where from and where to, and what is needed."""

    project: Project
    remote: Remote
    needs: Needs
    tell: Tell

    def place(self, need: Need) -> Path:
        return self.project.storage.place(need.md5)

    def is_here(self, need: Need) -> bool:
        """Whether DVC's cache holds exactly these bytes."""
        return right_file(self.place(need), need.md5)

    def list_here(self, need: Need) -> bytes | None:
        """The list of a folder's files, from DVC's cache; None where that does not hold it."""
        return self.place(need).read_bytes() if self.is_here(need) else None

    def arrived(self, md5: str) -> bool:
        """Whether an object came as it should; what came otherwise goes."""
        need = self.needs.objects[md5]
        if self.is_here(need):
            return True
        self.place(need).unlink(missing_ok=True)
        return False

    def problem(self, need: Need, message: str, cure: str) -> Problem:
        return Problem(need, self.remote.place(need.md5), message, cure)

    def try_again(
        self,
        transfer: Callable[[Remote, Iterable[str], Done], dict[str, RemoteError]],
        needs: list[Need],
        word: str,
        is_done: Callable[[str], bool] = lambda md5: True,
    ) -> dict[str, RemoteError | None]:
        """Transfer objects, and those again that failed for a moment; why the others were not. None where no
        reason is told, and `is_done` says no."""
        left: dict[str, RemoteError | None] = dict.fromkeys(need.md5 for need in needs)
        for pause in (0, *PAUSES):
            again = [md5 for md5, error in left.items() if error is None or error.transient]
            if not again:
                break
            time.sleep(pause)
            failed = transfer(self.remote, again, partial(self._tell_done, word, len(again)))
            for md5 in again:
                if md5 in failed:
                    left[md5] = failed[md5]
                elif is_done(md5):
                    del left[md5]
                else:
                    left[md5] = None
        return left

    def _tell_done(self, word: str, count: int, done: int) -> None:
        self.tell(f"{word} {done:,} of {count:,} objects")


@contextmanager
def begin(project: Project, handle: str | None, everything: bool, word: str) -> Iterator[Transfer]:
    """A transfer with what is needed. What the remote refuses as a whole is raised as CouldNotTell."""
    root = project.repository.require_root()
    commits = commits_meant(project, handle, everything)
    try:
        with progress(f"{word}: reading what is needed") as tell:
            needs = needed(project, commits)
            if everything:
                needs.add(needed(project, None))
            if not needs.objects:
                raise UserError(
                    "DVC keeps nothing here, so nothing was looked at.\nCure: `dvc repro`, or `dvc add FILE`."
                )
            yield Transfer(project, Remote(root), needs, tell)
    except RemoteError as error:
        raise CouldNotTell(f"{error}\nCure: {error.cure}.") from error


def ask(remote: Remote, tell: Tell) -> None:
    """Raises RemoteError where the remote does not answer as one does, before anything is believed."""
    tell(f"asking {remote.url}")
    remote.ask()
    if wrong := remote.ask_for_nothing():
        raise RemoteError(wrong, "correct the address of the remote (`dvc remote list`, docs/remote.md)")


def answer(transfer: Transfer, problems: list[Problem], more: Json) -> Json:
    return {
        "remote": transfer.remote.url,
        "needed": len(transfer.needs.objects),
        "problems": [problem.as_json() for problem in problems],
        "elsewhere": transfer.needs.elsewhere,
        "not_looked_at": transfer.project.unseen,
    } | more


def named(need: Need) -> Json:
    return {"md5": need.md5, "path": need.path}
