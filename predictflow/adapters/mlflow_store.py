"""The store that the stages write to: found, written to, and what it raises."""

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from predictflow.adapters.mlflow_client import Client, reason_of, tracking_client
from predictflow.adapters.mlflow_entities import REBUILT_TAG, RunReader, Version
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.adapters.processes import environ
from predictflow.errors import Missing, Unreachable, masked
from stages.support import params
from stages.support.errors import UserError, refusal, who_asks
from stages.tracking import registry
from stages.tracking.registry import RegistryStage
from stages.tracking.store import SQLITE, TrackingStore, ensure_tables, open_store, tracking_uri

FORBIDDEN = 403
NO_ALIAS = "predictflow-asks-for-rights"  # no version ever has it


def find_store() -> RunReader:
    """The store that the stages write to. Raises Missing where it is not there, Unreachable where that
    cannot be seen."""
    uri = tracking_uri()
    if not uri.startswith(SQLITE):
        return Client(uri)
    path = Path(uri.removeprefix(SQLITE))
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise Missing(f"{path} is not there") from None
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}") from error
    return Database(path)


def ensure_own_tables() -> None:
    """Raise UserError where the store is a database of another MLflow's: nothing could be written to it. One
    that cannot be read is told by who reads it."""
    uri = tracking_uri()
    path = Path(uri.removeprefix(SQLITE))
    if uri.startswith(SQLITE) and path.is_file():
        with contextlib.suppress(Unreachable):
            ensure_tables(path)


def store_errors() -> tuple[type[Exception], ...]:
    """What is raised where a store does not take what it is given: by MLflow, by SQLAlchemy beneath it, by
    the network or a full disk; or where it is out of reach."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError, Unreachable


def log_values(
    store: TrackingStore, run_id: str, logged: Mapping[str, object], metrics: Mapping[str, float], when: int
) -> None:
    """Log the params that a run lacks, and its metrics as of one moment, in milliseconds since 1970."""
    from mlflow.entities import Metric, Param

    there = store.client.get_run(run_id).data.params
    store.client.log_batch(
        run_id,
        params=[Param(key, str(value)) for key, value in logged.items() if key not in there],
        metrics=[Metric(key, value, when, 0) for key, value in metrics.items()],
    )


def ensure_may_move(version: Version, registry_stage: str) -> None:
    """Let a server say, before anything is written of it, whether who asks may put a version in a stage.

    What a move asks for is asked for in a way that changes nothing: a tag's own value again and, where an
    alias would go, one that nothing has. An own database has no rights.

    Raises UserError where the server does not let them, or does not answer.
    """
    uri = tracking_uri()
    if uri.startswith(SQLITE):
        return
    other = {stage.alias for stage in RegistryStage if stage != registry_stage}
    right = "EDIT"
    try:
        client = tracking_client(uri)
        for tag, value in [*version.tags.items()][:1]:
            client.set_model_version_tag(version.model, str(version.number), tag, value)
        right = "MANAGE"
        if other.intersection(version.aliases):
            client.delete_registered_model_alias(version.model, NO_ALIAS)
    except store_errors() as error:
        reason, _, cure = (refusal(str(error)) or reason_of(error)).partition("\nCure: ")
        if getattr(error, "get_http_status_code", int)() == FORBIDDEN:
            reason = (
                f"{who_asks()} lacks the right {right} on the registered model {version.model} there (403)"
            )
            cure = "the server's keeper grants it, or somebody promotes who has it."
        raise UserError(
            f"{version.name} cannot be moved at {masked(uri)}: {reason}. Nothing was written.\n"
            f"Cure: {cure or 'once it answers, the same command again.'}"
        ) from error


def move_version(version: Version, registry_stage: str, tags: Mapping[str, str]) -> None:
    """Put a version in a stage, MLflow's stage and alias together, and tag it.

    Raises UserError or Unreachable where MLflow does not take it.
    """
    from mlflow.exceptions import MlflowException

    number = str(version.number)
    try:
        store = open_store(params.load())
        registry.move(store, version.model, number, registry_stage)
        for name, value in tags.items():
            store.client.set_model_version_tag(version.model, number, name, value)
    except MlflowException as error:
        raise Unreachable(reason_of(error)) from error


def mark_rebuilt(versions: Iterable[Version], words: str) -> None:
    """Tag versions with a verdict and its time. Raises Unreachable where that cannot be written."""
    try:
        client = open_store(params.load()).client
        for version in versions:
            client.set_model_version_tag(version.model, str(version.number), REBUILT_TAG, words)
    except UserError as error:
        raise Unreachable(str(error).splitlines()[0]) from error
    except Exception as error:  # of MLflow, of its database's driver, of the network
        raise Unreachable(f"the registry does not take the verdict: {reason_of(error)}") from error


def migrate(database: Path) -> None:
    """Let MLflow bring a database's tables to its own, one way, in a process of its own: SQLAlchemy's
    connections and MLflow's settings end with it. Raises UserError where it cannot."""
    words = [sys.executable, "-m", "mlflow", "db", "upgrade", f"{SQLITE}{database}"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environ())
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise UserError(
            f"MLflow could not migrate the copy: {lines[-1] if lines else 'it was killed'}\n"
            f"Cure: the store is as it was. `mlflow db upgrade` on a copy of it tells more."
        )
