"""The verdict on a rebuild: decided by what was recorded and what came out, and by nothing else."""

import copy

import pytest

from predictflow.ledger.rebuilds import DIFFERENT, IDENTICAL, SAME
from predictflow.reproduction.verdict import (
    ANOTHER_DEVICE,
    Inputs,
    Predictions,
    decide,
    differing,
    outs,
    read_inputs,
)

STAGES = {
    "prepare": {
        "cmd": "python -m stages.prepare",
        "deps": [
            {"path": "data/customers.csv", "hash": "md5", "md5": "c" * 32, "size": 10},
            {"path": "requirements.lock", "hash": "md5", "md5": "e" * 32, "size": 10},
            {"path": "stages/prepare.py", "hash": "md5", "md5": "d" * 32, "size": 10},
        ],
        "params": {"params.yaml": {"data": {"id": "id", "columns": {"age": {"type": "integer"}}}}},
        "outs": [{"path": "data/prepared/test.parquet", "hash": "md5", "md5": "f" * 32, "size": 10}],
    },
    "train": {
        "cmd": "python -m stages.train",
        "deps": [{"path": "data/prepared/test.parquet", "hash": "md5", "md5": "f" * 32, "size": 10}],
        "params": {"params.yaml": {"prepare": {"test_share": 0.2}, "seed": 7}},
        "outs": [{"path": "models/churn-predictor", "hash": "md5", "md5": f"{'a' * 32}.dir", "size": 10}],
    },
}
FILES = {"data/customers.csv": "c" * 32, "requirements.lock": "e" * 32, "stages/prepare.py": "d" * 32}
PARAMS = {"data.id": "id", "data.columns.age": {"type": "integer"}, "prepare.test_share": 0.2, "seed": 7}
MACHINE = {"python": "3.11.7", "cpu": "x86_64 Haswell", "threads": "2"}
INPUTS = Inputs(FILES, PARAMS, {"xgboost": "3.2.0", "numpy": "2.4.6"}, MACHINE)


def changed(stage: str, of: str, key: str, value: object) -> dict:
    found = copy.deepcopy(STAGES)
    found[stage][of][0][key] = value
    return found


def but(**other) -> Inputs:
    return Inputs(**{**vars(INPUTS), **other})


def test_identical_is_every_entry_of_every_stage():
    verdict = decide(STAGES, copy.deepcopy(STAGES), [], None)
    assert (verdict.grade, verdict.entries, verdict.differs) == (IDENTICAL, 12, [])


@pytest.mark.parametrize(
    "found",
    [
        changed("train", "outs", "md5", "0" * 32),
        changed("train", "outs", "size", 11),
        changed("prepare", "deps", "md5", "0" * 32),
        {**STAGES, "train": {**STAGES["train"], "cmd": "true"}},
        {**STAGES, "train": {**STAGES["train"], "params": {"params.yaml": {"seed": 8}}}},
        {**STAGES, "evaluate": STAGES["train"]},
        {"prepare": STAGES["prepare"]},
    ],
    ids=["an out", "a size", "a dep", "a command", "a param", "one stage more", "one stage less"],
)
def test_anything_else_in_dvc_lock_is_not_identical(found):
    assert decide(STAGES, found, [], None).grade == DIFFERENT
    assert decide(found, STAGES, [], Predictions(100, 0.0)).grade == SAME


@pytest.mark.parametrize(("largest", "grade"), [(0.0, SAME), (1e-6, SAME), (1.1e-6, DIFFERENT)])
def test_predictions_are_the_same_within_a_millionth(largest, grade):
    found = changed("train", "outs", "md5", "0" * 32)
    verdict = decide(STAGES, found, [], Predictions(100, largest))
    assert verdict.grade == grade
    assert verdict.predictions.largest == largest
    assert verdict.differs == [
        {
            "stage": "train",
            "of": "outs",
            "name": "models/churn-predictor",
            "recorded": f"{'a' * 32}.dir",
            "found": "0" * 32,
        }
    ]


def test_nan_is_no_small_difference():
    found = changed("train", "outs", "md5", "0" * 32)
    assert decide(STAGES, found, [], Predictions(100, float("nan"))).grade == DIFFERENT


CONSTRAINED = {"models.xgboost": {"rounds": 40, "monotone_constraints": {"tenure": -1}}}


@pytest.mark.parametrize(
    ("cpu", "settings", "told"),
    [
        ("aarch64 armv8", CONSTRAINED, 1),
        (None, CONSTRAINED, 1),
        ("x86_64 Haswell", CONSTRAINED, 0),
        ("aarch64 armv8", {"models.xgboost": {"rounds": 40, "monotone_constraints": {"tenure": 0}}}, 0),
        ("aarch64 armv8", {"models.random_forest": {"monotone_constraints": {"tenure": -1}}}, 0),
    ],
)
def test_a_setting_that_keeps_the_bytes_to_one_family_of_cpus_is_named_on_another(cpu, settings, told):
    recorded = changed("train", "outs", "md5", "0" * 32)
    recorded["train"]["params"]["params.yaml"] |= settings
    machine = {"kind": "machine", "name": "CPU kernel", "recorded": cpu, "found": "x86_64 SkylakeX"}
    verdict = decide(recorded, STAGES, [machine], Predictions(100, 0.0))
    assert [note.partition(":")[0] for note in verdict.notes] == (
        ["models.xgboost.monotone_constraints"] * told
    )


ALONE = {"engine": "local", "workers": 1, "partitions": 1, "device": "cpu"}
OVER_DASK = {"engine": "dask", "workers": 2, "partitions": 4, "device": "cpu"}


@pytest.mark.parametrize(
    ("train", "learned"),
    [({}, ALONE), ({"train": {"model": "xgboost"}}, ALONE), ({"train": OVER_DASK}, OVER_DASK)],
    ids=["nothing tells", "before there was a choice", "two workers"],
)
def test_a_verdict_says_where_the_model_learned(train, learned):
    recorded = copy.deepcopy(STAGES)
    recorded["train"]["params"]["params.yaml"] |= train
    assert decide(recorded, copy.deepcopy(recorded), [], None).learned == learned
    assert decide(recorded, STAGES | {"evaluate": {}}, [], None).learned == learned


def test_on_another_device_the_same_predictions_are_the_best_and_it_is_told_why():
    recorded, rebuilt = copy.deepcopy(STAGES), copy.deepcopy(STAGES)
    for stages, device in ((recorded, "cuda"), (rebuilt, "cpu")):
        stages["train"]["params"]["params.yaml"]["train"] = {"device": device}
    found = differing(
        but(params=PARAMS | {"train.device": "cuda"}), but(params=PARAMS | {"train.device": "cpu"})
    )
    verdict = decide(recorded, rebuilt, found, Predictions(None, 0.0))
    assert (verdict.grade, verdict.notes) == (SAME, [ANOTHER_DEVICE])


def test_another_gpu_is_told_of_a_model_that_learned_on_one_alone():
    def on(gpu: str, device: str) -> Inputs:
        return but(machine=MACHINE | {"gpu": gpu}, params=PARAMS | {"train.device": device})

    (told,) = differing(on("A100", "cuda"), on("H200", "cuda"))
    assert tuple(told.values()) == ("machine", "GPU", "A100", "H200")
    assert decide(STAGES, {}, [told], None).notes == [ANOTHER_DEVICE]
    assert differing(on("A100", "cpu"), on("H200", "cpu")) == []


def test_inputs_are_what_a_stage_read_and_none_wrote():
    assert read_inputs(STAGES) == (FILES, PARAMS)
    assert outs(STAGES).keys() == {"data/prepared/test.parquet", "models/churn-predictor"}


def test_the_same_inputs_do_not_differ():
    assert differing(INPUTS, but()) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (but(files=FILES | {"data/customers.csv": "0"}), ("data", "data/customers.csv", "c" * 32, "0")),
        (but(params=PARAMS | {"seed": 8}), ("param", "seed", 7, 8)),
        (but(params=PARAMS | {"data.columns.new": 1}), ("param", "data.columns.new", None, 1)),
        (but(files=FILES | {"stages/prepare.py": None}), ("code", "stages/prepare.py", "d" * 32, None)),
        (but(packages=INPUTS.packages | {"xgboost": "3.3.0"}), ("package", "xgboost", "3.2.0", "3.3.0")),
        (but(files=FILES | {"requirements.lock": "0"}), ("environment", "requirements.lock", "e" * 32, "0")),
        (but(machine=MACHINE | {"python": "3.12.1"}), ("machine", "Python", "3.11.7", "3.12.1")),
        (but(machine=MACHINE | {"threads": "4"}), ("machine", "threads", "2", "4")),
    ],
)
def test_each_input_that_differs_is_named_with_both_values(found, told):
    assert [tuple(one.values()) for one in differing(INPUTS, found)] == [told]


def test_of_many_inputs_the_first_is_the_furthest_from_the_machine():
    found = Inputs(dict.fromkeys(FILES, "0"), {"seed": 8}, {"xgboost": "3.3.0"}, MACHINE)
    kinds = [one["kind"] for one in differing(but(machine={}), found)]
    assert kinds == ["data", *["param"] * 4, "code", *["package"] * 2, *["machine"] * 3]


def test_a_lock_whose_packages_are_not_known_is_named_itself():
    found = but(files=FILES | {"requirements.lock": "0"})
    assert [one["kind"] for one in differing(but(packages=None), found)] == ["environment"]


def test_a_machine_that_nobody_recorded_is_told_as_such():
    told = differing(but(machine={}), INPUTS)
    assert [(one["name"], one["recorded"]) for one in told] == [
        ("Python", None),
        ("CPU kernel", None),
        ("threads", None),
    ]
