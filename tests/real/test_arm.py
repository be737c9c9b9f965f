"""The guarantee on another CPU family: each stage writes the same bytes on an emulated aarch64 as here.

`make test-arm` runs it; `ARMCPU=cortex-a57 make test-arm` on another one of qemu's CPUs. What is missing is
brought from Debian and PyPI (some minutes, 2 GB) and kept in ~/.cache/predictflow.
"""

import os
import shutil

import pytest

from stages.model.families import FAMILIES
from stages.support.hashes import md5
from stages.support.paths import DVC_LOCK, MARKER, PROVENANCE
from tests.people import emulated
from tests.people.emulated import Emulated, Unobtainable
from tests.people.project import REPOSITORY, Project

pytestmark = [pytest.mark.arm, pytest.mark.timeout(3 * emulated.WAIT)]
STAGES = ("prepare", "train", "evaluate", "register")
OUTPUTS = ("data/prepared", "models", "metrics", "mlflow_data")
STORE = "mlflow_data/"  # of what lies there, which has ids and times, only MARKER is the same
WRITTEN = {  # how many files each folder gets of a model, but for STORE
    "data/prepared": 4,
    "models": 8,
    "metrics": 13,
}


@pytest.fixture(scope="session")
def arm() -> Emulated:
    """The emulated machine; where it cannot be had the tests are skipped, with the reason."""
    try:
        machine = emulated.make(os.environ.get("ARMCPU", "max"))
    except Unobtainable as error:
        pytest.skip(f"no aarch64 here: {error}")
    told = machine.run(REPOSITORY, os.environ, "-c", "import platform, numpy; print(platform.machine())")
    assert told == "aarch64\n"
    return machine


def run_here(project: Project, *stages: str) -> tuple[dict[str, str], str]:
    """({path: md5} of what the stages write on this machine, what they print)."""
    _delete_outputs(project)
    told = [project.run("python", "-m", f"stages.{stage}", env={"OMP_NUM_THREADS": "2"}) for stage in stages]
    return _outputs(project), "".join(done.stdout for done in told)


def run_there(arm: Emulated, project: Project, *stages: str) -> tuple[dict[str, str], str]:
    """The same of the emulated machine."""
    _delete_outputs(project)
    told = [arm.run(project.folder, project.env, "-m", f"stages.{stage}") for stage in stages]
    return _outputs(project), "".join(told)


def _delete_outputs(project: Project) -> None:
    """Nothing is to be compared with itself."""
    for name in OUTPUTS:
        shutil.rmtree(project.folder / name, ignore_errors=True)


def _outputs(project: Project) -> dict[str, str]:
    paths = [path for name in OUTPUTS for path in (project.folder / name).rglob("*") if path.is_file()]
    found = {path.relative_to(project.folder).as_posix(): md5(path) for path in paths}
    return {
        path: told for path, told in found.items() if not path.startswith(STORE) or path == MARKER.as_posix()
    }


@pytest.mark.parametrize("model", FAMILIES)
def test_every_file_of_every_stage_is_the_same_on_aarch64(arm: Emulated, project: Project, model: str):
    project.edit("params.yaml", "model: xgboost", f"model: {model}")
    here, _ = run_here(project, *STAGES)
    there, _ = run_there(arm, project, *STAGES)
    assert there == here
    written = {name: sum(path.startswith(f"{name}/") for path in there) for name in WRITTEN}
    assert written == WRITTEN and MARKER.as_posix() in there
    if model == "xgboost":
        assert f"md5: {there[PROVENANCE.as_posix()]}" in (REPOSITORY / DVC_LOCK).read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", ["max_delta_step: 0.7", "monotone_constraints: {tenure: -1}"])
def test_a_setting_that_train_warns_of_moves_the_files_bytes_and_no_prediction(
    arm: Emulated, project: Project, setting: str
):
    """So the comparison can fail; where this fails, train has nothing more to warn of."""
    project.edit("params.yaml", "rounds: 600", f"rounds: 40\n    {setting}")
    project.edit("params.yaml", "max_depth: 2", "max_depth: 4")
    here, told_here = run_here(project, "prepare", "train", "evaluate")
    there, told_there = run_there(arm, project, "prepare", "train", "evaluate")
    differ = {path for path in here | there if here.get(path) != there.get(path)}
    assert differ == {"models/churn-predictor/model.ubj", PROVENANCE.as_posix()}
    name = setting.partition(":")[0]
    for told in (told_here, told_there):
        assert f"models.xgboost.{name}: " in told and "one family of CPUs" in told
