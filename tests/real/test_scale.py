"""More customers than are worked on at once: the same bytes with any number of cores and in little memory."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.scale import SIDES, WORDS, write_customers
from stages.support.paths import CUSTOMERS, TRAIN
from tests.people.project import REPOSITORY, Project, copy_repository

STAGES = ("prepare", "train", "evaluate")
MEMORY = 6_000_000  # KiB of addresses: what OpenMP, OpenBLAS and Arrow ask for, and a little more
MANY = {  # constants that the customers of this test are to cross: what they are, and what they become
    "stages/data/customer_file.py": ("BLOCK = 4 << 20", "BLOCK = 100_000"),
    "stages/train.py": ("ON_THE_CURVE = 200_000", "ON_THE_CURVE = 2_000"),
    "params.yaml": ("rounds: 600", "rounds: 20"),
}


@pytest.fixture
def many(tmp_path: Path) -> Project:
    """A project to which 10,000 customers are many."""
    project = Project(tmp_path / "project", tmp_path / "home")
    for folder in (project.folder, tmp_path / "home"):
        folder.mkdir()
    copy_repository(project.folder)
    for path, (constant, smaller) in MANY.items():
        project.edit(path, constant, smaller)
    write_customers(REPOSITORY / CUSTOMERS, project.folder / CUSTOMERS, 10_000)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit("many customers")
    return project


def outputs(project: Project) -> dict[str, bytes]:
    """{path: bytes} of what the stages have written."""
    folders = ("data/prepared", "models", "metrics")
    paths = [path for name in folders for path in (project.folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(project.folder)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_many_customers_give_the_same_bytes_on_one_core_and_in_little_memory(many: Project):
    found = []
    limited = f"ulimit -v {MEMORY}; exec taskset -c 0 python -m stages."
    for before, threads in (("python -m stages.", "2"), (limited, "1")):
        for stage in STAGES:
            many.run("bash", "-c", before + stage, env={"OMP_NUM_THREADS": threads})
        found.append(outputs(many))
    assert found[0] == found[1]
    parts = pd.read_csv(many.folder / "metrics/train/plots/metrics/train/log_loss.tsv", sep="\t")
    assert len(parts) == 20
    assert len(pd.read_parquet(many.folder / TRAIN)) > 7000


def test_many_customers_are_measured_beside_the_floors(tmp_path: Path):
    words = ("-m", "benchmarks.scale", "--customers", "3000", "--markdown", "--json", str(tmp_path / "json"))
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    assert [name.strip() for name, *_ in rows[2:]] == [
        name for stage, floor in SIDES.items() for name in (stage, WORDS[floor])
    ]
    assert all(float(number) > 0 for _, *numbers in rows[2:] for number in numbers)
    assert "- train against the fit alone: " in done.stdout
    told = json.loads((tmp_path / "json").read_text())
    assert told["customers"] == 3000 and told["costs"].keys() == {*SIDES, *WORDS} and told["hashing"] > 0
    assert told["sizes"].keys() >= {CUSTOMERS.as_posix(), TRAIN.as_posix()} and all(told["sizes"].values())
