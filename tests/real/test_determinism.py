"""The guarantee: on a fresh clone `dvc repro && git diff --exit-code` is clean, whatever the machine is like.

A cell is a whole pipeline, run cold (a clone of its own, an empty cache, no store) under settings that
could change bytes, and held against the dvc.lock that another run left in Git.
"""

import shutil
from dataclasses import dataclass, field

import pytest

from tests.people.project import REPOSITORY, Project
from tests.people.project import copy_repository as copy_project

# What numpy, OpenBLAS and glibc choose their kernels by: a CPU of 2008 instead of the one that is here.
OLD_CPU = {
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
}
# The language and the clock of another place; "C" is that of a bare server.
ISLAND = {"TZ": "Pacific/Kiritimati", "LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8"}
BARE = {"TZ": "America/St_Johns", "LANG": "C", "LC_ALL": "C"}


@dataclass
class Cell:
    """Settings of one cold run.

    Attributes:
        env: of every command.
        folder: where the clone lies, below a temporary folder.
        home: of who runs it, likewise.
        repros: the words after `dvc repro`, for each run in this clone.
    """

    env: dict[str, str]
    folder: str = "clone"
    home: str = "another-home"
    repros: list[list[str]] = field(default_factory=lambda: [[]])


CELLS = {
    "one thread, hash seed 0, Haswell, a bare server": Cell(
        {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "OPENBLAS_CORETYPE": "Haswell", **BARE}
    ),
    "two threads, hash seed 1, an old CPU": Cell(
        {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", **OLD_CPU}
    ),
    "four threads, any hash seed, far away, a path in two languages": Cell(
        {"OMP_NUM_THREADS": "4", "PYTHONHASHSEED": "random", **ISLAND},
        folder="Übung für Anna/客户 流失",
        home="Zuhause bei Łukasz",
    ),
    "forced, then without the run cache": Cell(
        {"OPENBLAS_NUM_THREADS": "1"}, repros=[["--no-run-cache"], ["--force"], ["--force", "--no-run-cache"]]
    ),
}
UNUSUAL = Cell(
    {"OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "random", **OLD_CPU, **ISLAND, "LC_ALL": "C.UTF-8"},
    folder="a path with spaces",
)


def run_cold(recorded: Project, tmp_path, cell: Cell) -> None:
    """Run a cell on a clone of `recorded`; every file in Git must stay as it is."""
    folder, home = tmp_path / cell.folder, tmp_path / cell.home
    home.mkdir(parents=True)
    recorded.run("git", "clone", "--quiet", str(recorded.folder), str(folder))
    shutil.copyfile(recorded.folder / "data/customers.csv", folder / "data/customers.csv")
    fresh = Project(folder, home)
    assert not (folder / ".dvc/cache").exists() and not (folder / "mlflow_data").exists()
    for words in cell.repros:
        told = fresh.repro(*words, env=cell.env)
        for stage in ("prepare", "train", "evaluate", "register"):
            assert f"Running stage '{stage}'" in told, f"{stage} did not run:\n{told}"
        in_git = fresh.run("git", "show", "HEAD:dvc.lock").stdout
        assert fresh.read("dvc.lock") == in_git, fresh.run("git", "diff").stdout
        assert (folder / "dvc.lock").read_bytes() == (recorded.folder / "dvc.lock").read_bytes()
        fresh.run("git", "diff", "--exit-code")
        assert fresh.run("git", "status", "--porcelain").stdout == ""
    assert fresh.runs(), "the run was logged elsewhere"


@pytest.fixture(scope="module")
def recorded(request, tmp_path_factory):
    """The telco customers with the dvc.lock of a model in Git: the project's own one for its own choice,
    for another model that of a run with no setting at all."""
    base = tmp_path_factory.mktemp("recorded")
    folder, home = base / "project", base / "home"
    folder.mkdir()
    home.mkdir()
    copy_project(folder)
    shutil.copyfile(REPOSITORY / "data/customers.csv", folder / "data/customers.csv")
    project = Project(folder, home)
    project.env.pop("OMP_NUM_THREADS", None)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit("the project")
    if request.param != "xgboost":
        project.edit("params.yaml", "model: xgboost", f"model: {request.param}")
        project.repro()
    project.commit(request.param)
    return project


@pytest.mark.parametrize("recorded", ["xgboost"], indirect=True)
def test_the_dvc_lock_in_git_is_reproduced_by_a_cold_run_under_unusual_settings(recorded, tmp_path):
    run_cold(recorded, tmp_path, UNUSUAL)


def test_small_data_gives_the_same_dvc_lock_in_processes_of_their_own(warm, tmp_path):
    """It was made by processes that were forked off one which had imported everything."""
    run_cold(warm, tmp_path, UNUSUAL)


def test_processes_that_begin_as_macos_begins_them_give_the_same_dvc_lock(warm, tmp_path):
    """With a Python of their own, which imports all anew, in place of a fork."""
    (tmp_path / "as macOS").mkdir()
    text = "import multiprocessing\n\nmultiprocessing.set_start_method('spawn')\n"
    (tmp_path / "as macOS/sitecustomize.py").write_text(text)
    env = {"PYTHONPATH": str(tmp_path / "as macOS")}
    asked = "import multiprocessing; print(multiprocessing.get_start_method())"
    assert warm.run("python", "-c", asked, env=env).stdout == "spawn\n"
    run_cold(warm, tmp_path, Cell(env))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["logistic_regression", "random_forest", "hist_gradient_boosting"])
def test_every_other_model_repeats_itself_on_small_data(model, members, tmp_path):
    members.edit("params.yaml", "model: xgboost", f"model: {model}")
    members.repro(env={"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"})
    members.commit(model)
    run_cold(members, tmp_path, Cell(UNUSUAL.env | {"OMP_NUM_THREADS": "4"}))


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "recorded",
    ["xgboost", "logistic_regression", "random_forest", "hist_gradient_boosting"],
    indirect=True,
)
def test_every_model_is_the_same_under_every_setting(recorded, cell, tmp_path):
    run_cold(recorded, tmp_path, CELLS[cell])
