"""A person's project: a Git repository in a temporary folder, with a home of its own, and what is done there.

No test touches the repository it is run from, or the home, Git settings and store of who runs it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock
from pandas import DataFrame

from tests.people import customers, processes, warm

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.prefix) / "bin"
# What is no part of a model, or of what is done with one.
OF_NO_MODEL = (
    *("predictflow/", "tests/", "docs/", "benchmarks/", ".github/", ".ci/", ".pre"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
)
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


def top() -> Path:
    """The folder of this run of the tests, the same one in all the processes that they run in."""
    return Path(os.environ["PREDICTFLOW_TESTS"])


def commands() -> Path:
    """The folder with `python`, `dvc` and `gto` that are forked off a process which knows their libraries."""
    found = top() / "commands"
    with FileLock(top() / "warm.lock"):
        if not found.exists():
            (top() / "warm").mkdir()
            warm.start(top(), int((top() / "owner").read_text()), environment(top() / "warm"))
    return found


class Project:
    """A Git repository with the project in it, and what a person does there."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.env = environment(home)

    def hurry(self) -> "Project":
        """From now on Python's commands are forked off a process that has imported their libraries."""
        self.env["PATH"] = f"{commands()}{os.pathsep}{self.env['PATH']}"
        return self

    @property
    def unhurried(self) -> dict[str, str]:
        """For the environment of a command that is to be a process of its own, in a group with its children,
        though the project is in a hurry."""
        return {"PATH": environment(Path(self.env["HOME"]))["PATH"]}

    @property
    def python(self) -> str:
        """The Python that `python` is."""
        return str(shutil.which("python", path=self.env["PATH"]))

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

    def begun(
        self, *words: str, env: Mapping[str, str] | None = None, **how: Any
    ) -> AbstractContextManager[subprocess.Popen]:
        """A command that goes on beside the test, and is ended with all that it has begun."""
        return processes.begun(words, self.folder, self.env | dict(env or {}), **how)

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


def tracked() -> list[str]:
    """The paths that Git tracks in this repository, or would after `git add --all`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    return sorted({name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()})


def copy_repository(folder: Path, but: tuple[str, ...] = ()) -> None:
    """Copy the tracked files of this repository, as they are in the working tree; `but` are beginnings of
    paths that are left out."""
    for name in tracked():
        if not name.startswith(but):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, folder / name)


def begin_members(top: Path, frame: DataFrame | None = None) -> Project:
    """The members' project, in top/project, before its first model: the project on another company's
    customers, small, fast, and differently shaped."""
    for folder in ("project", "home"):
        (top / folder).mkdir()
    project = Project(top / "project", top / "home").hurry()
    lay_out_members(project, frame)
    return project


def lay_out_members(project: Project, frame: DataFrame | None = None) -> None:
    """Fill an empty folder with that project."""
    copy_repository(project.folder, OF_NO_MODEL)
    customers.write_members(project.folder / "data/customers.csv", frame)
    customers.declare_members(project.folder / "params.yaml")
    for path in ("dvc.lock", "models/provenance.json"):
        (project.folder / path).unlink()
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.run("dvc", "add", "--quiet", "data/customers.csv")
    project.commit("the members")
