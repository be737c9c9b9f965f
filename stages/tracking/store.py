"""The MLflow store: made once, opened by every stage, and no run in it left open by a kill."""

import errno
import gc
import getpass
import logging
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from stages.support import git
from stages.support.errors import CURES, Unreachable, UserError, masked, refusal
from stages.support.params import Params
from stages.tracking import tables

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from psutil import Process

SQLITE = "sqlite:///"
CONTENT_TAG = "predictflow.content"
RESTORED_TAG = "predictflow.restored"
MD5_PREFIX = "md5/"  # before a path, in the name of a tag
# What SQLite says of a disk or of its permissions, not of the database.
OF_THE_DISK = {
    "disk is full": errno.ENOSPC,
    "disk I/O error": errno.ENOSPC,
    "readonly database": errno.EACCES,
    "unable to open database": errno.EACCES,
}
HOST_TAG, PID_TAG, BEGAN_TAG = "predictflow.host", "predictflow.pid", "predictflow.began_since_boot"
# By `predictflow.began` older runs tell it, by the clock.
PROCESS_TAGS = (HOST_TAG, PID_TAG, BEGAN_TAG, "predictflow.began")


def root() -> Path:
    """The user's own repository, also while DVC runs a stage elsewhere (`--temp`, the queue)."""
    here = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    inside = here.as_posix().partition("/.dvc/tmp/exps/")[0]
    return Path(inside)


@dataclass(frozen=True)
class TrackingStore:
    """An open store and the experiment in it.

    Attributes:
        lock: under which the processes of this machine take turns at what must be done once.
    """

    client: "MlflowClient"
    experiment_id: str
    lock: FileLock

    def find(self, content: str) -> "Run | None":
        """The newest run of a content; inside an experiment of DVC's, of this experiment alone."""
        wanted = f"tags.`{CONTENT_TAG}` = '{content}'"
        if name := os.environ.get("DVC_EXP_NAME"):
            wanted += f" and tags.`dvc.exp_name` = '{name}'"
        runs = self.client.search_runs([self.experiment_id], wanted, max_results=1)
        return runs[0] if runs else None

    def create(self, name: str, tags: dict[str, str] | None = None) -> str:
        """Begin a run and return its id; DVC's experiment, if there is one, gives it its name."""
        self._ensure_files_stay_here()
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

        self._ensure_files_stay_here()
        mine = [RunTag(key, value) for key, value in _this_process().items()]
        self.client.log_batch(run_id, tags=mine)
        with mlflow.start_run(run_id=run_id):
            yield

    def _ensure_files_stay_here(self) -> None:
        """Raise UserError where MLflow would put a run's files into the place that a project was moved or
        copied from: it keeps that of an experiment as it was made."""
        address = self.client.get_experiment(self.experiment_id).artifact_location
        if other := place_before(address):
            raise UserError(
                f"this project was moved or copied: MLflow would put the run's files into {other}.\n"
                "Cure: `predictflow restore` lets the addresses follow; then the same command again."
            )


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else mlflow_data/mlflow.db in the user's repository.

    A database's path is made absolute from there, so that an experiment in a folder of its own finds it.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow_data/mlflow.db"
    if given.startswith(SQLITE):
        return f"{SQLITE}{root() / given.removeprefix(SQLITE)}"
    return given


def store_lock(where: str) -> FileLock:
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
    where = tracking_uri()
    try:
        if where.startswith(("http://", "https://")):
            import requests

            requests.get(where, timeout=5)
        elif where.startswith(SQLITE):
            with store_lock(where):
                database = Path(where.removeprefix(SQLITE))
                if database.exists():
                    ensure_tables(database)
                _write_ahead(database)
                tables.lay(database)
        elif "://" in where:
            from stages.tracking.network_database import ensure_answers

            ensure_answers(where)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(where, error) from error
    except Unreachable as error:
        raise _unusable(where, error.__cause__ or error) from error


def open_store(settings: Params) -> TrackingStore:
    """Open the store, make it where there is none, end the runs that a kill left open.

    Raises UserError where it cannot be read.
    """
    reach()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    gc.disable()  # without a search for garbage in what it imports MLflow takes half the time
    import mlflow
    import mlflow.store.tracking.sqlalchemy_store

    gc.freeze()
    gc.enable()
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    where, own, name = tracking_uri(), own_artifacts(), settings["tracking.experiment"]
    if masked(where) != where:  # else MLflow prints the address of each run with the password
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    try:
        mlflow.set_tracking_uri(where)
        # Two processes that make a store's tables at the same time break it for good.
        with store_lock(where) as lock:
            client = mlflow.MlflowClient(where)
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                experiment = client.get_experiment(
                    client.create_experiment(name, own.as_uri() if own else None)
                )
    except Exception as error:
        raise _unusable(where, error) from error
    if experiment.lifecycle_stage == "deleted":
        raise UserError(
            f"the experiment {name} lies in MLflow's trash.\n"
            f"Cure: `mlflow experiments restore -x {experiment.experiment_id}`, or another"
            " tracking.experiment in params.yaml."
        )
    store = TrackingStore(client, experiment.experiment_id, lock)
    _end_the_dead(store)
    return store


def own_artifacts() -> Path | None:
    """Where a database's files lie: beside it, for MLflow's own choice is ./mlruns of whatever folder it is
    called in; None at a server."""
    where = tracking_uri()
    return Path(where.removeprefix(SQLITE)).parent / "artifacts" if where.startswith(SQLITE) else None


def place_before(address: str | None) -> Path | None:
    """The folder of files that an experiment's address names, where it is that of before a move (it is gone)
    or of the project that this one is a copy of (a database lies beside it); None for any other."""
    own, parts = own_artifacts(), urlsplit(address or "")
    folder = Path(unquote(parts.path)).resolve()
    is_named_alike = parts.scheme in ("", "file") and own and folder.parts[-2:] == own.parts[-2:]
    if not own or not is_named_alike or folder == own.resolve():
        return None
    return folder if not folder.is_dir() or (folder.parent / Path(tracking_uri()).name).is_file() else None


def _unusable(where: str, error: BaseException) -> UserError:
    if refused := refusal(str(error)):
        return UserError(f"{masked(where)}: {refused}")
    cure = (
        "start its server, correct MLFLOW_TRACKING_URI, or unset it for the project's own store; if that one"
        " is broken, move mlflow_data/ away, and `dvc repro` makes and registers everything again"
    )
    by_disk = (CURES[number] for said, number in OF_THE_DISK.items() if said in str(error))
    cure = CURES.get(getattr(error, "errno", None) or 0) or next(by_disk, cure)
    return UserError(
        f"the tracking store {masked(where)} cannot be used: {masked(str(error))}\nCure: {cure}."
    )


def _write_ahead(database: Path) -> None:
    """SQLite's write-ahead log: readers and one writer at a time do not lock each other out."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def ensure_tables(database: Path) -> None:
    """Raise UserError where a database is another MLflow's: an older one this MLflow would migrate, one way,
    as soon as it opens it. Raises Unreachable where it cannot be read."""
    there = tables.compare(database)
    if there and there.difference:
        raise UserError(f"the tracking store {database} {there.difference}")


def _this_process() -> dict[str, str]:
    """What tells this process from every other, also from a later one with the same pid."""
    import psutil

    ours = psutil.Process()
    return {HOST_TAG: socket.gethostname(), PID_TAG: str(ours.pid), BEGAN_TAG: began_since_boot(ours)}


def began_since_boot(process: "Process") -> str:
    """When a process began, in seconds since the machine was started where the system counts so: a clock that
    is set while it runs does not make another process of it."""
    import psutil

    return f"{process.create_time() - (psutil.boot_time() if psutil.LINUX else 0):.2f}"


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that made a run has ended; False where that cannot be told from here.

    An older run, without BEGAN_TAG, goes by its pid alone.
    """
    import psutil

    if tags.get(HOST_TAG) != socket.gethostname() or PID_TAG not in tags:
        return False
    try:
        process = psutil.Process(int(tags[PID_TAG]))
        is_another, status = tags.get(BEGAN_TAG) not in (None, began_since_boot(process)), process.status()
    except psutil.NoSuchProcess:
        return True
    # A zombie has ended; in a container without an init nobody ever takes it away.
    return is_another or status == psutil.STATUS_ZOMBIE


def _end_the_dead(store: TrackingStore) -> None:
    """End as KILLED the runs that say RUNNING though their process, on this host, is gone."""
    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'"):
        if is_gone(run.data.tags):
            store.client.set_terminated(run.info.run_id, "KILLED")
