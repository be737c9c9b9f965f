"""What to do next follows from where things stand, and from nothing else."""

from dataclasses import replace

import pytest

from predictflow.adapters.dvc_status import StageChange
from predictflow.lineage.next_steps import DataFiles, next_steps, pipeline_cure
from predictflow.lineage.standing import (
    Experiments,
    GateVerdict,
    GitStatus,
    LyingModel,
    PipelineStatus,
    StackServer,
    Status,
    StorageStatus,
)

GIT = GitStatus("main", "c" * 40, "origin/main", ["origin"], 0, 0, False)
MODEL = LyingModel("content", "xgboost", {}, "c" * 40, ["churn-predictor/1"], 1, None)
STORAGE = StorageStatus("kept", [], [])
IN_STEP = PipelineStatus(True, {}, None, None)
SETTLED = Status(GIT, [], [], {}, None, False, MODEL, Experiments(0, 0), STORAGE, IN_STEP, None, [], [])
UP = StackServer("http://127.0.0.1:1", is_running=True)
REGISTER = "dvc repro --force --single-item register"
WRITTEN = "git add -- dvc.lock metrics models && git commit"

DATA, MODEL_FOLDER = "data/customers.csv", "models/churn-predictor"
TRAIN = {"train": StageChange({"stages/train.py": "modified"}, {})}
NO_DATA = {"data/customers.csv.dvc": StageChange({}, {DATA: "deleted"})}
NO_MODEL = {"train": StageChange({}, {MODEL_FOLDER: "deleted"})}
BOTH = {DATA, MODEL_FOLDER}


def commands(status: Status) -> list[str]:
    return [step.command for step in next_steps(status)]


def pipeline(changed: dict[str, StageChange], cure: str) -> PipelineStatus:
    return PipelineStatus(False, changed, None, cure)


@pytest.mark.parametrize(
    ("status", "following"),
    [
        (SETTLED, []),
        (replace(SETTLED, pipeline=None, storage=None), []),
        (replace(SETTLED, store_is_lost=True), ["predictflow restore"]),
        (replace(SETTLED, pipeline=PipelineStatus(None, {}, "busy", None)), []),
        (replace(SETTLED, pipeline=PipelineStatus(None, {}, "invalid", "dvc init")), ["dvc init"]),
        (replace(SETTLED, working_tree=replace(MODEL, versions=[])), [REGISTER]),
        (replace(SETTLED, working_tree=replace(MODEL, versions=None)), []),
        (replace(SETTLED, working_tree=replace(MODEL, versions=[], gate=GateVerdict(False, []))), []),
        (
            replace(SETTLED, pipeline=pipeline(TRAIN, "dvc repro")),
            ["dvc repro", WRITTEN, "git push && dvc push"],
        ),
        (replace(SETTLED, pipeline=pipeline(NO_MODEL, "dvc checkout")), ["dvc checkout"]),
        (
            replace(SETTLED, uncommitted=["stages/train.py", "notes.csv.dvc", "NOTES.md"]),
            ["git add -- notes.csv.dvc stages && git commit", "git push"],
        ),
        (replace(SETTLED, git=replace(GIT, behind=2, ahead=1)), ["git pull && git push"]),
        (
            replace(SETTLED, git=replace(GIT, branch="a b", upstream=None, ahead=1)),
            ["git push -u origin 'a b'"],
        ),
        (
            replace(SETTLED, git=replace(GIT, branch=None, upstream=None, ahead=1)),
            ["git switch -c from-cccccccccc"],
        ),
        (replace(SETTLED, storage=StorageStatus("kept", [DATA], [])), ["dvc push"]),
        (replace(SETTLED, stack={"mlflow": UP, "s3": UP}), []),
        (replace(SETTLED, stack={"mlflow": UP, "s3": replace(UP, is_running=False)}), ["make stack"]),
        (
            replace(SETTLED, conflicts=["dvc.lock", "params.yaml"], git=replace(GIT, rebasing=True)),
            [
                "git mergetool -- params.yaml",
                "git checkout --ours -- dvc.lock && dvc repro",
                "git add -- dvc.lock metrics models params.yaml && GIT_EDITOR=true git rebase --continue",
            ],
        ),
    ],
)
def test_what_is_next_follows_from_where_things_stand(status: Status, following: list[str]):
    assert commands(status) == following


@pytest.mark.parametrize(
    ("changed", "data", "cure"),
    [
        ({}, DataFiles(BOTH, BOTH, BOTH), None),
        (TRAIN, DataFiles(BOTH, BOTH, set()), "dvc repro"),
        (NO_DATA, DataFiles(BOTH, BOTH, set()), "dvc checkout"),
        (NO_DATA, DataFiles(BOTH, set(), BOTH), "dvc pull"),
        (NO_DATA, DataFiles(BOTH, set(), set()), "make repro"),
        (NO_MODEL, DataFiles(BOTH, {DATA}, set()), "dvc repro"),
        (NO_MODEL | NO_DATA, DataFiles(BOTH, {DATA}, {MODEL_FOLDER}), "dvc pull"),
        (TRAIN | NO_DATA, DataFiles(BOTH, BOTH, set()), "dvc checkout data/customers.csv.dvc && dvc repro"),
        (NO_MODEL, DataFiles({DATA}, BOTH, BOTH), "dvc repro"),
    ],
)
def test_the_cure_brings_back_what_is_recorded_and_runs_what_has_changed(changed, data: DataFiles, cure):
    assert pipeline_cure(changed, data, new_customers=None) == cure


def test_customers_that_nobody_has_added_are_added():
    changed = {"data/customers.csv.dvc": StageChange({}, {DATA: "modified"})}
    cure = pipeline_cure(changed, DataFiles(BOTH, BOTH, BOTH), new_customers="data/customers.csv")
    assert cure == "dvc add data/customers.csv && dvc repro"
    assert commands(replace(SETTLED, pipeline=pipeline(changed, cure))) == [
        cure,
        "git add -- data dvc.lock metrics models && git commit",
        "git push && dvc push",
    ]
