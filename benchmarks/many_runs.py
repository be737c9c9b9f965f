"""What `predictflow` costs where MLflow holds very many runs: at a server on PostgreSQL, and in SQLite.

    python -m benchmarks.many_runs --runs 100000
    python -m benchmarks.many_runs --beside COMMIT     # and the commands as they were at a commit

The pipeline runs once against each store, and its version is promoted; then the runs of others are put in by
SQL. Each command is a process of its own, and its answer is held against what was made.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.history import MEASURE, RSS
from benchmarks.pipeline import REPOSITORY
from benchmarks.run_rows import VERSIONS, Copied, Template, fill
from benchmarks.tables import show
from predictflow.adapters.mlflow_entities import PAGE_SIZE
from stages.support.paths import MODEL_FOLDER
from tests.people import customers, postgres
from tests.people.project import Project, environment, lay_out_members
from tests.people.server import serving

MODEL = "churn-predictor"
SHOWN = 20  # experiments that are asked for


@dataclass(frozen=True)
class Store:
    """A project, and the store that its pipeline ran against.

    Attributes:
        database: its address, as SQLAlchemy reads it.
        files: the folder with the artifacts of all runs.
    """

    name: str
    project: Project
    database: str
    files: Path

    @property
    def is_server(self) -> bool:
        return "MLFLOW_TRACKING_URI" in self.project.env


@dataclass(frozen=True)
class Case:
    """A command, and what of its JSON is held against what was made.

    Attributes:
        told: None for a stage, which answers nothing.
        code: the exit code that it ends with.
        before: its words before there was a limit; None where they were the same.
        twice: whether the second call is measured, for the first makes what later ones use.
    """

    name: str
    words: list[str]
    told: Callable[[Any], Any] | None
    expected: Any = None
    code: int = 0
    before: list[str] | None = None
    twice: bool = False


@dataclass(frozen=True)
class Cost:
    """Of one call: seconds on the wall, seconds of the CPU, bytes at the peak, and what it printed."""

    seconds: float
    cpu: float
    peak: int
    printed: str


def run_of(project: Project) -> Any:
    """What MLflow holds of the one run that the pipeline has made."""
    (run,) = project.runs()
    return run


@contextmanager
def own_store(top: Path) -> Iterator[Store]:
    project = _begin(top)
    files = project.folder / "mlflow_data/artifacts"
    yield Store("SQLite", project, f"sqlite:///{project.folder}/mlflow_data/mlflow.db", files)


@contextmanager
def server(top: Path) -> Iterator[Store]:
    """A real server of MLflow's, on a real PostgreSQL."""
    programs = postgres.programs()
    if programs is None:
        sys.exit("ERROR: PostgreSQL is not installed here.\nCure: `apt-get install postgresql`.")
    project = _begin(top)
    with postgres.running(programs) as database:
        uri, artifacts = database.create("mlflow"), top / "artifacts"
        env = environment(top) | {
            "MLFLOW_BACKEND_STORE_URI": uri,
            "MLFLOW_ARTIFACTS_DESTINATION": str(artifacts),
        }
        words = ["mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
        with serving(words, top, env) as at:
            project.env["MLFLOW_TRACKING_URI"] = at
            yield Store("a server on PostgreSQL", project, uri, artifacts / "1")


def _begin(top: Path) -> Project:
    for folder in (top, top / "project", top / "home"):
        folder.mkdir()
    project = Project(top / "project", top / "home")
    lay_out_members(project)
    return project


def make(store: Store, runs: int, tell: Callable[[str], None]) -> tuple[str, Copied]:
    """Run the pipeline, promote its version, put the others in: the id of its run, and what was put in."""
    project, top = store.project, store.project.folder.parent
    tell("the pipeline")
    project.repro()
    project.commit("a model")
    project.run("git", "init", "--quiet", "--bare", str(top / "origin.git"))
    project.run("git", "remote", "add", "origin", str(top / "origin.git"))
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "near", str(top / "remote"))
    project.run("dvc", "push", "--quiet")
    project.run(
        "predictflow", "promote", f"{MODEL}/1", "--to", "production", env={"PYTHONPATH": str(REPOSITORY)}
    )
    run = run_of(project).info.run_id
    tell(f"{runs:,} runs")
    place = None if store.is_server else store.files.as_uri()
    other = project.store.create_experiment("forecasts", place)
    return run, fill(store.database, Template(run, other, store.files), runs)


def cases(store: Store, run: str, copied: Copied) -> list[Case]:
    project = store.project
    content = project.store.get_run(run).data.tags["predictflow.content"]
    both = sorted([run, copied.again])
    version = f"{MODEL}/1"
    entries = copied.runs - 1 if copied.runs <= PAGE_SIZE else None  # both runs of a content are one
    made = (
        lambda answer: (answer["model"]["content"], sorted(one["id"] for one in answer["runs"])),
        (content, both),
    )
    newest = ["experiments", "--limit", str(SHOWN)]
    notes = {"duplicate": 1, "not committed": VERSIONS}
    if store.is_server and copied.models > VERSIONS:  # the others' files are not brought here, which is told
        notes["not here"] = 1
    return [
        Case("status", ["status"], lambda answer: answer["working_tree"]["versions"], [version]),
        Case("gate", ["gate", f"{MODEL}@production"], lambda answer: answer["content"], content),
        Case("lineage of a version", ["lineage", version], *made),
        Case("lineage of a model's folder", ["lineage", MODEL_FOLDER.as_posix()], *made),
        Case("lineage of a run", ["lineage", copied.again], *made),
        Case(
            "lineage of customers.csv",
            ["lineage", "data/customers.csv"],
            lambda answer: [one["content"] for one in answer["models"]],
            [content],
        ),
        Case("history", ["history"], lambda answer: answer["standing"]["production"]["version"], 1),
        Case(
            f"experiments, the newest {SHOWN}",
            newest,
            lambda answer: (len(answer["experiments"]), answer.get("entries")),
            (SHOWN, entries),
            before=["experiments"],
        ),
        Case(
            "promote --dry-run",
            ["promote", version, "--to", "staging", "--empty-production", "--dry-run"],
            lambda answer: answer["decision"]["against"],
            [],
        ),
        Case(
            "audit",
            ["audit"],
            lambda answer: (answer["findings"], Counter(note["kind"] for note in answer["notes"])),
            ([], notes),
        ),
        Case("restore", ["restore"], lambda answer: (answer["runs"], answer["versions"]), ([], [])),
        Case(
            "doctor",
            ["doctor"],
            _states,
            {"clock": "ok", "registry": "ok"} if not store.is_server else {"clock": "ok"},
        ),
        Case("doctor --remote", ["doctor", "--remote"], _states, {"clock": "ok", "registry": "ok"}),
        Case(
            "predict",
            ["predict", f"models:/{version}", "data/customers.csv", "--output", "../scores.csv", "--force"],
            lambda answer: answer["rows"],
            len(customers.members()),
            twice=True,
        ),
        Case(
            "rebuild",
            ["rebuild", version],
            lambda answer: [one["verdict"] for one in answer["rebuilds"]],
            ["identical"],
            twice=True,
        ),
        Case("register, the stage", ["stages.register"], None),
    ]


def _states(answer: Any) -> dict[str, str]:
    return {
        check["name"]: check["state"] for check in answer["checks"] if check["name"] in ("clock", "registry")
    }


class Asker:
    """Calls the commands of a folder with code, in a project, as a person does.

    Attributes:
        wrong: the answers that were not what was made, a sentence each.
    """

    def __init__(self, store: Store, code: Path, at_most: float) -> None:
        self._store, self._code, self._at_most = store, code, at_most
        self._limited = (code / "predictflow/audit/runs.py").exists()
        self.wrong: list[str] = []

    def ask(self, words: list[str], code: int = 0) -> Cost | None:
        """What a call costs; None for one that takes longer than it may.

        Raises RuntimeError for another exit code.
        """
        # -P and PYTHONPATH: the command is that of the code, not one that lies in the project.
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", MEASURE, sys.executable, "-P", "-m", *words],
            cwd=self._store.project.folder,
            env=self._store.project.env | {"PYTHONPATH": str(self._code)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            printed, errors = process.communicate(timeout=self._at_most)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None
        *lines, measured = printed.splitlines()
        seconds, cpu, peak, ended = json.loads(measured)
        if ended != code:
            raise RuntimeError(f"`{' '.join(words)}` ended with {ended}:\n{printed}{errors}")
        return Cost(seconds, cpu, peak * RSS, "\n".join(lines))

    def case(self, case: Case) -> list[str]:
        """What a command costs, as a row has it; a wrong answer is noted."""
        words = case.words if self._limited or case.before is None else case.before
        module = ["predictflow.cli", *words, "--json"] if case.told else words
        try:
            calls = [self.ask(module, case.code) for _ in range(1 + case.twice)]
        except RuntimeError as error:
            self.wrong.append(str(error))
            return ["no answer", "", ""]
        cost = calls[-1]
        if cost is None:
            return [f"over {self._at_most:.0f}", "", ""]
        told = case.told(json.loads(cost.printed)) if case.told else case.expected
        if told != case.expected and words is not case.before:
            self.wrong.append(f"`predictflow {' '.join(words)}` answers {told}, and not {case.expected}")
        return [f"{cost.seconds:.1f}", f"{cost.cpu:.1f}", f"{cost.peak / 1e6:.0f}"]


@contextmanager
def code_of(commit: str) -> Iterator[Path]:
    """The folder with the code of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["git", "archive", commit, "predictflow", "stages"]
        archive = subprocess.run(words, cwd=REPOSITORY, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
        yield Path(folder)


STORES = {"server": server, "sqlite": own_store}
COSTS = ("seconds", "of the CPU", "MB at the peak")


def measure(top: Path, asked: argparse.Namespace) -> list[str]:
    """Print what the commands cost, a table a store; the answers that were wrong."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    load, tables, wrong = os.getloadavg()[0], [], []
    before = code_of(asked.beside) if asked.beside else nullcontext()
    with Progress(*columns, console=Console(stderr=True)) as progress, before as older:
        task = progress.add_task("", total=None)

        def tell(what: str) -> None:
            progress.update(task, description=what)

        for name in [asked.store] if asked.store else STORES:
            with STORES[name](top / name) as store:
                run, copied = make(store, asked.runs, tell)
                askers = [Asker(store, code, asked.at_most) for code in (REPOSITORY, older) if code]
                chosen = [
                    case
                    for case in cases(store, run, copied)
                    if any(word in case.name for word in asked.only)
                ]
                progress.update(task, total=len(chosen), completed=0)
                rows = []
                for case in chosen:
                    tell(f"{case.name}, {store.name}")
                    rows.append([case.name, *(cell for asker in askers for cell in asker.case(case))])
                    progress.advance(task)
                wrong += askers[0].wrong
                held = f"{copied.runs:,} runs, {copied.deleted:,} more in the trash, {VERSIONS + 1} versions"
                tables.append((f"{store.name}: {held}", rows))
    print(f"load of the machine before: {load:.1f}\n")
    header = ("command", *COSTS, *([f"{cost}, at {asked.beside}" for cost in COSTS] if asked.beside else ()))
    for title, rows in tables:
        show(title, header, rows, asked.markdown)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_runs", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=100_000, metavar="N", help="(default: 100,000)")
    parser.add_argument("--store", choices=STORES, help="this one alone")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="WORD", help="commands with such a word alone"
    )
    parser.add_argument("--beside", metavar="COMMIT", help="and the commands as they were then")
    parser.add_argument(
        "--at-most", type=float, default=600, metavar="SECONDS", help="that a command may take (default: 600)"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the projects there, and leave them")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    options = parser.parse_args()
    if options.runs < 300:
        parser.error("--runs: at least 300, so that there is one of each kind")
    if options.keep:
        options.keep.mkdir(parents=True)
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        if wrong := measure(Path(folder).resolve(), options):
            sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
