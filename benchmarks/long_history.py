"""A project with a long history, made in half a minute: what benchmarks.history asks about.

Each model is the dvc.lock, provenance.json and metrics of this repository's last commit, with other numbers
and the md5s of files that were really made. The commits come through `git fast-import`; the last model is
registered by stages.register, and what that writes into MLflow's store is copied for all the others.
"""

import csv
import hashlib
import io
import json
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pipeline import REPOSITORY, Bench
from predictflow.adapters.dvc_files import CUSTOMERS, DVC_LOCK, MEASURED, POINTERS, PREPARED
from stages.data import customer_index
from stages.model import bars
from stages.support import params
from stages.support.paths import MODEL_FOLDER, PARAMS, PROVENANCE, TEST_INDEX, TRAIN_INDEX
from stages.tracking.store import RESTORED_TAG

ROWS = 7_043  # customers in each state of the data, as many as the telco data has
MOVES = 20  # customers who go, and as many who come, from one state to the next
HELD_OUT = 5  # one of so many customers is in the test set
POSITIVE = 4  # one of so many leaves
BEGAN, APART = 1_700_000_000, 600  # seconds: the first commit, and from one to the next
BASE = 0.8  # ROC AUC of the first model; each is a little better than the one before
MODEL = "churn-predictor"
RECORD, CODE = PROVENANCE.as_posix(), "stages/model/families.py"
MARKER, DATABASE = "mlflow_data/registered.json", "mlflow_data/mlflow.db"
PLOTS = {  # the same for every model
    "metrics/evaluate/plots/roc.csv": b"false_positive_rate,true_positive_rate\n0,0\n1,1\n",
    "metrics/train/plots/metrics/train/log_loss.tsv": b"step\tlog_loss\n" + b"1\t0.5\n" * 100,
}

# An entry of dvc.lock; nfiles stands in that of a folder.
ENTRY = re.compile(r"(- path: (\S+)\n +hash: md5\n +md5: )\S+(\n +size: )\d+(?:(\n +nfiles: )\d+)?")
ROUNDS = re.compile(r"\brounds: \d+")
DIGEST = re.compile(r"\b(?:[0-9a-f]{40}|[0-9a-f]{32})\b")

OF_A_RUN = ("runs", "tags", "params", "metrics", "latest_metrics")  # MLflow's tables
OF_A_VERSION = ("model_versions", "model_version_tags")
CHANGES = (  # in the copied rows of a model
    "UPDATE runs SET start_time = :began, end_time = :began + 10000 WHERE run_uuid = :run",
    "UPDATE params SET value = :rounds WHERE key = 'models.xgboost.rounds' AND run_uuid = :run",
    "UPDATE metrics SET value = :roc_auc WHERE key = 'roc_auc' AND run_uuid = :run",
    "UPDATE latest_metrics SET value = :roc_auc WHERE key = 'roc_auc' AND run_uuid = :run",
    "UPDATE model_versions SET creation_time = :began + 20000, current_stage = :stage WHERE run_id = :run",
)

Files = dict[str, bytes]


@dataclass(frozen=True)
class Plan:
    """How long a history is, and what each of its models is; they are numbered from 0 on."""

    commits: int
    models: int
    versions: int

    @property
    def each(self) -> int:
        """Models made from one state of the data; the last of them is registered."""
        return self.models // self.versions

    @property
    def apart(self) -> int:
        """Commits from one model to the next."""
        return self.commits // self.models

    def state(self, number: int) -> int:
        """Of the data, from 0 on."""
        return number // self.each

    def version(self, number: int) -> int | None:
        return (number + 1) // self.each if (number + 1) % self.each == 0 else None

    def of_version(self, version: int) -> int:
        return version * self.each - 1

    def experiment(self, number: int) -> str | None:
        """The name of the DVC experiment that made a model; None for a commit on a branch."""
        return f"exp-{number}" if number % self.each == self.each - 2 else None

    def branch(self, number: int) -> str:
        """main, or one of two branches that go beside it for a while."""
        for name, first in (("topic-1", self.models // 3), ("topic-2", self.models * 2 // 3)):
            if first <= number < first + self.models // 20 and number % 2:
                return name
        return "main"

    def set_of(self, customer: int, version: int) -> str:
        """Where a version has a customer, in the words of find-customer."""
        if not 0 <= customer - MOVES * (version - 1) < ROWS:
            return "neither"
        return "training" if customer % HELD_OUT else "test"


def customer_id(number: int) -> str:
    return f"C{number:06}"


@dataclass(frozen=True)
class Entry:
    """What dvc.lock says of a file, or of a folder and how many files it has."""

    md5: str
    size: int
    files: int | None = None


def entry(data: bytes) -> Entry:
    return Entry(hashlib.md5(data).hexdigest(), len(data))


def folder_entry(path: str, entries: dict[str, Entry]) -> Entry:
    """DVC names a folder by the md5 of the list of its files."""
    inside = {name: one for name, one in sorted(entries.items()) if name.startswith(f"{path}/")}
    listed = [{"md5": one.md5, "relpath": name.removeprefix(f"{path}/")} for name, one in inside.items()]
    digest = hashlib.md5(json.dumps(listed).encode()).hexdigest()
    return Entry(f"{digest}.dir", sum(one.size for one in inside.values()), len(inside))


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


class Customers:
    """Every state of the customers: some go from one to the next, and as many come."""

    def __init__(self, settings: params.Params, states: int) -> None:
        numbers = range(ROWS + MOVES * states)
        ids = [customer_id(number) for number in numbers]
        self._digests = list(customer_index.digests(ids, settings["prepare.id_salt"]))
        columns, target = settings["data.columns"], settings["data.target"]
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow([settings["data.id"], *columns, target["column"]])
        for number in numbers:
            among = (spec.get("categories", [0, 1]) for spec in columns.values())
            leaves = target["negative" if number % POSITIVE else "positive"]
            writer.writerow([ids[number], *(values[number % len(values)] for values in among), leaves])
        self._header, *self._lines = written.getvalue().encode().splitlines(keepends=True)

    def files(self, state: int) -> Files:
        """customers.csv, and what prepare writes of it."""
        numbers = range(MOVES * state, MOVES * state + ROWS)
        found = {CUSTOMERS: self._header + b"".join(self._lines[number] for number in numbers)}
        counts: dict[str, Any] = {}
        for side, path in (("test", TEST_INDEX), ("train", TRAIN_INDEX)):
            members = [number for number in numbers if (number % HELD_OUT == 0) == (side == "test")]
            found[path.as_posix()] = b"".join(sorted(self._digests[number] for number in members))
            found[path.with_suffix(".parquet").as_posix()] = f"{side} of state {state}\n".encode()
            positives = sum(number % POSITIVE == 0 for number in members)
            counts[side] = {"rows": len(members), "positives": positives}
        counts["md5"] = {path: entry(data).md5 for path, data in found.items()}
        return found | {PREPARED: as_json(counts)}


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
        return hashlib.md5(f"the run of {self.content}".encode()).hexdigest()

    @property
    def rounds(self) -> int:
        return self.number + 1


class Models:
    """The models, each made from the files of a clone of this repository."""

    def __init__(self, clone: Path, plan: Plan) -> None:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=clone, capture_output=True, check=True)
        paths = listed.stdout.decode().rstrip("\0").split("\0")
        self.committed: Files = {path: (clone / path).read_bytes() for path in paths}
        self._plan = plan
        self._settings = params.load(clone / PARAMS)
        self._customers = Customers(self._settings, plan.versions)

    def __iter__(self) -> Iterator[tuple[Model, Files]]:
        """(model, its files; of those that are in Git, the ones that are not the clone's)."""
        same = {path: entry(data) for path, data in (self.committed | PLOTS).items()}
        for number in range(self._plan.models):
            if number % self._plan.each == 0:
                of_state = self._of_state(self._plan.state(number))
                entries = {path: entry(data) for path, data in of_state.items()}
            model, files = self._model(number, same | entries)
            yield model, PLOTS | of_state | files

    def _of_state(self, state: int) -> Files:
        files = self._customers.files(state)
        customers, pointer = entry(files[CUSTOMERS]), self.committed[POINTERS[CUSTOMERS]].decode()
        pointer = re.sub(r"md5: \w{32}", f"md5: {customers.md5}", pointer)
        files[POINTERS[CUSTOMERS]] = re.sub(r"size: \d+", f"size: {customers.size}", pointer).encode()
        return files | {CODE: self.committed[CODE] + f"# for state {state} of the data\n".encode()}

    def _model(self, number: int, entries: dict[str, Entry]) -> tuple[Model, Files]:
        metrics = json.loads(self.committed[MEASURED])
        metrics["roc_auc"] = round(BASE + 0.1 * number / self._plan.models, 9)
        model, files = Model(number, entries, metrics), {}

        def add(path: str, data: bytes) -> None:
            files[path], entries[path] = data, entry(data)

        *recorded, last = json.loads(self.committed[RECORD])
        paths = [one["path"] for one in recorded]
        for path in paths:
            if path.startswith(f"{MODEL_FOLDER}/"):
                add(path, f"{path} of model {number}\n".encode())
        last["params"]["models.xgboost"]["rounds"] = model.rounds
        add(RECORD, as_json([*({"md5": entries[path].md5, "path": path} for path in paths), last]))
        add(MEASURED, as_json(metrics))
        decision = bars.decide(metrics, self._settings["register.gate"])
        told = {"model": MODEL, "content": model.content}
        add(MARKER, as_json(told | {"passed": decision.passed, "reasons": decision.reasons}))

        def locked(found: re.Match[str]) -> str:
            head, path, size, nfiles = found.groups()
            one = entries.get(path) or folder_entry(path, entries)
            return f"{head}{one.md5}{size}{one.size}" + (f"{nfiles}{one.files}" if nfiles else "")

        for path in (PARAMS.as_posix(), DVC_LOCK):
            text = ROUNDS.sub(f"rounds: {model.rounds}", self.committed[path].decode(), count=1)
            files[path] = ENTRY.sub(locked, text).encode()
        return model, files


class Importer:
    """Commits through `git fast-import`, ten thousand of them in seconds; a mark stands for each."""

    def __init__(self, project: Path, env: dict[str, str]) -> None:
        self._project, self._marks = project, 0
        words = ["git", "fast-import", "--quiet", "--export-marks=.git/marks"]
        self._process = subprocess.Popen(words, cwd=project, env=env, stdin=subprocess.PIPE)

    def _say(self, *lines: str) -> None:
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    def _data(self, data: bytes) -> None:
        self._say(f"data {len(data)}")
        self._process.stdin.write(data + b"\n")

    def commit(self, ref: str, message: str, files: Files, parents: Iterable[int]) -> int:
        """A commit with the tree of its first parent, but for some files."""
        self._marks += 1
        self._say(f"commit {ref}", f"mark :{self._marks}")
        self._say(f"committer Ada <ada@example.com> {BEGAN + APART * self._marks} +0000")
        self._data(message.encode())
        self._say(*(f"{word} :{parent}" for word, parent in zip(("from", "merge"), parents, strict=False)))
        for path, data in files.items():
            self._say(f"M 100644 inline {path}")
            self._data(data)
        return self._marks

    def tag(self, name: str, mark: int, message: str) -> None:
        self._say(f"tag {name}", f"from :{mark}", f"tagger Ada <ada@example.com> {BEGAN} +0000")
        self._data(message.encode())

    def light_tag(self, name: str, mark: int) -> None:
        self._say(f"reset refs/tags/{name}", f"from :{mark}", "")

    def close(self) -> dict[int, str]:
        """{mark: the commit's id}."""
        self._process.stdin.close()
        if self._process.wait():
            raise RuntimeError("git fast-import failed")
        lines = (self._project / ".git/marks").read_text().splitlines()
        return {int(mark[1:]): sha for mark, sha in map(str.split, lines)}


@dataclass(frozen=True)
class History:
    """A project with a long history, and what was noted when it was made.

    Attributes:
        models: by number.
        commits, before: the id of each model's commit, and of its parent, by number too.
    """

    project: Path
    plan: Plan
    models: list[Model]
    commits: list[str]
    before: list[str]

    def of_version(self, version: int) -> Model:
        return self.models[self.plan.of_version(version)]


def make(bench: Bench, plan: Plan, tell: Callable[[str], None]) -> History:
    """Make the project in the folder of `bench`: commits, cache, working tree and store."""
    tell("making the commits")
    project, clone = bench.folder / "project", bench.folder / "clone"
    bench.time(bench.folder, "git", "clone", "--quiet", str(REPOSITORY), str(clone))
    bench.time(bench.folder, "git", "init", "--quiet", "--initial-branch=main", str(project))
    made, marks, tips, models = [], [], {}, Models(clone, plan)
    importer = Importer(project, bench.env)
    for model, files in models:
        made.append(model)
        tracked = {path: data for path, data in files.items() if path in models.committed}
        marks.append(
            _commit(importer, plan, model.number, tracked if tips else models.committed | tracked, tips)
        )
        if model.number % plan.each == 0:
            for path in (CUSTOMERS, TRAIN_INDEX.as_posix(), TEST_INDEX.as_posix()):
                digest = model.entries[path].md5
                _write(project / ".dvc/cache/files/md5" / digest[:2] / digest[2:], files[path])
    ids = importer.close()
    commits, before = ([ids.get(mark, "") for mark in column] for column in zip(*marks, strict=True))
    history = History(project, plan, made, commits, before)
    _name_experiments(bench, history)
    bench.time(project, "git", "gc", "--quiet")
    bench.time(project, "git", "reset", "--quiet", "--hard")
    tell("making the store")
    for path in files.keys() - models.committed.keys():
        _write(project / path, files[path])
    bench.time(project, "python", "-m", "stages.register")
    _fill_store(history)
    bench.time(project, "dvc", "commit", "--quiet", "--force")
    bench.time(project, "git", "diff", "--exit-code")  # else dvc.lock is not what DVC would write
    return history


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _commit(
    importer: Importer, plan: Plan, number: int, files: Files, tips: dict[str, int]
) -> tuple[int, int]:
    """Commit a model, its tags, and some notes after it; the marks of its commit and of the one before.

    `tips` holds the mark at the end of each branch; one that the plan has left is merged and taken out.
    """
    branch = plan.branch(number)
    before = tips.get(branch) or tips.get("main", 0)
    parents = [before] if before else []
    if plan.experiment(number):
        mark = importer.commit(f"refs/making/{number}", f"model {number}", files, parents)
        tips[branch] = before
    else:
        following = {plan.branch(later) for later in (number, number + 1, number + 2)}
        parents += [tips.pop(ended) for ended in {*tips} - {"main"} - following if branch == "main"]
        mark = tips[branch] = importer.commit(f"refs/heads/{branch}", f"model {number}", files, parents)
    for note in range(1, plan.apart):
        notes = {"notes.txt": f"{note} on model {number}\n".encode()}
        tips[branch] = importer.commit(f"refs/heads/{branch}", "a note", notes, [tips[branch]])
    if version := plan.version(number):
        importer.tag(f"v{version}", mark, f"version {version}")
    if number % plan.each < 2:
        importer.light_tag(f"model-{number}", mark)
    return mark, before


def _name_experiments(bench: Bench, history: History) -> None:
    """Give the experiments the refs that DVC gives them: named after the commit that they began at."""
    lines = []
    for number, before in enumerate(history.before):
        if name := history.plan.experiment(number):
            lines.append(f"create refs/exps/{before[:2]}/{before[2:]}/{name} {history.commits[number]}\n")
            lines.append(f"delete refs/making/{number}\n")
    words = ["git", "update-ref", "--stdin"]
    subprocess.run(words, cwd=history.project, env=bench.env, input="".join(lines), text=True, check=True)


def _fill_store(history: History) -> None:
    """Copy the run and the version of the last model, the store's only ones, for all the others."""
    plan, last = history.plan, history.models[-1]
    with closing(sqlite3.connect(history.project / DATABASE)) as store, store:
        store.row_factory = sqlite3.Row
        for table in (*OF_A_VERSION, "registered_model_aliases"):
            store.execute(f"UPDATE {table} SET version = {plan.versions}")
        store.execute("DELETE FROM tags WHERE key = ?", [RESTORED_TAG])
        rows = {
            table: store.execute(f"SELECT * FROM {table}").fetchall() for table in OF_A_RUN + OF_A_VERSION
        }
        run = rows["runs"][0]["run_uuid"]
        for model in history.models[:-1]:
            version = plan.version(model.number)
            names = {last.entries[path].md5: one.md5 for path, one in model.entries.items()}
            names |= {run: model.run, history.commits[-1]: history.commits[model.number]}
            for table in OF_A_RUN + OF_A_VERSION if version else OF_A_RUN:
                _copy(store, table, rows[table], names, version)
            if name := plan.experiment(model.number):
                store.execute("INSERT INTO tags VALUES ('dvc.exp_name', ?, ?)", [name, model.run])
            values = {
                "began": 1000 * (BEGAN + APART * plan.apart * model.number),
                "run": model.run,
                "rounds": str(model.rounds),
                "roc_auc": model.metrics["roc_auc"],
                "stage": "Production" if version == plan.versions - 1 else "Archived",
            }
            for change in CHANGES:
                store.execute(change, values)
        production = [plan.versions - 1, MODEL]
        store.execute(
            "INSERT INTO registered_model_aliases (alias, version, name) VALUES ('production', ?, ?)",
            production,
        )


def _copy(
    store: sqlite3.Connection, table: str, rows: list[sqlite3.Row], names: dict[str, str], version: int | None
) -> None:
    """Insert rows again, with every md5, commit and run that `names` has another name for."""

    def renamed(column: str, value: Any) -> Any:
        if column == "version":
            return version
        if not isinstance(value, str):
            return value
        return DIGEST.sub(lambda found: names.get(found[0], found[0]), value)

    new = [[renamed(column, row[column]) for column in row.keys()] for row in rows]  # noqa: SIM118
    store.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in new[0])})", new)
