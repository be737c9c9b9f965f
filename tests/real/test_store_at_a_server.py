"""What a store tells through a server is what its database tells."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from predictflow.adapters.mlflow_client import Client
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.adapters.mlflow_store import find_store
from tests.people.project import environment
from tests.people.server import address
from tests.people.store import ask
from tests.people.waiting import until

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def server(database: Path, tmp_path: Path) -> Iterator[str]:
    """A real MLflow server with the store; gives its address."""
    log = tmp_path / "log"
    words = f"mlflow server --port 0 --workers 1 --backend-store-uri sqlite:///{database}"
    with log.open("w") as said:
        process = subprocess.Popen(
            [*words.split(), "--artifacts-destination", str(tmp_path / "artifacts")],
            env=environment(tmp_path),
            cwd=tmp_path,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    try:
        yield until(lambda: address(log, process), "the server")
    finally:
        process.terminate()
        process.wait()


def test_a_server_answers_as_its_database_does(server: str, database: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    found = find_store()
    assert isinstance(found, Client)
    assert ask(found) == ask(Database(database))
