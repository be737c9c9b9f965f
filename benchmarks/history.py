"""What `predictflow` costs on a long history: 10,000 commits, 1,000 models, 100 registered versions.

    python -m benchmarks.history

The history is made from this repository's last commit: each model is its dvc.lock, provenance.json and
metrics with other numbers, and with the md5s of files that were really made. The answers are held against
what was made: a wrong one ends the benchmark.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.pipeline import REPOSITORY, Bench
from benchmarks.tables import show
from predictflow.cli import COMMANDS
from predictflow.index import CUSTOMERS, LOCK, MEASURED, POINTER, PREPARED, location
from predictflow.repository import Repository
from stages import customer_index, gate, params
from stages.provenance import FOLDER, PROVENANCE
from stages.tracking import RESTORED

ROWS = 7_043  # customers in each state of the data, as many as the telco data has
MOVES = 20  # customers who go, and as many who come, from one state to the next
HELD_OUT = 5  # one of so many is in the test set
BEGAN, APART = 1_700_000_000, 600  # seconds: the first commit, and between two
MODEL = "churn-predictor"
MARKER, DATABASE = "mlflow_data/registered.json", "mlflow_data/mlflow.db"
CODE, RECORD = "stages/models.py", PROVENANCE.as_posix()
TRACKED = (LOCK, RECORD, MEASURED, PREPARED, POINTER, params.FILE.as_posix(), CODE)  # differ in every model
CURVES = [f"metrics/train/plots/metrics/{name}.tsv" for name in ("train/log_loss", "validation/log_loss")]

# An entry of dvc.lock; nfiles stands in that of a folder.
ENTRY = re.compile(r"(- path: (\S+)\n +hash: md5\n +md5: )\S+(\n +size: )\d+(?:(\n +nfiles: )\d+)?")
ROUNDS = re.compile(r"\brounds: \d+")
DIGEST = re.compile(r"\b(?:[0-9a-f]{40}|[0-9a-f]{32})\b")

# Runs a command and prints its seconds, its peak memory and its exit code. In a process of its own: Linux
# counts what a process held before it became another program, and this one holds much.
MEASURE = """
import json, os, sys, time
begin = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print(json.dumps([time.perf_counter() - begin, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]))
"""
RSS = 1 if sys.platform == "darwin" else 1024  # bytes that ru_maxrss counts in

Files = dict[str, bytes]


@dataclass(frozen=True)
class Entry:
    """What dvc.lock says of a file, or of a folder and how many files it has."""

    md5: str
    size: int
    files: int | None = None


def entry(data: bytes) -> Entry:
    return Entry(hashlib.md5(data).hexdigest(), len(data))


def folder_entry(path: str, entries: dict[str, Entry]) -> Entry:
    """DVC's md5 of a folder is that of the list of its files."""
    inside = {name: one for name, one in sorted(entries.items()) if name.startswith(f"{path}/")}
    listed = [{"md5": one.md5, "relpath": name.removeprefix(f"{path}/")} for name, one in inside.items()]
    digest = hashlib.md5(json.dumps(listed).encode()).hexdigest()
    return Entry(f"{digest}.dir", sum(one.size for one in inside.values()), len(inside))


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


@dataclass(frozen=True)
class Plan:
    """How long a history is, and which of its models is what; models are numbered from 0 on."""

    commits: int
    models: int
    versions: int

    @property
    def each(self) -> int:
        """Models of a state of the data; the last of them is registered."""
        return self.models // self.versions

    def state(self, number: int) -> int:
        return number // self.each

    def version(self, number: int) -> int | None:
        return (number + 1) // self.each if (number + 1) % self.each == 0 else None

    def experiment(self, number: int) -> str | None:
        """The name of the DVC experiment that made a model: one of each state."""
        return f"exp-{number}" if number % self.each == self.each - 2 else None

    def line(self, number: int) -> str:
        """The branch that a model was made on: main, or one of two that go beside it for a while."""
        for name, first in (("topic-1", self.models // 3), ("topic-2", self.models * 2 // 3)):
            if first <= number < first + self.models // 20 and number % 2:
                return name
        return "main"

    def of_version(self, version: int) -> int:
        return version * self.each - 1


class Data:
    """Every state of the customers, in memory."""

    def __init__(self, settings: params.Params, states: int) -> None:
        numbers = range(ROWS + MOVES * states)
        self.ids = [f"C{number:06}" for number in numbers]
        self._digests = list(customer_index.digests(self.ids, settings["prepare.id_salt"]))
        columns, target = settings["data.columns"], settings["data.target"]
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow([settings["data.id"], *columns, target["column"]])
        for number in numbers:
            values = (_value(spec, number) for spec in columns.values())
            writer.writerow(
                [self.ids[number], *values, target["positive" if number % 4 == 0 else "negative"]]
            )
        self._header, *self._lines = written.getvalue().encode().splitlines(keepends=True)

    def files(self, state: int) -> Files:
        """customers.csv, and what prepare writes of it."""
        numbers = range(MOVES * state, MOVES * state + ROWS)
        found = {CUSTOMERS: self._header + b"".join(self._lines[number] for number in numbers)}
        counts: dict[str, Any] = {}
        for side, path in (("test", customer_index.TEST), ("train", customer_index.TRAIN)):
            members = [number for number in numbers if (number % HELD_OUT == 0) == (side == "test")]
            found[path.as_posix()] = b"".join(sorted(self._digests[number] for number in members))
            found[path.with_suffix(".parquet").as_posix()] = f"{side} of state {state}\n".encode()
            counts[side] = {"rows": len(members), "positives": sum(number % 4 == 0 for number in members)}
        counts["md5"] = {path: entry(data).md5 for path, data in found.items()}
        return found | {PREPARED: as_json(counts)}

    @staticmethod
    def set_of(number: int, state: int) -> str:
        """Which set a customer is in, in the words of find-customer."""
        if not 0 <= number - MOVES * state < ROWS:
            return "neither"
        return "training" if number % HELD_OUT else "test"


def _value(spec: dict[str, Any], number: int) -> Any:
    """A value that the declaration of a column takes."""
    return spec["categories"][number % len(spec["categories"])] if spec["type"] == "category" else number % 2


@dataclass(frozen=True)
class Model:
    """What is known of a model: by `entries`, what its dvc.lock says of each path."""

    number: int
    entries: dict[str, Entry]
    metrics: dict[str, float]

    @property
    def content(self) -> str:
        return self.entries[RECORD].md5

    @property
    def run(self) -> str:
        return hashlib.md5(f"run of {self.content}".encode()).hexdigest()

    @property
    def rounds(self) -> int:
        return self.number + 1


class Models:
    """The models, made one after the other from a clone of this repository."""

    def __init__(self, clone: Path, plan: Plan) -> None:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=clone, capture_output=True, check=True)
        paths = listed.stdout.decode().rstrip("\0").split("\0")
        self.files: Files = {path: (clone / path).read_bytes() for path in paths}
        self.settings = params.load(clone / params.FILE)
        self.data = Data(self.settings, plan.versions)
        self.plan = plan
        steps = "step\tvalue\n" + "".join(f"{step}\t0.5\n" for step in range(600))
        plots = {"metrics/evaluate/plots/roc.csv": b"a,b\n1,2\n"} | dict.fromkeys(CURVES, steps.encode())
        self._same: Files = self.files | plots
        self._entries = {path: entry(data) for path, data in self._same.items()}

    def __iter__(self) -> Iterator[tuple[Model, Files]]:
        """(model, the bytes of what it does not share with every other one)."""
        of_state: Files = {}
        for number in range(self.plan.models):
            if number % self.plan.each == 0:
                of_state = self.data.files(self.plan.state(number))
                of_state[POINTER] = self._pointer(entry(of_state[CUSTOMERS]))
                of_state[CODE] = self.files[CODE] + f"# state {self.plan.state(number)}\n".encode()
                entries_of_state = {path: entry(data) for path, data in of_state.items()}
            yield self._model(number, of_state, self._entries | entries_of_state)

    def _pointer(self, customers: Entry) -> bytes:
        text = re.sub(r"md5: \w{32}", f"md5: {customers.md5}", self.files[POINTER].decode())
        return re.sub(r"size: \d+", f"size: {customers.size}", text).encode()

    def _model(self, number: int, of_state: Files, entries: dict[str, Entry]) -> tuple[Model, Files]:
        metrics = json.loads(self.files[MEASURED])
        metrics["roc_auc"] = round(0.8 + 0.05 * number / self.plan.models, 9)
        model = Model(number, entries, metrics)
        files: Files = {MEASURED: as_json(metrics)}

        def add(path: str, data: bytes) -> None:
            files[path], entries[path] = data, entry(data)

        *recorded, last = json.loads(self.files[RECORD])
        for path in (one["path"] for one in recorded if one["path"].startswith(f"{FOLDER}/")):
            add(path, f"{path} of model {number}\n".encode())
        add(MEASURED, as_json(metrics))
        last["params"]["models.xgboost"]["rounds"] = model.rounds
        add(
            RECORD,
            as_json([{"md5": entries[one["path"]].md5, "path": one["path"]} for one in recorded] + [last]),
        )
        add(MARKER, self._marker(model))
        add(params.FILE.as_posix(), self._with_rounds(params.FILE.as_posix(), model))

        def locked(found: re.Match[str]) -> str:
            head, path, size, nfiles = found.groups()
            one = entries[path] if path in entries else folder_entry(path, entries)
            return f"{head}{one.md5}{size}{one.size}" + (f"{nfiles}{one.files}" if nfiles else "")

        files[LOCK] = ENTRY.sub(locked, self._with_rounds(LOCK, model).decode()).encode()
        return model, of_state | files

    def _marker(self, model: Model) -> bytes:
        decision = gate.decide(model.metrics, self.settings["register.gate"])
        told = {"passed": decision.passed, "reasons": decision.reasons}
        return as_json(told | {"model": MODEL, "content": model.content})

    def _with_rounds(self, path: str, model: Model) -> bytes:
        return ROUNDS.sub(f"rounds: {model.rounds}", self.files[path].decode(), count=1).encode()

    def beside_git(self, files: Files) -> Files:
        """What of a model's files Git does not hold, and lies in the working tree."""
        return {path: data for path, data in (self._same | files).items() if path not in self.files}


class Importer:
    """Commits written by `git fast-import`: ten thousand in a second or two."""

    def __init__(self, project: Path, env: dict[str, str]) -> None:
        self.marks = 0
        self._process = subprocess.Popen(
            ["git", "fast-import", "--quiet", "--export-marks=.git/marks"],
            cwd=project,
            env=env,
            stdin=subprocess.PIPE,
        )

    def _write(self, *lines: str | bytes) -> None:
        for line in lines:
            self._process.stdin.write(line if isinstance(line, bytes) else line.encode())
            self._process.stdin.write(b"\n")

    def _data(self, data: bytes) -> None:
        self._write(f"data {len(data)}", data)

    def commit(self, ref: str, message: str, files: Files, parents: Iterable[int]) -> int:
        """The mark of a commit, whose tree is that of its first parent with some files changed."""
        self.marks += 1
        self._write(f"commit {ref}", f"mark :{self.marks}")
        self._write(f"committer Ada <ada@example.com> {BEGAN + APART * self.marks} +0000")
        self._data(message.encode())
        for word, parent in zip(("from", "merge"), parents, strict=False):
            self._write(f"{word} :{parent}")
        for path, data in files.items():
            self._write(f"M 100644 inline {path}")
            self._data(data)
        return self.marks

    def tag(self, name: str, mark: int, message: str | None = None) -> None:
        if message is None:
            self._write(f"reset refs/tags/{name}", f"from :{mark}")
            return
        self._write(f"tag {name}", f"from :{mark}", f"tagger Ada <ada@example.com> {BEGAN} +0000")
        self._data(message.encode())

    def close(self, project: Path) -> list[str]:
        """The ids of the commits; that of mark 1 comes first."""
        self._process.stdin.close()
        if self._process.wait():
            raise RuntimeError("git fast-import failed")
        marks = dict(line.split() for line in (project / ".git/marks").read_text().splitlines())
        return [marks[f":{mark}"] for mark in range(1, self.marks + 1)]


@dataclass(frozen=True)
class History:
    """A project with a long history, and what was noted when it was made.

    Attributes:
        models: by number.
        commits: the id of the commit of each model.
    """

    project: Path
    plan: Plan
    models: list[Model]
    commits: list[str]

    def of_version(self, version: int) -> Model:
        return self.models[self.plan.of_version(version)]


def make(bench: Bench, plan: Plan, tell: Callable[[str], None]) -> History:
    """Make the project, with its cache, store and working tree, in the folder of `bench`."""
    tell("making the history")
    project, clone = bench.folder / "project", bench.folder / "clone"
    bench.time(bench.folder, "git", "clone", "--quiet", str(REPOSITORY), str(clone))
    bench.time(bench.folder, "git", "init", "--quiet", "--initial-branch=main", str(project))
    models, made, importer = Models(clone, plan), [], Importer(project, bench.env)
    tips: dict[str, int] = {}
    marks: list[tuple[int, int]] = []  # of each model's commit, and of the commit before
    files: Files = {}
    for model, files in models:
        made.append(model)
        if model.number % plan.each == 0:
            _cache(project, files)
        marks.append(_commit(importer, plan, models, model, files, tips))
    ids = importer.close(project)
    tell("making the store")
    history = History(project, plan, made, [ids[mark - 1] for mark, _ in marks])
    _name_experiments(bench, history, [ids[before - 1] for _, before in marks])
    bench.time(project, "git", "reset", "--quiet", "--hard")
    bench.time(project, "git", "gc", "--quiet")
    for path, data in models.beside_git(files).items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(data)
    bench.time(project, "python", "-m", "stages.register")
    bench.time(project, "dvc", "commit", "--quiet", "--force")
    bench.time(project, "git", "diff", "--exit-code")
    _fill_store(history)
    return history


def _cache(project: Path, files: Files) -> None:
    """Put the customers and their indexes into DVC's cache."""
    for path in (CUSTOMERS, customer_index.TRAIN.as_posix(), customer_index.TEST.as_posix()):
        digest = entry(files[path]).md5
        held = project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
        held.parent.mkdir(parents=True, exist_ok=True)
        held.write_bytes(files[path])


def _commit(
    importer: Importer, plan: Plan, models: Models, model: Model, files: Files, tips: dict[str, int]
) -> tuple[int, int]:
    """Commit a model, with its tags, and some notes after it; the marks of its commit and the one before."""
    number, line = model.number, plan.line(model.number)
    changed = {path: files[path] for path in TRACKED}
    if not tips:
        changed = models.files | changed
    before = tips.get(line) or tips.get("main", 0)
    parents = [before] if before else []
    if plan.experiment(number):
        mark = importer.commit(f"refs/making/{number}", f"model {number}", changed, parents)
        tips[line] = before
    else:
        ended = [name for name in tips if name not in ("main", plan.line(number - 1), line)]
        parents += [tips.pop(name) for name in ended if line == "main"]
        mark = tips[line] = importer.commit(f"refs/heads/{line}", f"model {number}", changed, parents)
    for note in range(1, plan.commits // plan.models):
        notes = {"notes.txt": f"{number} {note}\n".encode()}
        tips[line] = importer.commit(f"refs/heads/{line}", "a note", notes, [tips[line]])
    if version := plan.version(number):
        importer.tag(f"v{version}", mark, f"version {version}")
    if number % plan.each < 2:
        importer.tag(f"model-{number}", mark)
    return mark, before


def _name_experiments(bench: Bench, history: History, before: list[str]) -> None:
    """Give the experiments the refs that DVC gives them."""
    lines = []
    for number, sha in enumerate(history.commits):
        if name := history.plan.experiment(number):
            lines.append(f"create refs/exps/{before[number][:2]}/{before[number][2:]}/{name} {sha}")
            lines.append(f"delete refs/making/{number}")
    given = "".join(f"{line}\n" for line in lines).encode()
    subprocess.run(
        ["git", "update-ref", "--stdin"], cwd=history.project, env=bench.env, input=given, check=True
    )


def _fill_store(history: History) -> None:
    """The run and the version of the last model were written by stages.register; the rows of all the others
    are copies of theirs, with their own md5s."""
    plan, template, number = history.plan, history.models[-1], history.plan.versions
    with closing(sqlite3.connect(history.project / DATABASE)) as store, store:
        store.row_factory = sqlite3.Row
        (run,) = store.execute("SELECT run_uuid FROM runs").fetchone()
        for table in ("model_versions", "model_version_tags", "registered_model_aliases"):
            store.execute(f"UPDATE {table} SET version = {number}")
        store.execute("DELETE FROM tags WHERE key = ?", [RESTORED])
        tables = (
            "runs",
            "tags",
            "params",
            "metrics",
            "latest_metrics",
            "model_versions",
            "model_version_tags",
        )
        rows = {table: [dict(row) for row in store.execute(f"SELECT * FROM {table}")] for table in tables}
        for model in history.models[:-1]:
            names = {template.entries[path].md5: one.md5 for path, one in model.entries.items()}
            names |= {run: model.run, history.commits[-1]: history.commits[model.number]}
            began = 1000 * (BEGAN + APART * model.number * plan.commits // plan.models)
            version = plan.version(model.number)
            stage = "Production" if version == number - 1 else "Archived"
            for table in tables:
                columns: dict[str, Any] = {}
                if table == "runs":
                    columns = {"start_time": began, "end_time": began + 10_000}
                elif table.startswith("model_version"):
                    columns = {"version": version}
                if table == "model_versions":
                    columns |= {"creation_time": began + 20_000, "current_stage": stage}
                if columns.get("version", 0) is not None:
                    _copy(store, table, rows[table], names, columns)
            if name := plan.experiment(model.number):
                store.execute(
                    "INSERT INTO tags (key, value, run_uuid) VALUES ('dvc.exp_name', ?, ?)", [name, model.run]
                )
            store.execute(
                "UPDATE params SET value = ? WHERE key = 'models.xgboost.rounds' AND run_uuid = ?",
                [str(model.rounds), model.run],
            )
            store.execute(
                "UPDATE latest_metrics SET value = ? WHERE key = 'roc_auc' AND run_uuid = ?",
                [model.metrics["roc_auc"], model.run],
            )
        store.execute(
            "INSERT INTO registered_model_aliases (alias, version, name) VALUES ('production', ?, ?)",
            [number - 1, MODEL],
        )


def _copy(
    store: sqlite3.Connection,
    table: str,
    rows: list[dict[str, Any]],
    names: dict[str, str],
    columns: dict[str, Any],
) -> None:
    """Insert rows again: every md5, commit and run in a text as `names` has it, and some columns anew."""

    def renamed(value: Any) -> Any:
        return (
            DIGEST.sub(lambda found: names.get(found[0], found[0]), value)
            if isinstance(value, str)
            else value
        )

    new = [{name: renamed(value) for name, value in row.items()} | columns for row in rows]
    named = ", ".join(f'"{name}"' for name in new[0])
    marks = ", ".join(f":{name}" for name in new[0])
    store.executemany(f"INSERT INTO {table} ({named}) VALUES ({marks})", new)


@dataclass(frozen=True)
class Case:
    """A command, and what it must answer.

    Attributes:
        told: takes out of the command's JSON what is `expected`.
    """

    name: str
    words: list[str]
    told: Callable[[Any], Any]
    expected: Any
    code: int = 0


def cases(history: History) -> list[Case]:
    plan, half = history.plan, max(1, history.plan.versions // 2)
    model = history.of_version(half)
    customer = MOVES * half + 1  # left after the state of that version
    last = history.models[-1]
    found = [
        Case(
            "lineage of a version",
            ["lineage", f"{MODEL}/{half}"],
            lambda answer: (
                answer["model"]["content"],
                answer["commit"]["sha"],
                [run["id"] for run in answer["runs"]],
                answer["data"]["md5"],
                answer["metrics"]["roc_auc"],
            ),
            (
                model.content,
                history.commits[model.number],
                [model.run],
                model.entries[CUSTOMERS].md5,
                model.metrics["roc_auc"],
            ),
        ),
        Case(
            "lineage of a folder",
            ["lineage", FOLDER.as_posix()],
            lambda answer: answer["model"]["content"],
            last.content,
        ),
        Case(
            "lineage of customers.csv",
            ["lineage", CUSTOMERS],
            lambda answer: {one["content"] for one in answer["models"]},
            {one.content for one in history.models[-plan.each :]},
        ),
        Case(
            "diff of two versions",
            ["diff", f"{MODEL}/1", f"{MODEL}/{plan.versions}"],
            lambda answer: (
                answer["params"]["models.xgboost.rounds"],
                len(answer["data"]["customers"]["added"]),
                [*answer["code"]],
            ),
            (
                {"a": history.of_version(1).rounds, "b": last.rounds},
                min(ROWS, MOVES * (plan.versions - 1)),
                [CODE],
            ),
            code=1,
        ),
        Case(
            "find-customer",
            ["find-customer", f"C{customer:06}"],
            lambda answer: {
                version["name"]: one["set"] for one in answer["models"] for version in one["versions"]
            },
            {
                f"{MODEL}/{version}": Data.set_of(customer, version - 1)
                for version in range(1, plan.versions + 1)
            },
        ),
        Case(
            "status",
            ["status"],
            lambda answer: (answer["pipeline"]["in_step"], answer["working_tree"]["content"]),
            (True, last.content),
        ),
    ]
    return [case for case in found if case.words[0] in COMMANDS]


@dataclass(frozen=True)
class Cost:
    """Seconds on the wall and bytes at the peak, of one call."""

    seconds: float
    peak: int


class Asker:
    """Calls `predictflow` in a project as a person does, in a process of its own."""

    def __init__(self, bench: Bench, project: Path) -> None:
        self.bench, self.project = bench, project
        self.index = location(Repository(project))
        self._env = bench.env | {"PYTHONPATH": str(REPOSITORY)}

    def ask(self, words: list[str], code: int) -> tuple[Cost, str]:
        """What a call costs, and what it prints."""
        # -P: the code of this repository, not that in the project
        command = [sys.executable, "-P", "-m", "predictflow.cli", *words]
        done = subprocess.run(
            [sys.executable, "-S", "-c", MEASURE, *command],
            cwd=self.project,
            env=self._env,
            capture_output=True,
            text=True,
        )
        *printed, measured = done.stdout.splitlines()
        seconds, peak, ended = json.loads(measured)
        if ended != code:
            raise RuntimeError(
                f"predictflow {' '.join(words)} ended with {ended}:\n{done.stdout}{done.stderr}"
            )
        return Cost(seconds, peak * RSS), "\n".join(printed)

    def first(self, case: Case) -> Cost:
        """A call that finds no index."""
        self.index.unlink(missing_ok=True)
        return self.ask(case.words, case.code)[0]

    def later(self, case: Case) -> Cost:
        return self.ask(case.words, case.code)[0]

    def after_a_commit(self, case: Case) -> Cost:
        self.bench.time(self.project, "git", "commit", "--quiet", "--allow-empty", "-m", "a commit")
        return self.ask(case.words, case.code)[0]

    def check(self, case: Case) -> None:
        """Raises RuntimeError for a wrong answer."""
        told = case.told(json.loads(self.ask([*case.words, "--json"], case.code)[1]))
        if told != case.expected:
            raise RuntimeError(f"predictflow {' '.join(case.words)}: {told}, and not {case.expected}")


KINDS = {"first call": Asker.first, "later": Asker.later, "after one commit": Asker.after_a_commit}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.history", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--commits", type=int, default=10_000, metavar="N")
    parser.add_argument("--models", type=int, default=1_000, metavar="N")
    parser.add_argument("--versions", type=int, default=100, metavar="N")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds measured (default: 5)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the history in this new folder")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args()
    plan = Plan(options.commits, options.models, options.versions)
    if options.repeat < 1 or plan.versions < 2 or plan.commits % plan.models or plan.models % plan.versions:
        parser.error("commits in whole numbers for each model, models for each of two versions or more")
    if plan.each < 3:
        parser.error("--models: at least three for each version")
    if options.keep:
        options.keep.mkdir(parents=True)
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        measure(Bench(Path(folder).resolve()), plan, options.repeat, options.markdown)


def measure(bench: Bench, plan: Plan, repeat: int, markdown: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)

        def tell(what: str) -> None:
            progress.update(task, description=what)

        history = make(bench, plan, tell)
        asker, asked = Asker(bench, history.project), cases(history)
        progress.update(task, total=repeat * len(asked) * len(KINDS))
        costs: dict[tuple[str, str], list[Cost]] = {}
        for case in asked:
            tell(f"checking {case.name}")
            asker.check(case)
        for _ in range(repeat):
            for case in asked:
                for kind, call in KINDS.items():
                    tell(f"{case.name}: {kind}")
                    costs.setdefault((case.name, kind), []).append(call(asker, case))
                    progress.advance(task)
    rows = [[case.name, *(_told(costs[case.name, kind]) for kind in KINDS)] for case in asked]
    show(
        f"{plan.commits:,} commits, {plan.models:,} models, {plan.versions} versions: seconds and peak MB,"
        f" medians of {repeat}; index {asker.index.stat().st_size / 1e6:.1f} MB,"
        f" load {os.getloadavg()[1]:.1f}",
        ("command", *KINDS),
        rows,
        markdown,
    )


def _told(costs: list[Cost]) -> str:
    seconds = [cost.seconds for cost in costs]
    peak = median(cost.peak for cost in costs) / 1e6
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f}) {peak:.0f} MB"


if __name__ == "__main__":
    main()
