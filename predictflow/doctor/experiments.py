"""Experiments: has a killed `dvc exp run` left something that the next one runs, or stumbles over?"""

from collections.abc import Iterator
from dataclasses import dataclass

from predictflow.adapters import processes
from predictflow.adapters.dvc_commands import hold_dvc_lock
from predictflow.adapters.dvc_interrupted import interrupted_experiment
from predictflow.adapters.dvc_leftovers import STASH, waiting_experiments
from predictflow.adapters.git import Repository
from predictflow.audit.fixes import Fix, FixContext
from predictflow.doctor.check import Asked, Check, Group
from predictflow.doctor.leftovers import DropLock, ensure_nobody_works
from predictflow.formatting import some_of
from predictflow.lineage.project import Project

GROUP = Group(
    "experiments",
    {"waiting-experiments": None, "interrupted-experiment": "an-experiment-was-killed", "git-locks": None},
)
NAMED = 3  # experiments and files that are told
LOCKS = ("*.lock", "refs/**/*.lock")  # in Git's folder: of the index, of HEAD and of each ref


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    repository = project.repository
    repository.require_root()
    yield GROUP.look("waiting-experiments", lambda: _waiting(repository))
    yield GROUP.look("interrupted-experiment", lambda: _interrupted(repository))
    yield GROUP.look("git-locks", lambda: _git_locks(repository))


@dataclass(frozen=True)
class DropWaiting(Fix):
    """Let DVC forget the experiments that were killed before they began."""

    name = "drop experiments"
    names: tuple[str, ...]

    def apply(self, context: FixContext) -> str:
        repository = context.project.repository
        root = repository.require_root()
        with hold_dvc_lock(root):
            ensure_nobody_works(root)
            repository.read("update-ref", "-d", STASH)
        return f"killed before they began, and not run by the next one any more: {some_of([*self.names])}"


def _waiting(repository: Repository) -> Check:
    """DVC notes an experiment down, and takes the note away when it begins: the next `dvc exp run` runs all
    that it finds noted, also what was killed in between."""
    waiting = waiting_experiments(repository)
    if not waiting:
        return GROUP.ok("waiting-experiments", "none was killed before it began")
    if busy := processes.at_work(repository.require_root()):
        return GROUP.ok("waiting-experiments", f"noted down by {some_of(busy, 1)}, and about to begin")
    told = some_of(waiting, NAMED)
    message = f"killed before they began: {told}; the next `dvc exp run` would run them too"
    return GROUP.warning("waiting-experiments", message, "", [DropWaiting(tuple(waiting))])


def _interrupted(repository: Repository) -> Check:
    found = interrupted_experiment(repository)
    if found is None:
        return GROUP.ok("interrupted-experiment", "none was killed while DVC noted it down")
    if busy := processes.at_work(repository.require_root()):
        return GROUP.ok("interrupted-experiment", f"put aside for a moment, by {some_of(busy, 1)}")
    tell = GROUP.problem if found.certain else GROUP.warning
    return tell("interrupted-experiment", str(found), found.cure)


def _git_locks(repository: Repository) -> Check:
    root = repository.require_root()
    folder = root / repository.read("rev-parse", "--git-common-dir").strip()
    found = [path for pattern in LOCKS for path in folder.glob(pattern)]
    if not found:
        return GROUP.ok("git-locks", "Git holds none")
    told = some_of([str(path) for path in found], NAMED)
    if busy := [*processes.at_work(root), *processes.named(root, "git")]:
        return GROUP.ok("git-locks", f"{told}, by {some_of(busy, 1)}")
    message = f"left by a command that was killed, and Git and DVC stop at it: {told}"
    return GROUP.problem("git-locks", message, "", [DropLock(path) for path in found])
