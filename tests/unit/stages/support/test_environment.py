"""The environment is an input: what is installed must be what the lock says."""

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
    assert "Cure: `make repro`" in str(error.value)
