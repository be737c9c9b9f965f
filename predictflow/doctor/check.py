"""A check: one thing that was looked at, whether it is as it should be, and the cure where it is not."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from predictflow.audit.fixes import Fix
from predictflow.errors import Unreachable, masked
from predictflow.lineage.project import Project
from stages.support.errors import UserError

FIX = "`predictflow doctor --fix`"


class State(StrEnum):
    """What came of a check. A warning is what may stay as it is; unknown is what could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """What was found where something was looked at.

    Attributes:
        name: what docs/doctor.md calls it, for good; no two checks share one.
        message: what there is, or what is the matter, a sentence.
        cure: a command or what to do, for people; None where there is nothing to do.
        entry: the anchor in docs/runbook.md of what to do about it.
        fixes: what mends it; empty where that takes a decision.
    """

    name: str
    group: str
    state: State
    message: str
    cure: str | None = None
    entry: str | None = None
    fixes: tuple[Fix, ...] = ()


def _say_nothing(text: str) -> None: ...


@dataclass(frozen=True)
class Asked:
    """What a person wants looked at beside what is quick and near.

    Attributes:
        deep: all objects are read to their ends.
        remote: a remote, or a store, in a network is asked too.
        tell: says what is being looked at, to who waits.
    """

    deep: bool = False
    remote: bool = False
    tell: Callable[[str], None] = _say_nothing


@dataclass(frozen=True)
class Group:
    """Checks of one thing.

    Attributes:
        name: as `git`.
        entries: {name of a check: the anchor in docs/runbook.md of what to do where it says no}.
    """

    name: str
    entries: Mapping[str, str | None]

    def ok(self, name: str, message: str) -> Check:
        return Check(name, self.name, State.OK, message)

    def warning(self, name: str, message: str, cure: str | None, fixes: Iterable[Fix] = ()) -> Check:
        return self._wrong(name, State.WARNING, message, cure, fixes)

    def problem(self, name: str, message: str, cure: str | None, fixes: Iterable[Fix] = ()) -> Check:
        return self._wrong(name, State.PROBLEM, message, cure, fixes)

    def unknown(self, name: str, why: str, cure: str | None = None) -> Check:
        return Check(name, self.name, State.UNKNOWN, masked(why), cure)

    def _wrong(self, name: str, state: State, message: str, cure: str | None, fixes: Iterable[Fix]) -> Check:
        fixes = tuple(fixes)
        cure = ", or ".join(filter(None, [FIX if fixes else None, cure])) or None
        return Check(name, self.name, state, masked(message), cure, self.entries[name], fixes)

    def look(self, name: str, question: Callable[[], Check]) -> Check:
        """What a question yields; where what it looks at cannot be looked at, that, with the reason."""
        try:
            return question()
        except Exception as error:  # whatever it is: the other checks go on
            return self.unknown(name, *told(error))


Checks = Callable[[Project, Asked], Iterator[Check]]


def told(error: Exception) -> tuple[str, str | None]:
    """What an error says, in a line, and its cure."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'this project'}: {error.strerror}", None
    message, _, cure = str(error).partition("\nCure: ")
    message = " ".join(message.split())
    if not isinstance(error, UserError | Unreachable):  # nobody has foreseen it
        message = f"{type(error).__name__}: {message}"
    return message, " ".join(cure.split()) or None
