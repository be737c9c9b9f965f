"""All checks, group by group, and what `doctor --fix` does about them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from predictflow.audit.fixes import FixContext, apply_fix
from predictflow.doctor import cache, disk, environment, experiments, git, pipeline, registry, remote, store
from predictflow.doctor.check import Asked, Check, Checks, Group, State, told
from predictflow.errors import Unreachable
from predictflow.lineage.project import Project
from stages.support.errors import UserError
from stages.support.progress import progress

# In the order in which they are looked at and told.
GROUPS: tuple[tuple[Group, Checks], ...] = (
    (environment.GROUP, environment.checks),
    (git.GROUP, git.checks),
    (pipeline.GROUP, pipeline.checks),
    (experiments.GROUP, experiments.checks),
    (disk.GROUP, disk.checks),
    (cache.GROUP, cache.checks),
    (remote.GROUP, remote.checks),
    (store.GROUP, store.checks),
    (registry.GROUP, registry.checks),
)


@dataclass(frozen=True)
class Examined:
    """What was found.

    Attributes:
        mended: what was done by `--fix`, a sentence each.
        failed: what could not be done, each with its reason.
    """

    checks: list[Check]
    mended: list[str]
    failed: list[str]


def examine(project: Project, asked: Asked) -> list[Check]:
    """What every check finds; nothing is changed."""
    checks: list[Check] = []
    with progress("looking") as tell:
        for group, look in GROUPS:
            tell(f"looking at {group.name}")
            checks += guarded(group, look, project, replace(asked, tell=tell))
    return checks


def guarded(group: Group, look: Checks, project: Project, asked: Asked) -> Iterator[Check]:
    """The checks of a group; where it cannot go on, what is left of it is not known, for that reason."""
    left = dict(group.entries)
    try:
        for check in look(project, asked):
            left.pop(check.name, None)
            yield check
    except Exception as error:  # whatever it is: the other groups go on
        for name in left:
            yield group.unknown(name, *told(error))


def mend(project: Project, asked: Asked) -> Examined:
    """Do what takes no decision, and look again."""
    root = project.repository.require_root()
    checks = examine(project, asked)
    mended: list[str] = []
    failed: list[str] = []
    context = FixContext(project, project.model or "")
    for fix in dict.fromkeys(fix for check in checks for fix in check.fixes):
        try:
            mended.append(apply_fix(fix, context))
        except (UserError, Unreachable, OSError) as error:
            failed.append(f"{fix}: {told(error)[0]}")
    if mended or failed:
        checks = examine(Project.enter(root, keep=False), asked)
    return Examined(checks, mended, failed)


def exit_code(checks: list[Check]) -> int:
    """0 healthy, 1 something is wrong, 2 something could not be looked at."""
    states = {check.state for check in checks}
    return 1 if State.PROBLEM in states else 2 if State.UNKNOWN in states else 0
