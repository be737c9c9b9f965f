"""A store that is away or broken, a stage that fails or is killed, data that changes under a run."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

import psutil
import pytest
from ruamel.yaml import YAML

from predictflow.adapters.processes import words_of
from tests.people.processes import gone
from tests.people.project import WAIT
from tests.people.waiting import until

ENDLESS = ("rounds: 30", "rounds: 2000000")
SECONDS = ("rounds: 30", "rounds: 3000")


def status(project) -> list[str]:
    return sorted(run.info.status for run in project.runs())


@contextmanager
def training(project, *edit: str):
    """`dvc repro` in the middle of a training, and the pid of the stage."""
    project.edit("params.yaml", *edit)
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    project.runs()  # MLflow is imported: it takes longer than a training of seconds

    def begun():
        """autolog notes the settings when the fit begins: the data has been read."""
        running = [run for run in project.runs() if run.info.status == "RUNNING"]
        return next((run for run in running if "num_boost_round" in run.data.params), None)

    with project.begun("dvc", "repro", env=project.unhurried, **how) as process:
        run = until(begun, "a run that is training")
        yield process, int(run.data.tags["predictflow.pid"])


def test_an_unreachable_store_fails_train_before_it_trains(warm):
    before = (warm.folder / "models/churn-predictor/model.ubj").read_bytes()
    warm.edit("params.yaml", "max_depth: 2", "max_depth: 1")
    told = warm.repro(env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, code=255)
    assert "the tracking store http://127.0.0.1:9 cannot be used" in told
    assert "correct MLFLOW_TRACKING_URI, or unset it" in told
    assert "Traceback" not in told
    assert "learns from" not in told
    assert (warm.folder / "models/churn-predictor/model.ubj").read_bytes() == before
    assert len(warm.runs()) == 1


@pytest.mark.slow
def test_a_broken_database_is_told_and_cured_as_told(warm):
    for name in ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm"):
        (warm.folder / "mlflow_data" / name).unlink(missing_ok=True)
    (warm.folder / "mlflow_data/mlflow.db").write_bytes(b"no database at all" * 100)
    told = warm.repro("--force", "--single-item", "evaluate", code=255)
    assert "cannot be used: file is not a database" in told
    assert "move mlflow_data/ away" in told
    assert "Traceback" not in told
    (warm.folder / "mlflow_data").rename(warm.folder.parent / "broken")
    warm.repro()
    assert [version.current_stage for version in warm.versions()] == ["Staging"]


def test_params_that_change_during_training_fail_the_stage(warm):
    """Else DVC would record the changed ones as what the model was made with."""
    with training(warm, *SECONDS) as (process, _):
        warm.edit("params.yaml", "max_depth: 2", "max_depth: 3")
        told, _ = process.communicate(timeout=WAIT)
    assert process.returncode != 0
    assert "models.xgboost in params.yaml changed while the stage was running" in told
    assert status(warm) == ["FAILED", "FINISHED"]


def test_a_setting_that_cannot_be_meant_is_told_before_there_is_a_run(warm):
    warm.edit("params.yaml", "max_depth: 2", "max_depth: two")
    told = warm.repro(code=255)
    assert "models.xgboost.max_depth in params.yaml is 'two'" in told
    assert "Traceback" not in told
    assert status(warm) == ["FINISHED"]


def test_a_setting_that_the_library_refuses_fails_the_run_and_is_named(warm):
    warm.edit("params.yaml", "max_depth: 2", "monotone_constraints: {shoe_size: 1}")
    told = warm.repro(code=255)
    assert "xgboost refuses its settings" in told
    assert "Constrained features are not a subset" in told
    assert "correct models.xgboost in params.yaml" in told
    assert "Traceback" not in told
    assert status(warm) == ["FAILED", "FINISHED"]


BACK = "Nothing is lost: the outputs of the last good run are back in their places."
SHALLOW = ("max_depth: 2", "monotone_constraints: {shoe_size: 1}")  # which fails in the midst of train


def outputs(project, *stages: str) -> dict[str, bytes]:
    """The bytes of each output of some stages."""
    folder = project.folder
    places = {"prepare": ["data/prepared", "metrics/prepare"], "train": ["metrics/train", "models"]}
    found = [path for stage in stages for place in places[stage] for path in (folder / place).rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()}


def test_the_outputs_of_the_last_good_run_stay_where_a_stage_fails(warm):
    before = outputs(warm, "prepare", "train")
    assert len(before) > 15
    warm.edit("params.yaml", *SHALLOW)
    assert BACK in warm.repro(code=255)
    assert outputs(warm, "prepare", "train") == before
    warm.edit("params.yaml", *reversed(SHALLOW))
    content = warm.folder / "data/customers.csv"
    content.write_bytes("left;member\n".encode("utf-16"))
    assert BACK in warm.repro(code=255)
    assert outputs(warm, "prepare", "train") == before
    warm.run("git", "add", "--all")
    changed = warm.run("git", "diff", "--cached", "--name-only").stdout.split()
    assert changed == ["data/customers.csv.dvc"] or changed == []


def test_good_outputs_that_nobody_has_committed_stay_as_well(warm):
    warm.edit("params.yaml", "max_depth: 2", "max_depth: 1")
    warm.repro()
    before = outputs(warm, "train")
    warm.edit("params.yaml", "max_depth: 1", "monotone_constraints: {shoe_size: 1}")
    assert BACK in warm.repro(code=255)
    assert outputs(warm, "train") == before


def test_a_folder_that_dvcs_cache_lists_wrongly_does_not_come_back(warm):
    locked = YAML(typ="safe").load(warm.read("dvc.lock"))["stages"]["train"]["outs"]
    (digest,) = [out["md5"] for out in locked if out["path"] == "models/churn-predictor"]
    listing = warm.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    listing.chmod(0o644)
    listing.write_text(json.dumps(json.loads(listing.read_text())[1:]))
    warm.edit("params.yaml", *SHALLOW)
    assert BACK not in warm.repro(code=255)


def test_without_dvcs_cache_what_git_holds_stays_and_the_rest_is_told(warm):
    metrics = warm.read("metrics/train/metrics.json")
    shutil.rmtree(warm.folder / ".dvc/cache")
    warm.edit("params.yaml", *SHALLOW)
    told = warm.repro(code=255)
    assert BACK not in told
    assert "`git checkout -- dvc.lock metrics models && dvc checkout` brings back the outputs" in told
    assert warm.read("metrics/train/metrics.json") == metrics
    assert json.loads(warm.read("models/provenance.json"))


def test_an_unknown_model_is_answered_with_the_known_ones(warm):
    warm.edit("params.yaml", "model: xgboost", "model: xgbost")
    warm.edit("params.yaml", "  xgboost:\n", "  xgbost: {}\n  xgboost:\n")
    told = warm.repro(code=255)
    assert "train.model is 'xgbost': give it one of xgboost, logistic_regression, random_forest, hist" in told


def test_a_run_left_open_by_a_kill_is_ended_by_the_next_stage(warm):
    with training(warm, *ENDLESS) as (process, pid):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: gone(pid), "the end of the killed stage")
    assert status(warm) == ["FINISHED", "RUNNING"]
    warm.edit("params.yaml", *reversed(ENDLESS))
    warm.edit("params.yaml", "contact_cost: 50.0", "contact_cost: 40.0")
    warm.repro()
    assert status(warm) == ["FINISHED", "KILLED"]


@pytest.mark.slow
def test_a_run_of_a_living_process_is_left_alone(warm):
    with training(warm, *ENDLESS) as (_, pid):
        opened = (
            "from stages.support import params; from stages.tracking.store import open_store;"
            " open_store(params.load())"
        )
        warm.run("python", "-c", opened)
        assert not gone(pid)
        assert status(warm) == ["FINISHED", "RUNNING"]


def test_a_stage_that_is_told_to_stop_ends_its_run_as_failed(warm):
    with training(warm, *ENDLESS) as (process, pid):
        os.kill(pid, signal.SIGTERM)
        assert process.wait(WAIT) != 0
    assert status(warm) == ["FAILED", "FINISHED"]


def test_data_that_changes_during_training_fails_the_stage(warm):
    """Else DVC would record the changed data as what the model was trained on (dvc#11058)."""
    with training(warm, *SECONDS) as (process, _):
        parquet = warm.folder / "data/prepared/train.parquet"
        data = parquet.read_bytes()
        parquet.unlink()
        parquet.write_bytes(data + b"changed")
        told, _ = process.communicate(timeout=WAIT)
    assert process.returncode != 0
    assert "data/prepared/train.parquet changed while the stage was running" in told
    assert status(warm) == ["FAILED", "FINISHED"]


def test_a_stage_killed_alone_takes_its_worker_along(warm):
    with training(warm, *ENDLESS) as (process, pid):
        stage = psutil.Process(pid)  # which also begins Git
        (worker,) = [child for child in stage.children() if words_of(child) == words_of(stage)]
        os.kill(pid, signal.SIGKILL)
        assert process.wait(WAIT) != 0
        until(lambda: gone(worker.pid), "the worker's end")


@pytest.mark.parametrize(
    "seed", ["-1", *(pytest.param(seed, marks=pytest.mark.slow) for seed in ("null", "4.5", "text"))]
)
def test_a_seed_that_would_not_repeat_is_refused(warm, seed):
    warm.edit("params.yaml", "seed: 20261120", f"seed: {seed}")
    told = warm.run("python", "-m", "stages.train", code=1).stderr
    assert "seed in params.yaml is" in told
    assert "Traceback" not in told
