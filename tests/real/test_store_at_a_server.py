"""What a store tells through a server is what its database tells."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from predictflow.adapters.mlflow_client import Client
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.adapters.mlflow_store import find_store
from tests.people.project import environment
from tests.people.server import serving
from tests.people.store import ask

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def server(database: Path, tmp_path: Path) -> Iterator[str]:
    """A real MLflow server with the store; gives its address."""
    words = f"mlflow server --workers 1 --backend-store-uri sqlite:///{database} --artifacts-destination"
    with serving([*words.split(), str(tmp_path / "artifacts")], tmp_path, environment(tmp_path)) as address:
        yield address


def test_a_server_answers_as_its_database_does(server: str, database: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    found = find_store()
    assert isinstance(found, Client)
    assert ask(found) == ask(Database(database))
