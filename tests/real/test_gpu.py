"""A GPU: refused in words where there is none; where there is one, the same bytes from run to run."""

from typing import Any

import pytest

from benchmarks import gpu
from stages.model.cuda import ensure_cuda
from stages.support import params
from stages.support.errors import UserError
from stages.support.paths import PROVENANCE
from tests.people.customers import members
from tests.people.project import REPOSITORY, Project

APART = 0.05  # of a probability: what two models of the same settings may differ by


def why_no_gpu() -> str:
    """Why XGBoost cannot learn on a GPU here; nothing where it can."""
    try:
        ensure_cuda()
    except UserError as error:
        return str(error).splitlines()[0]
    return ""


@pytest.fixture
def settings() -> dict[str, Any]:
    return params.load(REPOSITORY / "params.yaml")["models.xgboost"] | {"rounds": 30}


@pytest.fixture
def sample() -> gpu.Sample:
    frame = members(5000).assign(fee=lambda rows: rows["visits"].astype("float32"))[["fee"]]
    return gpu.Sample(frame, (frame["fee"] > 12).to_numpy().astype("int8"))


def test_without_a_gpu_the_stage_refuses_before_it_writes_anything(members: Project):
    if not why_no_gpu():
        pytest.skip("there is one")
    members.run("python", "-m", "stages.prepare")
    members.commit("prepared")
    members.edit("params.yaml", "device: cpu", "device: cuda")
    said = members.run("python", "-m", "stages.train", code=1).stderr
    assert said.startswith(
        "ERROR: train.device in params.yaml is cuda, but XGBoost finds no CUDA device here.\nCure:"
    )
    assert "Traceback" not in said and not (members.folder / PROVENANCE).exists()


def test_the_benchmark_tells_what_fits_have_in_common(sample, settings):
    """Of the CPU alone, for that is what every machine has."""
    fits = [gpu.fit(gpu.draw(sample, 9000), "cpu", settings, 7) for _ in range(3)]
    assert gpu.lines(fits)[1:] == [
        "- the same bytes from run to run: yes; as the CPU's: yes",
        "- probabilities differ from the CPU's by at most 0, 0 on average",
    ]
    other = gpu.fit(gpu.draw(sample, 9000), "cpu", settings, 8)
    assert gpu.lines([*fits[:2], other])[1].startswith("- the same bytes from run to run: no")


@pytest.mark.gpu
def test_two_fits_on_a_gpu_give_the_same_bytes_and_the_cpus_predictions_about(sample, settings):
    if why := why_no_gpu():
        pytest.skip(why)
    cpu, first, second = (gpu.fit(sample, device, settings, 7) for device in ("cpu", "cuda", "cuda"))
    assert first.md5 == second.md5
    assert abs(first.probabilities - cpu.probabilities).max() < APART
