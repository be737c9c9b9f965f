"""The fixtures of all tiers: projects that are a test's own, and the people who work in them."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests import templates
from tests.people import customers
from tests.people.history import History, opened
from tests.people.project import REPOSITORY, Project, copy_repository
from tests.people.server import Server


@pytest.fixture
def in_a_hurry() -> bool:
    """Whether Python's commands are forked off a process that has their libraries; in tests/real they are
    not."""
    return True


# --- Templates: to be looked at and copied ---------------------------------------------------------------


@pytest.fixture(scope="session")
def warm_template() -> Path:
    return templates.laid_out("warm") / "project"


@pytest.fixture(scope="session")
def history_template() -> Path:
    return templates.laid_out("history")


@pytest.fixture(scope="session")
def promoted_template() -> Path:
    return templates.laid_out("promoted")


@pytest.fixture(scope="session")
def restored_template() -> Path:
    return templates.laid_out("restored")


@pytest.fixture(scope="session")
def settled_template() -> Path:
    return templates.laid_out("settled")


@pytest.fixture(scope="session")
def audited_template() -> Path:
    return templates.laid_out("audited")


@pytest.fixture(scope="session")
def served_template() -> Path:
    return templates.laid_out("served")


@pytest.fixture(scope="session")
def published_template() -> Path:
    return templates.laid_out("published")


@pytest.fixture(scope="session")
def released_template() -> Path:
    return templates.laid_out("released")


@pytest.fixture(scope="session")
def succeeded_template() -> Path:
    return templates.laid_out("succeeded")


@pytest.fixture(scope="session")
def store_template() -> Path:
    return templates.laid_out("store")


@pytest.fixture(scope="session")
def empty_store_template() -> Path:
    return templates.laid_out("empty_store")


# --- Projects --------------------------------------------------------------------------------------------


@pytest.fixture
def make_project(tmp_path: Path, in_a_hurry: bool) -> Callable[..., Project]:
    """Make a project in a folder of the test's choice: the telco customers, an empty cache, no store."""

    def make(name: str = "project", home: str = "home") -> Project:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (tmp_path / home).mkdir(parents=True, exist_ok=True)
        copy_repository(folder)
        shutil.copyfile(REPOSITORY / "data/customers.csv", folder / "data/customers.csv")
        project = Project(folder, tmp_path / home)
        if in_a_hurry:
            project.hurry()
        project.run("git", "init", "--quiet", "--initial-branch=main")
        project.commit("the project")
        return project

    return make


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """The project as it is, never run here."""
    return make_project()


@pytest.fixture
def members(make_project: Callable[..., Project]) -> Project:
    """The project on another company's customers: small, fast, and differently shaped."""
    project = make_project()
    customers.write_members(project.folder / "data/customers.csv")
    customers.declare_members(project.folder / "params.yaml")
    project.run("dvc", "add", "--quiet", "data/customers.csv")
    for path in ("dvc.lock", "models/provenance.json"):
        (project.folder / path).unlink()
    project.commit("another company's customers")
    return project


@pytest.fixture
def warm(warm_template: Path, tmp_path: Path, in_a_hurry: bool) -> Project:
    """The members' project with a registered model, a cache and a store."""
    (tmp_path / "home").mkdir()
    templates.copy("warm", tmp_path / "project", of="project")
    templates.relocate(tmp_path)
    project = Project(tmp_path / "project", tmp_path / "home")
    return project.hurry() if in_a_hurry else project


# --- Histories -------------------------------------------------------------------------------------------


def copied(name: str, top: Path, in_a_hurry: bool) -> History:
    """A copy, in another place than where it was made, whose store says so."""
    templates.copy(name, top / "project", of="project")
    templates.relocate(top)
    return opened(top / "project", top / "home", templates.laid_out(name) / "made.json", in_a_hurry)


@pytest.fixture
def in_a_database(history_template: Path, tmp_path: Path, in_a_hurry: bool) -> History:
    """The history with its own store."""
    return copied("history", tmp_path, in_a_hurry)


@pytest.fixture
def history(request: pytest.FixtureRequest) -> History:
    """The history with its own database or, where a test asks for it (`both`), at a server."""
    return request.getfixturevalue(getattr(request, "param", "in_a_database"))


@pytest.fixture
def promoted(promoted_template: Path, tmp_path: Path, in_a_hurry: bool) -> History:
    """A copy: "other data" (version 3) is in Production again, "all at once" (version 6) in Staging."""
    return copied("promoted", tmp_path, in_a_hurry)


@pytest.fixture
def lenient(history: History) -> None:
    """A margin that the models of the history keep to: of some hundred customers nothing is sure."""
    history.project.edit("params.yaml", "margin: 0.01", "margin: 0.1")
    history.project.commit("a wide margin")


@pytest.fixture
def origin(history: History, tmp_path: Path) -> Path:
    bare = tmp_path / "origin.git"
    history.project.run("git", "clone", "--quiet", "--bare", str(history.project.folder), str(bare))
    history.project.run("git", "remote", "add", "origin", str(bare))
    return bare


# --- Stores --------------------------------------------------------------------------------------------


@pytest.fixture
def own_environment() -> Iterator[None]:
    """This process's environment is put back after the test: a client of MLflow's sets what it needs."""
    with mock.patch.dict(os.environ, {"MLFLOW_DISABLE_TELEMETRY": "true"}):
        yield


@pytest.fixture
def database(store_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the filled store's database, open nowhere, which is the one that the stages would use."""
    path = tmp_path / "mlflow_data/mlflow.db"
    path.parent.mkdir()
    shutil.copyfile(store_template / "mlflow.db", path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return path


# --- Servers ---------------------------------------------------------------------------------------------


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
def at_a_server(server: Server, served_template: Path, tmp_path: Path, in_a_hurry: bool) -> History:
    """The project that made these versions, in a place of its own."""
    history = copied("served", tmp_path, in_a_hurry)
    history.project.env["MLFLOW_TRACKING_URI"] = server.uri
    history.artifacts = server.artifacts
    return history
