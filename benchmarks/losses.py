"""What a killed command may not lose or leave: benchmarks.kills looks for it after each kill."""

import hashlib
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from benchmarks.scenes import CACHED, OURS, World
from benchmarks.victims import Victim
from predictflow.adapters.processes import words_of, working_in
from tests.people.project import Project
from tests.people.waiting import until

MOST_SECONDS = 600  # for a command, on a machine that does other things
SECONDS_TO_END = 20  # that a process has which no command waits for
UNFINISHED = re.compile(r"^\.?tmp|\.tmp$|-journal$|\.part$|^\.predictflow$")  # names of what is not whole
HOLDS = ("waiting-experiments", "interrupted-experiment", "git-locks", "locks", "leftovers", "queue")


def call(project: Project, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Raises subprocess.TimeoutExpired where it hangs."""
    return subprocess.run(
        words,
        cwd=project.folder,
        env=project.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
    )


@dataclass(frozen=True)
class State:
    """What nobody may lose.

    Attributes:
        refs: tags, branches and experiments, each with its object.
        head: the branch that is checked out, or the commit.
        stash: what its owner has put away.
        files: the working tree's files that are not as Git has them, as `git status` tells.
    """

    runs: frozenset[str]
    versions: frozenset[int]
    refs: frozenset[str]
    head: str
    stash: str
    files: str
    params: str


def state(project: Project) -> State:
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as store:
        runs = {run for (run,) in store.execute("SELECT run_uuid FROM runs")}
        versions = {number for (number,) in store.execute("SELECT version FROM model_versions")}

    def git(*words: str) -> str:
        return call(project, ("git", *words)).stdout

    refs = git(
        "for-each-ref", "--format=%(refname) %(objectname)", "refs/tags", "refs/heads", "refs/exps/*/*/*"
    )
    return State(
        frozenset(runs),
        frozenset(versions),
        frozenset(refs.splitlines()),
        git("symbolic-ref", "--quiet", "HEAD") or git("rev-parse", "HEAD"),
        git("stash", "list"),
        git("--no-optional-locks", "status", "--porcelain"),
        project.read("params.yaml"),
    )


Looked = dict[str, dict]  # what `predictflow doctor` finds that is not well, by the name of its check


def doctor(project: Project) -> Looked:
    """Audit's findings and the store's integrity are among its checks."""
    checks = json.loads(call(project, (*OURS, "doctor", "--json")).stdout)["checks"]
    return {check["name"]: check for check in checks if check["state"] != "ok"}


@dataclass(frozen=True)
class Meant:
    """How all is where nobody kills the command.

    Attributes:
        looked: what doctor says of this project in any case.
        same: as Victim has it.
    """

    state: State
    looked: Looked
    same: object

    def told(self, looked: Looked) -> list[str]:
        """The names of the checks that find what is not so in any case."""
        return sorted(looked.keys() - self.looked.keys())


def meant(project: Project, victim: Victim, world: World) -> Meant:
    """What a command has made that nobody killed."""
    return Meant(state(project), doctor(project), victim.same(project, world))


def cure(project: Project, looked: Looked) -> Looked:
    """Do what `predictflow doctor` says of what it has found, and look again."""
    if experiment := looked.get("interrupted-experiment"):
        for command in re.findall("`(git [^`]+)`", experiment["cure"]):
            call(project, tuple(command.split()))
    if "leftovers" in looked:
        call(project, (*OURS, "prune", "--yes"))
    call(project, (*OURS, "doctor", "--fix"))
    return doctor(project)


def wrongs(
    project: Project, victim: Victim, world: World, before: State, meant: Meant, looked: Looked
) -> Iterator[str]:
    """What is lost, does not agree, or was left, a sentence each."""
    yield from _processes(project)
    after = state(project)
    yield from _lost(victim, before, after, meant.state)
    if victim.same(project, world) != meant.same:
        yield "what it makes is not what it makes where nobody kills it"
    if more := meant.told(looked):
        yield f"doctor says: {'; '.join(looked[name]['message'] for name in more)[:300]}"
    yield from _git(project)
    yield from _bytes(project)
    yield from _unfinished(project)


def _processes(project: Project) -> Iterator[str]:
    """What goes on working there, though nobody waits for it."""
    top = project.folder.parent
    try:
        until(lambda: not working_in(top), "the end of all processes", SECONDS_TO_END)
    except AssertionError:
        yield f"processes go on: {[' '.join(words_of(process)) for process in working_in(top)]}"


def _lost(victim: Victim, before: State, after: State, meant: State) -> Iterator[str]:
    if not (victim.removes or victim.makes_anew) and (lost := before.runs - after.runs):
        yield f"{len(lost)} runs are lost"
    # Of a store made anew only what has a receipt or is committed comes back: `audit` holds it to that.
    if not victim.makes_anew and (lost_versions := before.versions - after.versions):
        yield f"versions {sorted(lost_versions)} are lost"
    if lost_refs := {ref.split()[0] for ref in before.refs & meant.refs - after.refs}:
        yield f"lost, or others: {', '.join(sorted(lost_refs))}"
    for name in ("head", "stash", "files", "params"):
        if (found := getattr(after, name)) != getattr(meant, name):
            yield f"{name} is another: {found[:80]!r}, not {getattr(meant, name)[:80]!r}"


def _git(project: Project) -> Iterator[str]:
    for folder in (project.folder, project.folder.parent / "origin.git"):
        done = call(project, ("git", "-C", str(folder), "fsck", "--no-progress", "--no-dangling"))
        if done.returncode:
            yield f"git fsck of {folder.name}: {done.stderr.strip()[:200]}"
    git = project.folder / ".git"
    if locks := [*git.glob("*.lock"), *git.glob("refs/**/*.lock")]:
        yield f"Git is locked: {', '.join(path.name for path in locks)}"


def _bytes(project: Project) -> Iterator[str]:
    """Each object of DVC's cache has the bytes that its name says, and each copy of the store is whole."""
    for path in (project.folder / CACHED).glob("??/*"):
        name = path.parent.name + path.name
        if not name.endswith(".tmp") and hashlib.md5(path.read_bytes()).hexdigest() != name.removesuffix(
            ".dir"
        ):
            yield f"{name} in DVC's cache has other bytes"
    for path in (project.folder / "mlflow_data").glob("**/*.db"):
        with closing(sqlite3.connect(path)) as store:
            if (said := store.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                yield f"{path.name}: {said}"


def _unfinished(project: Project) -> Iterator[str]:
    """Files and folders by whose name nobody is to find anything whole."""
    top = project.folder.parent
    own = (project.folder / ".dvc/tmp", project.folder / ".git", top / "tmp")  # .dvc/tmp is a folder of DVC's
    found = [
        path
        for path in top.rglob("*")
        if UNFINISHED.search(path.name) and path not in own and not path.is_relative_to(top / "tmp")
    ]
    if found:
        yield f"left: {', '.join(str(path.relative_to(top)) for path in found[:3])}"
    if left := [path.name for path in (project.folder / ".dvc/tmp/exps").glob("**/tmp*")]:
        yield f"folders of experiments are left: {', '.join(left[:3])}"
    if left := list((project.folder / ".dvc/tmp/predictflow/rebuild").glob("[!.]*")):
        yield f"{len(left)} of rebuilds are left"
