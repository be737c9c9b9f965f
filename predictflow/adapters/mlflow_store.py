"""The store that the stages write to."""

from pathlib import Path

from predictflow.adapters.mlflow_client import Client
from predictflow.adapters.mlflow_entities import RunReader
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.errors import Missing, Unreachable
from stages.tracking.store import SQLITE, tracking_uri


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
