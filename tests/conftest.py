"""What the tests stand on: projects of their own in temporary folders, with their own home.

No test touches the repository it is run from, or the home, Git settings and store of who runs it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from filelock import FileLock

from tests import customers

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.prefix) / "bin"
WAIT = 300  # seconds: no command of a test runs longer


def environment(home: Path) -> dict[str, str]:
    """The environment of a person who has just logged in."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",  # the tests run side by side; it changes no byte
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
        "DVC_NO_ANALYTICS": "1",
    }


class Project:
    """A Git repository with the project in it, and what a person does there."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.env = environment(home)

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; it must end with `code`."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.env | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=WAIT,
        )
        told = f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, told
        return done

    def repro(self, *words: str, env: Mapping[str, str] | None = None, code: int = 0) -> str:
        """`dvc repro`; what it printed."""
        done = self.run("dvc", "repro", *words, env=env, code=code)
        return done.stdout + done.stderr

    def read(self, path: str) -> str:
        return (self.folder / path).read_text(encoding="utf-8")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = self.read(path)
        assert old in text, f"{path} does not hold {old!r}"
        (self.folder / path).write_text(text.replace(old, new), encoding="utf-8")

    def commit(self, message: str = "a change") -> str:
        """Commit everything; the commit's id."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "-m", message)
        return self.run("git", "rev-parse", "HEAD").stdout.strip()

    @property
    def store(self):
        """The MLflow store that the project uses: its own, or a server."""
        import mlflow

        own = f"sqlite:///{self.folder}/mlflow_data/mlflow.db"
        return mlflow.MlflowClient(self.env.get("MLFLOW_TRACKING_URI", own))

    def runs(self) -> list:
        store = self.store
        experiments = [experiment.experiment_id for experiment in store.search_experiments()]
        return store.search_runs(experiments, max_results=1000)

    def versions(self) -> list:
        return self.store.search_model_versions("name = 'churn-predictor'")


def clone(folder: Path) -> None:
    """Copy the tracked files of this repository, as they are in the working tree, and commit them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, folder / name)


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Make a project in a folder of the test's choice: the telco customers, an empty cache, no store."""

    def make(name: str = "project", home: str = "home") -> Project:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (tmp_path / home).mkdir(parents=True, exist_ok=True)
        clone(folder)
        shutil.copyfile(REPOSITORY / "data/customers.csv", folder / "data/customers.csv")
        project = Project(folder, tmp_path / home)
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


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is made once for all the processes that the tests run in; `make` fills it."""
    top = tmp_path_factory.getbasetemp()
    folder = (top.parent if "PYTEST_XDIST_WORKER" in os.environ else top) / name
    made = folder.with_suffix(".made")
    with FileLock(folder.with_suffix(".lock")):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def make_warm(top: Path) -> None:
    """The members' project after one `dvc repro`, in project/."""
    project = Project(top / "project", top / "home")
    for folder in (top / "project", top / "home"):
        folder.mkdir()
    clone(project.folder)
    customers.write_members(project.folder / "data/customers.csv")
    customers.declare_members(project.folder / "params.yaml")
    for path in ("dvc.lock", "models/provenance.json"):
        (project.folder / path).unlink()
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.run("dvc", "add", "--quiet", "data/customers.csv")
    project.commit("the members")
    project.repro()
    project.commit("the members' first model")


@pytest.fixture(scope="session")
def warm_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The members' project after one `dvc repro`, for the tests that begin there."""
    return once(tmp_path_factory, "warm", make_warm) / "project"


@pytest.fixture
def warm(warm_template: Path, tmp_path: Path) -> Project:
    """The members' project with a registered model, a cache and a store."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(warm_template, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", home)
