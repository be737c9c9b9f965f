"""The environment is an input: what is installed must be what the lock says."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from stages.support import environment
from stages.support.errors import UserError
from tests.people.project import REPOSITORY

LOCK = """\
# This file was made by `make lock`.
numpy==2.4.0 \\
    --hash=sha256:00 \\
    --hash=sha256:11
    # via pandas==3.0
colorama==0.4.6 ; sys_platform == 'no such platform' \\
    --hash=sha256:22
new-name==1.0 ; python_full_version >= '3.11' \\
    --hash=sha256:33
tight==2.0;python_version >= "3.0"
plain==3.1.post1+cpu
"""


def test_pins_are_those_of_this_python_and_platform():
    assert environment.pins(LOCK) == {
        "numpy": "2.4.0",
        "new-name": "1.0",
        "tight": "2.0",
        "plain": "3.1.post1+cpu",
    }


def test_the_lock_of_the_project_names_what_the_stages_import():
    found = environment.pins((REPOSITORY / "requirements.lock").read_text())
    assert {"mlflow", "numpy", "pandas", "pyarrow", "scikit-learn", "xgboost"} <= set(found)
    assert found["pandas"] == metadata.version("pandas")


def test_an_environment_as_locked_passes(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"Numpy=={metadata.version('numpy')}\n")
    environment.check(lock)


def test_every_drift_is_named_with_both_versions_and_the_cure(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        f"numpy==0.1 \\\n  --hash=sha256:00\nno-such-package==1.0\npandas=={metadata.version('pandas')}\n"
    )
    with pytest.raises(UserError) as error:
        environment.check(lock)
    assert f"  numpy: 0.1 is locked, {metadata.version('numpy')} is installed\n" in str(error.value)
    assert "  no-such-package: 1.0 is locked, nothing is installed\n" in str(error.value)
    assert "pandas" not in str(error.value)
    assert "Cure: `make clean && make repro`" in str(error.value)


def test_what_is_needed_beside_the_lock_is_told_before_a_training(tmp_path, monkeypatch):
    """With requirements.lock alone train would end in a traceback, after the fit."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"numpy=={metadata.version('numpy')}\n")
    monkeypatch.setattr(environment.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        environment.check(lock)
    assert str(error.value) == (
        f"{sys.executable} has no dvc: dvclive, which draws the learning curve, imports it.\n"
        "Cure: `make clean && make repro` (or, in an environment of your own,"
        f" `pip install --require-hashes --no-deps -r {lock} -r requirements-dev.lock`)."
    )


@pytest.mark.parametrize(("asked", "threads"), [("3", 3), ("4,2", 4), (" 2 , 1", 2)])
def test_as_many_threads_are_used_as_openmp_is_asked_for(monkeypatch, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert environment.threads(7_043) == threads


@pytest.mark.parametrize(("rows", "threads"), [(7_043, 1), (50_000, 2), (10_000_000, 8)])
def test_without_a_wish_many_customers_are_worked_on_by_many_threads(monkeypatch, rows, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert environment.threads(rows) == threads


@pytest.mark.parametrize("asked", ["0", "-1", "many", "1.5", "²", "99999", "x,2"])
def test_a_number_of_threads_that_is_none_is_told(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    with pytest.raises(UserError) as error:
        environment.check()
    assert str(error.value) == (
        f"OMP_NUM_THREADS is {asked!r}.\nCure: unset it, or give it a whole number from 1 to 4096."
    )


TRAIN = """
from stages.support import environment
environment.keep_openmp_alive()
import numpy, xgboost
rng = numpy.random.default_rng(0)
rows = rng.random((3000, 8))
xgboost.train({"tree_method": "hist", "nthread": 2}, xgboost.DMatrix(rows, rows[:, 0] > 0.5), 3)
print("trained")
"""


REAL = pytest.mark.real
CRASHES = (pytest.param("OMP_DYNAMIC=TRUE", marks=REAL), pytest.param("OMP_MAX_ACTIVE_LEVELS=0", marks=REAL))


@pytest.mark.parametrize("setting", ["OMP_DYNAMIC=true", *CRASHES])
def test_a_setting_under_which_training_crashes_is_not_heeded_and_told(setting):
    name, _, value = setting.partition("=")
    env = os.environ | {"OMP_NUM_THREADS": "2", name: value}
    words = [sys.executable, "-c", TRAIN]
    done = subprocess.run(words, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("trained\n", 0)
    assert done.stderr == f"{setting} is not heeded: XGBoost crashes under it\n"


@pytest.mark.parametrize("setting", ["OMP_DYNAMIC=false", "OMP_MAX_ACTIVE_LEVELS=10"])
def test_other_settings_of_openmp_stay(monkeypatch, capsys, setting):
    name, _, value = setting.partition("=")
    monkeypatch.setenv(name, value)
    environment.keep_openmp_alive()
    assert os.environ[name] == value
    assert capsys.readouterr().err == ""


def test_of_two_installations_the_one_that_is_imported_counts(tmp_path, monkeypatch):
    first = tmp_path / "first/numpy-0.1.dist-info"
    first.mkdir(parents=True)
    (first / "METADATA").write_text("Name: numpy\nVersion: 0.1\n")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"numpy=={metadata.version('numpy')}\n")
    monkeypatch.syspath_prepend(first.parent)
    with pytest.raises(UserError, match=r"numpy: .* is locked, 0\.1 is installed"):
        environment.check(lock)
