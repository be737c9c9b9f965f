"""The projects that tests begin with. Each is made once, kept between two runs of the tests, and copied.

What is kept lies in .pytest_cache/templates, under a name that says what it was made of: the files that a
project consists of, what makes it, and this Python. Whatever of it changes, it is made anew. A project of
theirs has no predictflow/ of its own: it is run with this repository's.
"""

import hashlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from tests.people import history, server, store
from tests.people.history import History, opened
from tests.people.project import OF_NO_MODEL, REPOSITORY, Project, begin_members, tracked
from tests.people.project import top as top_of_this_run

Maker = Callable[[Path], None]
KEPT = REPOSITORY / ".pytest_cache/templates"
MAKERS: dict[str, Maker] = {}
OF_COMMANDS = (
    "promoted",
    "restored",
    "audited",
    "released",
    "succeeded",
)  # predictflow/ has had a hand in these
UNUSED = 3600  # seconds after which another state of the code is no longer worked at
STORE = "project/mlflow_data/mlflow.db"
# Where MLflow's database says that files lie.
PLACES = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "model_versions": ["source", "storage_location"],
}


def template(make: Maker) -> Maker:
    """Register what fills a folder under its name, without the make_."""
    MAKERS[make.__name__.removeprefix("make_")] = make
    return make


def laid_out(name: str) -> Path:
    """A template's folder for this run of the tests: to be looked at and copied, by all their processes."""
    folder = top_of_this_run() / "templates" / name
    folder.parent.mkdir(exist_ok=True)
    done = folder.with_name(f"{name} is there")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(kept(name), folder, symlinks=True)
            relocate(folder)
            done.touch()
    return folder


def kept(name: str) -> Path:
    """A template as it was made, by this run of the tests or an earlier one."""
    KEPT.mkdir(parents=True, exist_ok=True)
    folder, making = KEPT / f"{name} {made_of(name in OF_COMMANDS)}", KEPT / f"{name} is being made"
    with FileLock(KEPT / f"{name}.lock"):
        if not folder.exists():
            shutil.rmtree(making, ignore_errors=True)
            for other in KEPT.glob(f"{name} *"):
                if time.time() - other.stat().st_mtime > UNUSED:
                    shutil.rmtree(other)
            making.mkdir()
            MAKERS[name](making)
            making.rename(folder)
        os.utime(folder)
    return folder


def made_of(commands: bool) -> str:
    """What decides a template: the files of a project, what makes it of them, this Python, and, where
    `commands` had a hand in it, predictflow/; as it was when this run of the tests began, whatever is edited
    meanwhile."""
    known = top_of_this_run() / "made of.json"
    with FileLock(top_of_this_run() / "made of.lock"):
        if not known.exists():
            known.write_text(json.dumps([_made_of(but) for but in (OF_NO_MODEL, _BUT_COMMANDS)]))
        return json.loads(known.read_text())[commands]


_BUT_COMMANDS = tuple(path for path in OF_NO_MODEL if path != "predictflow/")


def _made_of(but: tuple[str, ...]) -> str:
    makers = ("tests/people/", "tests/templates.py")
    told = hashlib.sha256(f"{sys.version} {platform.platform()}".encode())
    for name in tracked():
        if name.startswith(makers) or not name.startswith(but):
            told.update(f"{name}\0{hashlib.sha256((REPOSITORY / name).read_bytes()).hexdigest()}\n".encode())
    return told.hexdigest()[:16]


def copy(name: str, folder: Path, *, of: str = "") -> Path:
    """Copy a template, or a folder `of` it."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", f"{laid_out(name) / of}/.", str(folder)], check=True)
    return folder


def relocate(top: Path) -> None:
    """Let MLflow's database, where there is one, and its copies say that the files lie where they do now."""
    own = top / STORE
    here = own.parent.as_uri()
    for database in filter(Path.exists, (own, *own.parent.glob("backups/*.db"))):
        with closing(sqlite3.connect(database)) as store, store:
            for table, column in ((table, column) for table, columns in PLACES.items() for column in columns):
                place = f"? || substr({column}, instr({column}, '/mlflow_data/') + length('/mlflow_data'))"
                where = f"{column} LIKE '%/mlflow_data/%'"
                store.execute(f"UPDATE {table} SET {column} = {place} WHERE {where}", [here])


@template
def make_warm(top: Path) -> None:
    """The members' project after one `dvc repro`."""
    project = begin_members(top)
    project.repro()
    project.commit("the members' first model")
    tidy(project)


@template
def make_history(top: Path) -> None:
    """Three states of the data, four of the params, three of the code, experiments, versions; made.json."""
    history.make(top)
    tidy(Project(top / "project", top / "home"))


def tidy(project: Project) -> None:
    """What has fewer files is copied sooner: Git's objects, all of them, go to one, and what Python can make
    again, and Git's examples of hooks, are left out."""
    project.run("git", "repack", "--quiet", "-a", "-d", "-k")
    for path in [*project.folder.rglob("__pycache__")]:
        shutil.rmtree(path)
    for path in (project.folder / ".git/hooks").glob("*.sample"):
        path.unlink()


@template
def make_promoted(top: Path) -> None:
    """The history after promotions to both stages, a refusal, a forced one and a rollback."""
    made = begin_with_history(top)
    versions = {name: f"churn-predictor/{made.version}" for name, made in made.made.items()}
    made.project.edit("params.yaml", "margin: 0.01", "margin: 0.1")
    made.project.commit("a wide margin: of some hundred customers nothing is sure")
    made.told("promote", versions["first"], "--to", "production")
    made.told("promote", versions["other data"], "--to", "production", "--reason", "newer data")
    made.told("promote", versions["all at once"], "--to", "staging")
    made.told("promote", versions["never committed"], "--to", "production", code=1)
    text = made.project.read("params.yaml")
    head, _, block = text.partition("promote:\n")
    strict = block.replace("roc_auc: 0.6", "roc_auc: 0.99", 1)
    (made.project.folder / "params.yaml").write_text(f"{head}promote:\n{strict}")
    made.project.commit("a strict bar")
    asked = ("promote", versions["on a branch"], "--to", "production")
    made.told(*asked, code=1)
    made.told(*asked, "--force", "--reason", "it must be today")
    (made.project.folder / "params.yaml").write_text(text)
    made.project.commit("the former bar")
    made.told("rollback", "--reason", "complaints")


def begin_with_history(top: Path) -> History:
    copy("history", top)
    return opened(top / "project", top / "home", top / "made.json")


@template
def make_restored(top: Path) -> None:
    """The promoted history without its store, after `predictflow restore`."""
    copy("promoted", top)
    shutil.rmtree(top / "project/mlflow_data")
    Project(top / "project", top / "home").hurry().run("python", "-m", "predictflow.cli", "restore")


@template
def make_settled(top: Path) -> None:
    """The history with nothing left to do: run, committed, and pushed to a Git and a DVC remote beside it."""
    project = begin_with_history(top).project
    project.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "../origin.git")
    project.run("git", "remote", "add", "origin", "../origin.git")
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    project.repro()  # the model that was registered last is another one
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "kept", "../kept")
    project.run("dvc", "push", "--quiet", "--all-commits")


@template
def make_audited(top: Path) -> None:
    """The history with an origin, and three promotions to Production."""
    made = begin_with_history(top)
    project = made.project
    project.run("git", "clone", "--quiet", "--bare", str(project.folder), str(top / "origin.git"))
    project.run("git", "config", "remote.origin.url", str(top / "origin.git"))
    project.run("git", "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    project.edit("params.yaml", "margin: 0.01", "margin: 0.1")
    project.commit("a wide margin: of some hundred customers nothing is sure")
    project.run("git", "push", "--quiet", "origin", "main")
    for name in ("first", "other data", "all at once"):
        made.told("promote", f"churn-predictor/{made.made[name].version}", "--to", "production")


@template
def make_served(top: Path) -> None:
    """The first three models of the history, made through a server; what that keeps lies in server/."""
    server.make(top)


@template
def make_published(top: Path) -> None:
    """The members' project with an origin and, in a folder, a remote that holds the model and its data."""
    copy("warm", top)
    project = Project(top / "project", top / "home").hurry()
    project.run("dvc", "remote", "remove", "s3remote")  # a folder has no timeouts
    project.run("dvc", "remote", "add", "--default", "s3remote", "../remote")
    project.run("dvc", "remote", "modify", "s3remote", "verify", "true")
    project.run("git", "commit", "--quiet", "--all", "--amend", "--no-edit")
    project.run("dvc", "push", "--quiet")
    project.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "../origin.git")
    project.run("git", "remote", "add", "origin", "../origin.git")
    project.run("git", "push", "--quiet", "origin", "main")


@template
def make_released(top: Path) -> None:
    """The published project, whose model was promoted, taken out, and promoted again."""
    copy("published", top)
    made = History(Project(top / "project", top / "home").hurry(), {})
    for stage in ("production", "archived", "production"):
        made.told("promote", "churn-predictor/1", "--to", stage, "--reason", "the spring offer")


@template
def make_succeeded(top: Path) -> None:
    """The published project with a second model, in Production after the first, and an experiment on it,
    `apart`; all but that is pushed."""
    copy("published", top)
    relocate(top)
    made = History(Project(top / "project", top / "home").hurry(), {})
    project = made.project
    project.edit("params.yaml", "margin: 0.01", "margin: 0.1")
    project.commit("a wide margin: of some hundred customers nothing is sure")
    made.told("promote", "churn-predictor/1", "--to", "production")
    project.edit("params.yaml", "max_depth: 2", "max_depth: 1")
    project.repro()
    project.commit("a shallower model")
    made.told("promote", "churn-predictor/2", "--to", "production", "--reason", "newer")
    project.run("dvc", "exp", "run", "--quiet", "--name", "apart", "-S", "seed=1", "evaluate")
    project.run("git", "checkout", "--quiet", "--", ".")
    project.run("dvc", "checkout", "--quiet")
    project.run("dvc", "push", "--quiet")
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "main")


@template
def make_store(top: Path) -> None:
    """A store that MLflow has written, mlflow.db, with a bit of everything."""
    store.fill(top / "mlflow.db")


@template
def make_empty_store(top: Path) -> None:
    """A store of MLflow's with nothing in it, mlflow.db and artifacts/: MLflow takes seconds to make one."""
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{top}/mlflow.db").search_experiments()
    (top / "artifacts").mkdir()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        laid_out(name)
