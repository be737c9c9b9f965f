"""Commands that are killed with SIGKILL at random moments: is anything lost, does anything stay stuck?

    python -m benchmarks.kills --kills 200 --seed 1
    python -m benchmarks.kills --kills 20 --only promote     # Ctrl-C tells what was counted until then

Each kill meets a copy of its own of a project with a history, an origin and three promotions. The moment is
drawn from the time that the command takes where nobody kills it. Then the same command is given again, and
what is left is held against what was there: runs, versions, receipts, bytes, dvc.lock and params.yaml.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests import templates
from tests.people.older import make_older
from tests.people.project import Project

MODEL = "churn-predictor"
MOST_SECONDS = 300  # for a command, on a machine that does other things
OURS = ("python", "-m", "predictflow.cli")


def _nothing(project: Project) -> None:
    """As the template is."""


def _other_params(project: Project) -> None:
    project.edit("params.yaml", "rounds: 25", "rounds: 20")


def _no_store(project: Project) -> None:
    (project.folder / "mlflow_data").rename(project.folder.parent / "away")


def _garbage(project: Project) -> None:
    for number in range(20):
        path = project.folder / "mlflow_data/artifacts" / f"{number:032x}" / "artifacts/model.ubj"
        path.parent.mkdir(parents=True)
        path.touch()


def _disagreement(project: Project) -> None:
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as store, store:
        store.execute("UPDATE model_versions SET current_stage = 'Archived'")
        store.execute("DELETE FROM registered_model_aliases")


def _older_store(project: Project) -> None:
    for path in (project.folder / "mlflow_data").glob("mlflow.db*"):
        path.unlink()
    database = make_older(project.folder / "mlflow_data/mlflow.db")
    with closing(sqlite3.connect(database)) as store, store:
        there = (database.parent / "artifacts").as_uri()
        store.execute("UPDATE experiments SET artifact_location = ?", [there])


@dataclass(frozen=True)
class Victim:
    """A command that writes.

    Attributes:
        prepare: what lets it have something to do.
        another: whether its store is not that of the template, so that only its own rows are looked at.
    """

    name: str
    words: tuple[str, ...]
    prepare: Callable[[Project], None] = _nothing
    another: bool = False


VICTIMS = (
    Victim("promote", (*OURS, "promote", f"{MODEL}/1", "--to", "production")),
    Victim("rollback", (*OURS, "rollback")),
    Victim("restore", (*OURS, "restore"), _no_store),
    Victim("prune", (*OURS, "prune", "--yes"), _garbage),
    Victim("audit --fix", (*OURS, "audit", "--fix"), _disagreement),
    Victim("predict", (*OURS, "predict", f"{MODEL}/1", "data/customers.csv", "--output", "../scores.csv")),
    Victim("store backup", (*OURS, "store", "backup")),
    Victim("store upgrade", (*OURS, "store", "upgrade"), _older_store, another=True),
    Victim("dvc repro", ("dvc", "repro"), _other_params),
    Victim(
        "dvc exp run --temp", ("dvc", "exp", "run", "--temp", "--force", "-S", "models.xgboost.max_depth=1")
    ),
)


@dataclass
class Count:
    """What came of the kills of a command.

    Attributes:
        seconds: that the command takes where nobody kills it.
        kills: those that met it at work; a command that had ended before is killed anew.
        again: those after which the same command ended well.
        whole: those after which nothing was lost and all agreed.
        wrong: what was not as it should be, a sentence each.
    """

    seconds: float = 0
    kills: int = 0
    again: int = 0
    whole: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """What nobody may lose."""

    runs: frozenset[str]
    versions: frozenset[int]
    receipts: frozenset[str]
    params: str


def state(project: Project) -> State:
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as store:
        runs = {run for (run,) in store.execute("SELECT run_uuid FROM runs")}
        versions = {number for (number,) in store.execute("SELECT version FROM model_versions")}
    tags = project.run("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/tags").stdout
    params = project.read("params.yaml")
    return State(frozenset(runs), frozenset(versions), frozenset(tags.splitlines()), params)


def wrongs(project: Project, victim: Victim, before: State) -> Iterator[str]:
    """What is lost, or does not agree, after the same command was given again."""
    after = state(project)
    may_go = ("prune", "restore")  # one removes what nobody needs; of the other there was no store
    if victim.name not in may_go and (lost := before.runs - after.runs):
        yield f"{len(lost)} runs are lost"
    # Of the other only what has a receipt or is committed comes back: `audit` below holds it to that.
    if victim.name != "restore" and (lost_versions := before.versions - after.versions):
        yield f"versions {sorted(lost_versions)} are lost"
    if lost_receipts := before.receipts - after.receipts:
        yield f"{len(lost_receipts)} tags are lost or others"
    if after.params != before.params:
        yield "params.yaml is another"
    for words in (("store", "check"), *(() if victim.another else (("audit",),))):
        done = _call(project, (*OURS, *words, "--json"))
        if done.returncode:
            answer = json.loads(done.stdout)
            told = [one.get("told") or one["message"] for one in answer.get("findings", answer.get("checks"))]
            yield f"{' '.join(words)} ended with {done.returncode}: {'; '.join(told)[:300]}"
    if victim.name in ("dvc repro", "dvc exp run --temp"):
        done = _call(project, ("dvc", "status", "--quiet"))
        if done.returncode and victim.name == "dvc repro":
            yield "dvc.lock is not in step"
        git = project.folder / ".git"
        if [*git.glob("*.lock"), *git.glob("refs/**/*.lock")]:
            yield "Git is locked"


def _call(project: Project, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=project.folder, env=project.env, capture_output=True, text=True, timeout=MOST_SECONDS
    )


def kill(project: Project, words: tuple[str, ...], after: float) -> bool:
    """Start a command and kill it with all that it started; whether it was still at work."""
    process = subprocess.Popen(
        words,
        cwd=project.folder,
        env=project.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def fresh(top: Path, victim: Victim) -> tuple[Project, State]:
    """A copy of the project in which the command has something to do, and what is there."""
    shutil.rmtree(top, ignore_errors=True)
    templates.copy("audited", top)
    templates.relocate(top)
    project = Project(top / "project", top / "home")
    project.run("git", "config", "remote.origin.url", str(top / "origin.git"))
    before = state(project)
    victim.prepare(project)
    if victim.another:
        before = state(project)
    params = project.read("params.yaml")
    return project, State(before.runs, before.versions, before.receipts, params)


def time_of(victim: Victim, top: Path) -> float:
    """Seconds that a command takes where nobody kills it. Raises RuntimeError where it fails."""
    project, _ = fresh(top, victim)
    begun = time.perf_counter()
    done = _call(project, victim.words)
    if done.returncode:
        raise RuntimeError(f"{victim.name} fails where nobody kills it:\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - begun


def kill_once(victim: Victim, count: Count, chance: random.Random, top: Path) -> None:
    """Kill a command at work, give it again, and count what came of it."""
    project, before = fresh(top, victim)
    while not kill(project, victim.words, chance.uniform(0, count.seconds)):
        project, before = fresh(top, victim)
    count.kills += 1
    try:
        done = _call(project, victim.words)
        if done.returncode:
            last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
            count.wrong.append(f"the same command ended with {done.returncode}: {last[:300]}")
            return
        count.again += 1
        found = list(wrongs(project, victim, before))
    except subprocess.TimeoutExpired as error:
        found = [f"{error.cmd} did not end"]
    count.wrong += found
    count.whole += not found


def table(counts: dict[str, Count]) -> str:
    rows = [
        "| command | kills | the same command ended it | nothing lost, all agrees |",
        "| --- | --- | --- | --- |",
    ]
    rows += [f"| `{name}` | {one.kills} | {one.again} | {one.whole} |" for name, one in counts.items()]
    kills, again, whole = (
        sum(getattr(one, key) for one in counts.values()) for key in ("kills", "again", "whole")
    )
    wrong = [f"- `{name}`: {text}" for name, one in counts.items() for text in one.wrong]
    return "\n".join([*rows, f"| all | {kills} | {again} | {whole} |", *wrong])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="in all (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    parser.add_argument("--only", help="this command alone", choices=[victim.name for victim in VICTIMS])
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where it was begun in the background
    victims = [victim for victim in VICTIMS if asked.only in (None, victim.name)]
    chance, counts = random.Random(asked.seed), {victim.name: Count() for victim in victims}
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        os.environ["PREDICTFLOW_TESTS"] = folder
        Path(folder, "owner").write_text(str(os.getpid()))
        top = Path(folder, "copy")
        with contextlib.suppress(KeyboardInterrupt):  # what was counted until then is told
            for number in range(asked.kills):
                victim = victims[number % len(victims)]
                count = counts[victim.name]
                count.seconds = count.seconds or time_of(victim, top)
                kill_once(victim, count, chance, top)
                print(
                    f"{number + 1}: {victim.name} {' '.join(count.wrong[-1:])}", file=sys.stderr, flush=True
                )
    print(table(counts))


if __name__ == "__main__":
    main()
