"""Promotions begin with the history that the tests of lineage made, or with one made through a server."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project, once
from tests.lineage.conftest import History, Made, history_template
from tests.lineage.conftest import history as in_a_database
from tests.promote import server as served
from tests.promote.server import Server

__all__ = ["history_template", "in_a_database"]


def opened(folder: Path, home: Path, noted: Path) -> History:
    made = [Made(**one) for one in json.loads(noted.read_text())]
    home.mkdir(exist_ok=True)
    return History(Project(folder, home), {one.name: one for one in made})


@pytest.fixture(scope="session")
def promoted_template(history_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The history after promotions to both stages, a refusal, a forced one and a rollback, in project/."""

    def make(top: Path) -> None:
        shutil.copytree(history_template / "project", top / "project", symlinks=True)
        shutil.copyfile(history_template / "made.json", top / "made.json")
        history = opened(top / "project", top / "home", top / "made.json")
        versions = {name: f"churn-predictor/{made.version}" for name, made in history.made.items()}
        history.project.edit("params.yaml", "margin: 0.01", "margin: 0.1")
        history.project.commit("a wide margin: of some hundred customers nothing is sure")
        history.told("promote", versions["first"], "--to", "production")
        history.told("promote", versions["other data"], "--to", "production", "--reason", "newer data")
        history.told("promote", versions["all at once"], "--to", "staging")
        history.told("promote", versions["never committed"], "--to", "production", code=1)
        text = history.project.read("params.yaml")
        head, _, block = text.partition("promote:\n")
        strict = block.replace("roc_auc: 0.6", "roc_auc: 0.99", 1)
        (history.project.folder / "params.yaml").write_text(f"{head}promote:\n{strict}")
        asked = ("promote", versions["on a branch"], "--to", "production")
        history.told(*asked, code=1)
        history.told(*asked, "--force", "--reason", "it must be today")
        (history.project.folder / "params.yaml").write_text(text)
        history.told("rollback", "--reason", "complaints")

    return once(tmp_path_factory, "promoted", make)


@pytest.fixture
def promoted(promoted_template: Path, tmp_path: Path) -> History:
    """A copy: "other data" (version 3) is in Production again, "all at once" (version 6) in Staging."""
    shutil.copytree(promoted_template / "project", tmp_path / "project", symlinks=True)
    return opened(tmp_path / "project", tmp_path / "home", promoted_template / "made.json")


@pytest.fixture(scope="session")
def served_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "served", served.make)


@pytest.fixture(scope="session")
def one_server(served_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server takes seconds to start: each process of the tests has one."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.hold(served_template / "server")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(one_server: Server, served_template: Path) -> Server:
    """A running server that holds three versions: "first", "other params" and "other data"."""
    one_server.hold(served_template / "server")
    if not one_server.up:
        one_server.start()
    return one_server


@pytest.fixture
def at_a_server(server: Server, served_template: Path, tmp_path: Path) -> History:
    """The project that made these versions, in a place of its own."""
    shutil.copytree(served_template / "project", tmp_path / "project", symlinks=True)
    history = opened(tmp_path / "project", tmp_path / "home", served_template / "made.json")
    history.project.env["MLFLOW_TRACKING_URI"] = server.uri
    history.artifacts = server.artifacts
    return history


@pytest.fixture
def history(request: pytest.FixtureRequest) -> History:
    """The history with its own database or, where a test asks for it (`both`), at a server."""
    return request.getfixturevalue(getattr(request, "param", "in_a_database"))
