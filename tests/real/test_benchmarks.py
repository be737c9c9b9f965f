"""A benchmark that nobody runs would no longer run when it is needed."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from predictflow.adapters.processes import package_index
from stages.support.paths import MODEL_FOLDER
from tests.people import postgres
from tests.people.project import BIN, REPOSITORY, WAIT


@pytest.mark.slow
def test_the_queue_is_measured_and_nothing_of_it_stays():
    words = [sys.executable, "-m", "benchmarks.queued", "--experiments", "2", "--workers", "2"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^2 experiments, 2 at once: \d+ s, \d+\.\d s each$", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_pipeline_is_measured_beside_a_bare_script():
    words = [sys.executable, "-m", "benchmarks.pipeline", "--repeat", "1"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=2 * WAIT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(goal: ") >= 4


@pytest.mark.parametrize("name", ["sqlite", pytest.param("server", marks=pytest.mark.slow)])
def test_what_many_runs_cost_is_measured_and_every_answer_is_right(name: str):
    if name == "server" and postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed here (`apt-get install postgresql`)")
    words = [sys.executable, "-m", "benchmarks.many_runs", "--runs", "400", "--markdown", "--store", name]
    words += ["--only", "status", "audit", "experiments", "restore", "register"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=2 * WAIT)
    assert done.returncode == 0, done.stderr
    cells = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    measured = {first: rest for first, *rest in cells}
    assert measured.keys() >= {"audit", "experiments, the newest 20", "restore", "register, the stage"}
    assert all(float(number) > 0 for numbers in list(measured.values())[2:] for number in numbers)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spark", "ray"])
def test_workers_of_another_house_make_a_model_of_the_prepared_customers(name: str):
    if name == "spark" and not shutil.which("java"):
        pytest.skip("Spark needs Java")
    if not (REPOSITORY / MODEL_FOLDER).is_dir():
        pytest.skip("there is no model to hold it against: `dvc repro`")
    words = [str(BIN / "uv"), "run", "--system-certs", "--python", sys.executable]
    words += [f"benchmarks/on_{name}.py", "--rounds", "5", "--markdown"]
    env = os.environ | package_index() | {"PYTHONPATH": "."}
    done = subprocess.run(words, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=2 * WAIT)
    assert done.returncode == 0, done.stderr
    title = name.capitalize()
    cells = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    found = {first: rest for first, *rest in cells}
    assert found.keys() >= {"one process", f"{title}, 2 workers", f"{title}, 2 workers, again"}
    assert all(float(rest[3]) > 0.7 for first, rest in found.items() if title in first)
    assert f"The two of {title} are " in done.stdout
