"""The MLflow store: every run found by its content, none lost, doubled or left open.

A run belongs to a content (the md5 of models/provenance.json), not to the process that made it. A stage
that DVC restores from its cache runs nothing, so each later stage first completes the run from the
recorded files: `complete` may be called any number of times.
"""

import gc
import getpass
import json
import logging
import os
import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from stages import files, git, provenance
from stages.errors import UserError
from stages.params import Params
from stages.provenance import FOLDER, PROVENANCE, Provenance

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SQLITE = "sqlite:///"
CONTENT = "predictflow.content"
RESTORED = "predictflow.restored"
NOTE = "mlflow.note.content"  # what MLflow's UI shows as a run's description
HOST, PID, BEGAN = "predictflow.host", "predictflow.pid", "predictflow.began"

PREPARED = Path("metrics/prepare/metrics.json")
CURVES = Path("metrics/train/plots")
EVALUATION = Path("metrics/evaluate")
BATCH = 1000  # metrics that MLflow takes in one call
DATASETS = {  # path: how the run used it
    "data/customers.csv": "source",
    "data/prepared/train.parquet": "training",
    "data/prepared/test.parquet": "testing",
}


def root() -> Path:
    """The user's own repository, also while DVC runs a stage elsewhere (`--temp`, the queue)."""
    here = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    inside = here.as_posix().partition("/.dvc/tmp/exps/")[0]
    return Path(inside)


@dataclass(frozen=True)
class Store:
    """An open store and the experiment in it.

    Attributes:
        lock: under which the processes of this machine take turns at what must be done once.
    """

    client: "MlflowClient"
    experiment_id: str
    lock: FileLock

    def find(self, content: str) -> "Run | None":
        """The newest run of a content; inside an experiment of DVC's, of this experiment alone."""
        wanted = f"tags.`{CONTENT}` = '{content}'"
        if name := os.environ.get("DVC_EXP_NAME"):
            wanted += f" and tags.`dvc.exp_name` = '{name}'"
        runs = self.client.search_runs([self.experiment_id], wanted, max_results=1)
        return runs[0] if runs else None

    def create(self, name: str, tags: dict[str, str] | None = None) -> str:
        """Begin a run and return its id; DVC's experiment, if there is one, gives it its name."""
        experiment = {
            "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
            "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        }
        experiment = {tag: value for tag, value in experiment.items() if value}
        tags = (tags or {}) | experiment | git.state() | _this_process()
        tags["mlflow.user"] = _user()
        tags["mlflow.source.name"] = "dvc.yaml"
        tags["mlflow.source.git.commit"] = tags["git.commit"]
        run_name = experiment.get("dvc.exp_name", name)
        return self.client.create_run(self.experiment_id, tags=tags, run_name=run_name).info.run_id

    @contextmanager
    def running(self, run_id: str) -> Iterator[None]:
        """Keep a run RUNNING, marked with this process, then end it as FINISHED or FAILED."""
        import mlflow
        from mlflow.entities import RunTag

        mine = [RunTag(key, value) for key, value in _this_process().items()]
        self.client.log_batch(run_id, tags=mine)
        with mlflow.start_run(run_id=run_id):
            yield


def uri() -> str:
    """MLFLOW_TRACKING_URI, else mlflow_data/mlflow.db in the user's repository.

    A database's path is made absolute from there, so that an experiment in a folder of its own finds it.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow_data/mlflow.db"
    if given.startswith(SQLITE):
        return f"{SQLITE}{root() / given.removeprefix(SQLITE)}"
    return given


def _lock(where: str) -> FileLock:
    """Under which the processes of this machine take turns at what must be done once: beside a database,
    so that all its users share it."""
    database = where.removeprefix(SQLITE) if where.startswith(SQLITE) else root() / "mlflow_data/server"
    folder = Path(database).parent
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def reach() -> None:
    """Raise UserError, within seconds and before anything is trained, where the store does not answer."""
    where = uri()
    try:
        if where.startswith(("http://", "https://")):
            import requests

            requests.get(where, timeout=5)
        elif where.startswith(SQLITE):
            with _lock(where):
                _write_ahead(Path(where.removeprefix(SQLITE)))
    except (OSError, sqlite3.Error) as error:
        raise _unusable(where, error) from error


def open_store(settings: Params) -> Store:
    """Open the store, make it where there is none, end the runs that a kill left open.

    Raises UserError where it cannot be read.
    """
    reach()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    gc.disable()  # an import makes no garbage: without the search for it MLflow starts a fifth faster
    import mlflow
    import mlflow.store.tracking.sqlalchemy_store

    gc.enable()
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    where, name = uri(), settings["tracking.experiment"]
    try:
        mlflow.set_tracking_uri(where)
        # Two processes that make a store's tables at the same time break it for good.
        with _lock(where) as lock:
            client = mlflow.MlflowClient(where)
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                experiment = client.get_experiment(client.create_experiment(name, _artifacts(where)))
    except Exception as error:
        raise _unusable(where, error) from error
    if experiment.lifecycle_stage == "deleted":
        raise UserError(
            f"the experiment {name} lies in MLflow's trash.\n"
            f"Cure: `mlflow experiments restore -x {experiment.experiment_id}`, or another"
            " tracking.experiment in params.yaml."
        )
    store = Store(client, experiment.experiment_id, lock)
    _end_the_dead(store)
    return store


def _artifacts(where: str) -> str | None:
    """Beside the database; MLflow's own choice is ./mlruns of whatever folder it is called in."""
    if not where.startswith(SQLITE):
        return None
    return (Path(where.removeprefix(SQLITE)).parent / "artifacts").as_uri()


def _unusable(where: str, error: Exception) -> UserError:
    where = re.sub("//[^@/]*@", "//…@", where)  # no password in a log
    return UserError(
        f"the tracking store {where} cannot be used: {error}\n"
        "Cure: start its server, or unset MLFLOW_TRACKING_URI for the project's own store; if that one"
        " is broken, move mlflow_data/ away, and `dvc repro` makes and registers everything again."
    )


def _write_ahead(database: Path) -> None:
    """SQLite's write-ahead log: readers and one writer at a time do not lock each other out."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _this_process() -> dict[str, str]:
    """What tells this process from every other, also from a later one with the same pid."""
    import psutil

    began = psutil.Process().create_time()
    return {HOST: socket.gethostname(), PID: str(os.getpid()), BEGAN: str(round(began, 2))}


def _end_the_dead(store: Store) -> None:
    """End as KILLED the runs that say RUNNING though their process, on this host, is gone."""
    import psutil

    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        if tags.get(HOST) != socket.gethostname():
            continue
        try:
            began = psutil.Process(int(tags[PID])).create_time()
        except psutil.NoSuchProcess:
            began = 0.0
        if str(round(began, 2)) != tags[BEGAN]:
            store.client.set_terminated(run.info.run_id, "KILLED")


def autolog(flavor: str) -> None:
    """Let MLflow note by itself what a fit is given; models, data and test metrics are noted once, by us."""
    import importlib

    quiet = {"log_models": False, "log_datasets": False, "silent": True}
    if flavor == "xgboost":
        quiet["importance_types"] = []
    else:
        quiet["log_post_training_metrics"] = False
    importlib.import_module(f"mlflow.{flavor}").autolog(**quiet)


@contextmanager
def resumed(store: Store) -> Iterator[str]:
    """The run of the recorded model, RUNNING while its evaluation is worked on; gives its id.

    Where the store has none (its stage was restored from DVC's cache, or the store is new), a run is
    made and marked as restored.

    Raises UserError, before any run is touched, where the prepared data is not what the model is of.
    """
    recorded = provenance.read()
    if not files.read_json(PREPARED)["md5"].items() <= recorded.md5s.items():
        raise UserError(f"{PREPARED} tells of other data than {PROVENANCE}.\nCure: `dvc repro`.")
    with store.lock:
        run = store.find(recorded.content)
        if run is None:
            name = recorded.params["train"]["model"]
            run_id = store.create(name, {RESTORED: "true", CONTENT: recorded.content})
        else:
            run_id = run.info.run_id
    with store.running(run_id):
        yield run_id


def complete(store: Store, run_id: str, *, evaluated: bool) -> None:
    """Hold a run against the recorded files and log what it lacks; calling it again changes nothing.

    Args:
        evaluated: whether metrics/evaluate/ is of this model as well.

    Raises UserError where a recorded file is not here.
    """
    needed = [PROVENANCE, FOLDER, PREPARED, CURVES]
    if evaluated:
        needed += [EVALUATION / "metrics.json", EVALUATION / "plots"]
    if missing := [str(path) for path in needed if not path.exists()]:
        raise UserError(f"{', '.join(missing)} is not here.\nCure: `dvc checkout`, or `dvc pull`.")
    _fill(store, run_id, provenance.read(), evaluated)


def _fill(store: Store, run_id: str, recorded: Provenance, evaluated: bool) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client = store.client
    run = client.get_run(run_id)
    prepared = files.read_json(PREPARED)
    now = int(time.time() * 1000)
    tags = {CONTENT: recorded.content} | {f"md5/{k}": v for k, v in recorded.md5s.items()}
    params = {key: str(value) for key, value in flat(recorded.params).items()}
    metrics = [Metric(*point) for point in _curves(now) if point[0] not in run.data.metrics]
    measured = len(metrics)
    if evaluated:
        for key, value in flat(files.read_json(EVALUATION / "metrics.json")).items():
            if run.data.metrics.get(key) != value:
                metrics.append(Metric(key, value, now, 0))
    missing_tags = [RunTag(k, v) for k, v in tags.items() if run.data.tags.get(k) != v]
    if NOTE not in run.data.tags:  # once: what a person has written there since then stays
        done = "restored" if RESTORED in run.data.tags else "made"
        missing_tags.append(RunTag(NOTE, describe(recorded, prepared, run.data.tags, done)))
    missing_params = [Param(k, v) for k, v in params.items() if k not in run.data.params]
    client.log_batch(run_id, tags=missing_tags, params=missing_params)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    if not run.inputs.dataset_inputs:
        client.log_inputs(run_id, _datasets(recorded.md5s, prepared))
    held = {item.path for item in client.list_artifacts(run_id)}
    if PROVENANCE.name not in held:
        for path in map(Path, recorded.md5s):
            if path.parent == FOLDER:
                client.log_artifact(run_id, str(path), "model")
        client.log_artifacts(run_id, str(CURVES), "train")
        client.log_artifact(run_id, str(PROVENANCE))  # last: it says that the others are there
    if evaluated and ("evaluate" not in held or len(metrics) > measured):
        client.log_artifacts(run_id, str(EVALUATION / "plots"), "evaluate")


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{dotted name: leaf} of nested dicts; the declared columns are left to provenance.json."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}".removeprefix(".")
        if name != "data.columns":
            leaves |= flat(value, name)
    return leaves


def _curves(now: int) -> Iterator[tuple[str, float, int, int]]:
    """(key, value, time, step) of what dvclive wrote: some 100 points a curve, the last one among them."""
    folder = CURVES / "metrics"
    for path in sorted(folder.rglob("*.tsv")):
        key = path.relative_to(folder).with_suffix("").as_posix().replace("/", ".")
        points = path.read_text(encoding="utf-8").splitlines()[1:]
        for point in points[:: -(len(points) // 100 + 1)]:
            step, value = point.split("\t")
            yield key, float(value), now, int(step)


def _datasets(md5s: dict[str, str], prepared: dict[str, Any]) -> list[Any]:
    """The data as MLflow knows it: DVC's path as the source, DVC's md5 as the digest, and the rows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                Path(path).name,
                md5s[path],
                "local",
                json.dumps({"uri": path}),
                profile=json.dumps({"num_rows": _counts(prepared, path)["rows"]}),
            ),
            [InputTag("mlflow.data.context", use)],
        )
        for path, use in DATASETS.items()
    ]


def _counts(prepared: dict[str, Any], path: str) -> dict[str, int]:
    """The rows and positives of a file of DATASETS; each customer of the source is on one side."""
    train, test = prepared["train"], prepared["test"]
    return prepared.get(Path(path).stem) or {key: train[key] + test[key] for key in train}


def describe(recorded: Provenance, prepared: dict[str, Any], tags: dict[str, str], done: str) -> str:
    """What a person in MLflow's UI wants to know of a run or a version, in Markdown.

    Args:
        prepared: metrics/prepare/metrics.json.
        tags: git.state() when the run was made or the version registered; dvc.exp_name where it has one.
        done: at that commit: made, restored or registered.
    """
    settings = flat(recorded.params)
    chosen = {k: v for k, v in settings.items() if k.startswith(("models.", "train.", "seed"))}
    changes = ", with uncommitted changes" if tags["git.dirty"] == "true" else ""
    find = f"git log --all --reverse --format=%h -S {recorded.content} -- dvc.lock"

    def customers(path: str) -> str:
        counts = _counts(prepared, path)
        return f"{counts['rows']:,} customers, {counts['positives']:,} of them positive"

    lines = [
        "| | |",
        "|---|---|",
        *[f"| {path} | {customers(path)}, md5 `{recorded.md5s[path]}` |" for path in DATASETS],
        f"| experiment | {tags.get('dvc.exp_name', '`dvc repro`')} |",
        f"| {done} at commit | `{tags['git.commit'][:10] or 'none'}`{changes} |",
        f"| environment | requirements.lock, md5 `{recorded.md5s['requirements.lock']}` |",
        f"| content | `{recorded.content}` |",
        *[f"| {key} | {value} |" for key, value in chosen.items()],
        "",
        "Where it comes from, and what else came of it:",
        "",
        "```",
        f"predictflow lineage {recorded.content}",
        "```",
        "",
        "With Git alone: go to the first commit that holds it (none does, if its dvc.lock was never"
        " committed), and rebuild it, byte for byte:",
        "",
        "```",
        f'git checkout "$({find} | head -n 1)"',
        "MLFLOW_TRACKING_URI=sqlite:///mlflow_data/rebuild.db make repro",
        "git diff --exit-code dvc.lock",
        "```",
    ]
    return "\n".join(lines)
