"""The store that the stages write to: found, written to, and what it raises."""

from collections.abc import Mapping
from pathlib import Path

from predictflow.adapters.mlflow_client import Client
from predictflow.adapters.mlflow_entities import RunReader
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.errors import Missing, Unreachable
from stages.tracking.store import SQLITE, TrackingStore, tracking_uri


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


def store_errors() -> tuple[type[Exception], ...]:
    """What is raised where a store does not take what it is given: by MLflow, by SQLAlchemy beneath it, by
    the network or a full disk; or where it is out of reach."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError, Unreachable


def log_values(
    store: TrackingStore, run_id: str, params: Mapping[str, object], metrics: Mapping[str, float], when: int
) -> None:
    """Log the params that a run lacks, and its metrics as of one moment, in milliseconds since 1970."""
    from mlflow.entities import Metric, Param

    there = store.client.get_run(run_id).data.params
    store.client.log_batch(
        run_id,
        params=[Param(key, str(value)) for key, value in params.items() if key not in there],
        metrics=[Metric(key, value, when, 0) for key, value in metrics.items()],
    )
