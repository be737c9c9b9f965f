"""How sure a difference is, what a study is held to, and what lineage knows it by."""

import numpy as np
import pandas as pd
import pytest

from predictflow.lineage.studies import choice_md5
from predictflow.tuning import folds, inputs, report
from predictflow.tuning.intervals import difference, estimate
from stages.support.errors import UserError


def test_an_interval_is_that_of_the_corrected_resampled_t_test():
    # By hand: mean 3, s² 2.5, (1/5 + 1/4) s² = 1.125; Student's t of 4 degrees of freedom: 2.776445.
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0], 0.95)
    assert (found.value, found.error) == (3.0, pytest.approx(1.125**0.5))
    assert found.high - found.value == pytest.approx(2.776445 * 1.125**0.5, rel=1e-6)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_what_the_folds_have_in_common_cancels_out_of_a_difference():
    compared = difference([0.81, 0.91, 0.71], [0.80, 0.90, 0.70], 0.95)
    assert (compared.value, compared.low) == (pytest.approx(0.01), pytest.approx(0.01, abs=1e-6))


@pytest.mark.parametrize(
    ("scores", "metric", "verdict"),
    [
        ([0.81, 0.82, 0.83, 0.84, 0.85], "roc_auc", "yes"),
        ([0.79, 0.84, 0.80, 0.82, 0.80], "roc_auc", "not better than chance"),
        ([0.79, 0.79, 0.79, 0.79, 0.79], "roc_auc", "no"),
        ([0.79, 0.78, 0.77, 0.76, 0.75], "log_loss", "yes"),
        ([0.81, 0.81, 0.81, 0.81, 0.81], "log_loss", "no"),
    ],
)
def test_a_verdict_follows_from_the_interval_of_the_difference(space, tree, scores, metric, verdict):
    tree["tune"]["metric"] = metric
    chosen = type(space).read(space.params.__class__(tree))
    compared = difference(scores, [0.80] * 5, chosen.params["evaluate.confidence"])
    assert report.verdict(compared, chosen) == verdict


def test_a_customers_fold_is_decided_by_the_id_alone():
    ids = pd.Series([f"customer {number}" for number in range(2000)])
    parts = folds.parts_of(ids, "salt", 5)
    assert sorted(set(parts)) == [0, 1, 2, 3, 4]
    assert min(np.bincount(parts)) > 330
    assert (folds.parts_of(ids[::-1], "salt", 5)[::-1] == parts).all()
    assert (folds.parts_of(ids, "other", 5) != parts).any()


def test_a_fold_without_both_kinds_is_told():
    with pytest.raises(UserError, match=r"fold 1 of 2 has 2 customers.*\nCure: "):
        folds.ensure_both_classes(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), 2)


def test_what_differs_from_the_beginning_of_a_study_is_named():
    then = {"data": {"train": "a"}, "code": {"x.py": "1", "gone.py": "2"}, "space": {"seed": 1}}
    inputs.ensure_same(1, then, then)
    now = {"data": {"train": "a"}, "code": {"x.py": "1", "new.py": "3"}, "space": {"seed": 2}}
    with pytest.raises(UserError) as error:
        inputs.ensure_same(1, then, now)
    assert "code: gone.py, new.py" in str(error.value)
    assert "space: seed" in str(error.value)
    assert "data:" not in str(error.value)


def test_a_choice_is_known_by_its_model_and_settings_also_as_text():
    params = {"train.model": "xgboost", "models.xgboost.max_depth": 2, "models.xgboost.subsample": 0.5}
    assert choice_md5(params) == choice_md5({name: str(value) for name, value in params.items()})
    assert choice_md5(params) == choice_md5(params | {"seed": 3, "models.random_forest.max_depth": 4})
    assert choice_md5(params) != choice_md5(params | {"models.xgboost.max_depth": 3})


def test_importance_is_told_of_enough_trials_alone(space):
    assert report.importance([], space) == {}
