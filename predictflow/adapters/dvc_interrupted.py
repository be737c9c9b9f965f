"""What a killed `dvc exp run` had put aside: HEAD, params.yaml, and what its owner had not committed.

To note an experiment down, DVC puts the changes of the working tree into `git stash`, takes HEAD off its
branch, writes the experiment's params, and takes all of it back. Killed in between it leaves it so.
"""

from dataclasses import dataclass

from predictflow.adapters import processes
from predictflow.adapters.dvc_commands import hold_dvc_lock
from predictflow.adapters.dvc_leftovers import STASH, waiting_experiments
from predictflow.adapters.git import Repository
from predictflow.formatting import some_of
from stages.support.errors import UserError
from stages.support.paths import PARAMS

PACKED = ".dvc/tmp/repro.dat"  # in Git's index only while DVC notes an experiment down
OF_LIBGIT2 = b"\n\n"  # with which the message of a stash's index ends; Git's own has one line feed
IN_WORKSPACE = "refs/exps/exec/EXEC_MERGE"  # there while an experiment runs in the working tree itself


@dataclass(frozen=True)
class Interrupted:
    """What is not where its owner had it.

    Attributes:
        branch: that HEAD was taken off, and whose tip it is; None where it is on one.
        params: whether params.yaml has the experiment's params.
        stash: which entry of `git stash` holds what was not committed; None where none does.
        doubled: whether the working tree holds the same as that entry.
    """

    branch: str | None
    params: bool
    stash: int | None
    doubled: bool

    @property
    def certain(self) -> bool:
        """Whether nobody does that by hand: by his branch's whole id a person may have checked it out."""
        return self.params or self.stash is not None

    def __str__(self) -> str:
        left = [f"HEAD beside {self.branch}, not on it"] * bool(self.branch)
        left += [f"the experiment's params in {PARAMS}"] * self.params
        left += ["what was not committed in `git stash`"] * (self.stash is not None)
        return f"a killed `dvc exp run` has left {some_of(left)}"

    @property
    def cure(self) -> str:
        """Commands that bring all back, in their order."""
        steps = []
        if self.branch and self.certain:
            steps.append(
                f"`git diff HEAD` shows what then goes: `git switch --discard-changes {self.branch}`"
            )
        elif self.branch:
            steps.append(f"`git switch {self.branch}`")
        if self.stash is not None:
            verb = "drop" if self.doubled and not self.branch else "pop"
            steps.append(f"`git stash {verb} stash@{{{self.stash}}}`")
        return ", then ".join(steps)


def interrupted_experiment(repository: Repository) -> Interrupted | None:
    """What a killed `dvc exp run` has left, or one at work has put aside for a moment; None of neither."""
    branch, stash = _left_branch(repository), _stash(repository)
    if branch is None and stash is None:
        return None
    params = branch is not None and _notes_down(repository)
    entry = f"stash@{{{stash}}}"
    doubled = stash is not None and not repository.git("diff", "--quiet", entry, "--").returncode
    return Interrupted(branch, params, stash, doubled)


def _left_branch(repository: Repository) -> str | None:
    """The branch that HEAD was last on, where it is at its tip and was taken off by the whole id of that."""
    head = repository.head
    if head is None or not repository.git("symbolic-ref", "--quiet", "HEAD").returncode:
        return None
    moves = repository.git("log", "--walk-reflogs", "--format=%gs", "HEAD", "--").stdout.decode().splitlines()
    of_the_next = (f"checkout: moving from {head} to {head}", "dvc: Restore HEAD", "commit: dvc: commit exp")
    move = next((move for move in moves if not move.startswith(of_the_next)), "")
    branch = move.removeprefix("checkout: moving from ").removesuffix(f" to {head}")
    taken_off = move == f"checkout: moving from {branch} to {head}"
    return branch if taken_off and repository.commit(f"refs/heads/{branch}") == head else None


def _notes_down(repository: Repository) -> bool:
    """Whether it was at it: its own file, or changed params, are in Git's index, and it ran apart."""
    if not repository.git("rev-parse", "--verify", "--quiet", IN_WORKSPACE).returncode:
        return False
    staged = repository.read("diff", "--cached", "--name-only", "HEAD", "--", PARAMS.as_posix(), PACKED)
    return bool(staged)


def _stash(repository: Repository) -> int | None:
    """The newest entry of `git stash` that Git itself has not made, but the library that DVC uses."""
    if repository.git("rev-parse", "--verify", "--quiet", "refs/stash").returncode:
        return None
    entries = repository.read("log", "--walk-reflogs", "--format=%P", "refs/stash", "--").splitlines()
    for number, parents in enumerate(entries):
        index = parents.split()[1:2]
        if index and repository.git("cat-file", "commit", *index).stdout.endswith(OF_LIBGIT2):
            return number
    return None


def ensure_ready(repository: Repository, name: str) -> None:
    """Raise UserError where an experiment of DVC's would begin with what a killed one has left, or would run
    that one too. One of this name that was killed before it began is forgotten: it begins now."""
    root = repository.require_root()
    if processes.at_work(root):  # what it has put aside, it takes back
        return
    if found := interrupted_experiment(repository):
        raise UserError(f"{found}.\nCure: {found.cure}; docs/runbook.md tells more.")
    waiting = waiting_experiments(repository)
    if others := [other for other in waiting if other != name]:
        raise UserError(
            f"killed before they began, and DVC would run them too: {some_of(others)}.\n"
            "Cure: `predictflow doctor --fix` lets DVC forget them."
        )
    if waiting:
        with hold_dvc_lock(root):
            repository.read("update-ref", "-d", STASH)
