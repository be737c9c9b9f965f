"""What `tune` may not hold is told with its key and a cure, before anything is tried."""

from functools import reduce
from operator import getitem

import pytest

from predictflow.tuning.space import Space
from stages.support.errors import UserError
from stages.support.params import Params

DEPTH = "tune.space.models.xgboost.max_depth"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("tune", None, "tune in params.yaml is missing"),
        ("tune.metric", "f1", "one of roc_auc, average_precision, log_loss, brier"),
        ("tune.folds", 2, "from 3 to 20"),
        ("tune.space", [], "a mapping from train and models"),
        ("tune.space", {}, "tries nothing of train.model, xgboost"),
        ("tune.space.seed", {"type": "integer"}, "name train or models"),
        ("tune.space.train", {"validation_share": {}}, "of train, only model can"),
        ("tune.space.train", {"model": {"type": "category", "choices": ["svm"]}}, "choose among xgboost"),
        ("tune.space.train", {"model": {"type": "integer", "low": 1, "high": 2}}, "the models as choices"),
        ("tune.space.models", [], "give it a mapping"),
        ("tune.space.models.svm", {}, "name one of xgboost, logistic_regression"),
        ("tune.space.models.xgboost.depth", {}, "take it out, or name one of rounds"),
        ("tune.space.models.xgboost.gamma", {}, "add `gamma: 0`, which it is today, under models.xgboost"),
        (DEPTH, 3, "choose one of integer, number, category"),
        (DEPTH, {"type": "text"}, "choose one of integer, number, category"),
        (DEPTH, {"type": "integer", "low": 1}, f"{DEPTH}.high in params.yaml is missing"),
        (DEPTH, {"type": "integer", "low": 1.5, "high": 3}, "give it a whole number"),
        (DEPTH, {"type": "integer", "low": 3, "high": 3}, "a number below its high, 3"),
        (DEPTH, {"type": "integer", "low": -1, "high": 3}, "give it a whole number from 0"),
        (DEPTH, {"type": "integer", "low": 0, "high": 3, "log": True}, "with log, give it a number above 0"),
        (DEPTH, {"type": "integer", "low": 1, "high": 9, "log": True, "step": 2}, "take one of the two out"),
        (
            DEPTH,
            {"type": "integer", "low": 1, "high": 4, "step": 2},
            "that steps of 2 lead to from 1",
        ),
        (DEPTH, {"type": "number", "low": 1, "high": 4}, "give it a whole number"),
        (DEPTH, {"type": "category", "choices": []}, "a list of values"),
        (DEPTH, {"type": "category", "choices": [2, 2]}, "lists 2 twice"),
        (DEPTH, {"type": "category", "choices": [[2]]}, "texts, numbers, true, false or null"),
        (DEPTH, {"type": "category", "choices": [2, "3"]}, "is '3'"),
        ("tune.space.models.xgboost.subsample", {"type": "number", "low": 0.5, "high": 2}, "to 1"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_a_cure(tree, key, value, told):
    *way, last = key.split(".")
    reduce(getitem, way, tree)[last] = value
    with pytest.raises(UserError) as error:
        Space.read(Params(tree))
    assert told in str(error.value)
    assert "\nCure: " in str(error.value)


def test_every_mistake_is_told_at_once(tree):
    tree["tune"]["space"]["models"]["xgboost"] |= {"max_depth": 3, "depth": {}}
    with pytest.raises(UserError, match="2 things") as error:
        Space.read(Params(tree))
    assert "max_depth.type is 3" in str(error.value)
    assert "xgboost.depth means nothing" in str(error.value)


def test_each_model_that_may_be_chosen_draws_its_own_settings(tree):
    import optuna

    space = tree["tune"]["space"]
    space["train"] = {"model": {"type": "category", "choices": ["xgboost", "random_forest"]}}
    space["models"]["random_forest"] = {"max_features": {"type": "category", "choices": ["sqrt", None, 0.5]}}
    read = Space.read(Params(tree))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [read.draw(study.ask()) for _ in range(20)]
    assert {values["train.model"] for values in drawn} == {"xgboost", "random_forest"}
    for values in drawn:
        model, settings = read.settings(values)
        assert set(settings) == set(tree["models"][model])
        assert all(name.startswith(("train.", f"models.{model}.")) for name in values)


def test_numbers_are_drawn_as_a_person_reads_them_and_within_their_bounds(tree):
    import optuna

    tree["tune"]["space"]["models"]["xgboost"]["subsample"] |= {"low": 0.123456, "high": 0.123457}
    read = Space.read(Params(tree))
    drawn = read.draw(optuna.create_study().ask())
    assert 0.123456 <= drawn["models.xgboost.subsample"] <= 0.123457
    assert len(f"{drawn['models.xgboost.reg_lambda']:g}".replace(".", "").lstrip("0")) <= 4


def test_what_is_drawn_may_change_in_params_yaml_and_what_is_not_is_another_space(tree):
    before = Space.read(Params(tree)).as_json()
    tree["models"]["xgboost"]["max_depth"] = 5
    assert Space.read(Params(tree)).as_json() == before
    tree["models"]["xgboost"]["gamma"] = 0.1
    assert Space.read(Params(tree)).as_json() != before
