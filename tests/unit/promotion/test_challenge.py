"""Champion against challenger: the numbers are those of an independent computation, and repeat exactly."""

import importlib.util
import py_compile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from predictflow.promotion.challenge import AT_ONCE, compare_auc, draws
from predictflow.scoring.model import Unscorable, scorer


def customers(count: int, seed: int = 3, decimals: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A target and the probabilities of a good and a worse model, with ties."""
    rng = np.random.default_rng(seed)
    target = (rng.random(count) < 0.3).astype(int)
    good = np.clip(rng.normal(0.4 + 0.25 * target, 0.2), 0, 1)
    worse = np.clip(good + rng.normal(0, 0.3, count), 0, 1)
    return target, good.round(decimals), worse.round(decimals)


def weighted(target: np.ndarray, scores: np.ndarray, left: np.ndarray, stayed: np.ndarray) -> float:
    """ROC AUC of a resample by scikit-learn."""
    times = np.empty(len(target), dtype=int)
    times[target == 1], times[target == 0] = left, stayed
    return roc_auc_score(np.repeat(target, times), np.repeat(scores, times))


def test_the_interval_is_that_of_scikit_learn_on_the_same_resamples():
    target, new, old = customers(90)
    found = compare_auc(target, new, old, 0.9, 200, 11)
    assert found.challenger == pytest.approx(roc_auc_score(target, new), abs=1e-9)
    assert found.champion == pytest.approx(roc_auc_score(target, old), abs=1e-9)
    assert found.difference == pytest.approx(found.challenger - found.champion, abs=2e-9)
    positives = int(target.sum())
    differences = [
        weighted(target, new, *drawn) - weighted(target, old, *drawn)
        for some in draws(positives, len(target) - positives, 200, 11)
        for drawn in zip(*some, strict=True)
    ]
    assert len(differences) == 200
    assert [found.low, found.high] == pytest.approx(np.quantile(differences, [0.1, 0.9]), abs=1e-9)


def test_every_resample_draws_as_many_of_each_class_as_there_are():
    drawn = list(draws(40, 160, 2000, 5))
    left, stayed = (np.concatenate(side) for side in zip(*drawn, strict=True))
    assert left.shape == (2000, 40) and stayed.shape == (2000, 160)
    assert (left.sum(axis=1) == 40).all() and (stayed.sum(axis=1) == 160).all()
    # With replacement, a customer is left out of about 1/e of the resamples, and no one is preferred.
    assert (left == 0).mean() == pytest.approx((1 - 1 / 40) ** 40, abs=0.01)
    assert (stayed == 0).mean() == pytest.approx((1 - 1 / 160) ** 160, abs=0.01)
    assert left.mean(axis=0) == pytest.approx(np.ones(40), abs=0.15)


def test_what_is_drawn_does_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch):
    target, new, old = customers(100)
    once = compare_auc(target, new, old, 0.95, 500, 1)
    for size in (1, 350, 4_900):
        monkeypatch.setattr("predictflow.promotion.challenge.AT_ONCE", size)
        assert compare_auc(target, new, old, 0.95, 500, 1) == once


def test_the_seed_and_nothing_else_decides_the_draws():
    target, new, old = customers(100)
    assert compare_auc(target, new, old, 0.95, 300, 1) == compare_auc(target, new, old, 0.95, 300, 1)
    assert compare_auc(target, new, old, 0.95, 300, 1) != compare_auc(target, new, old, 0.95, 300, 2)


def test_a_model_against_itself_differs_by_nothing():
    target, new, _ = customers(200)
    found = compare_auc(target, new, new.copy(), 0.95, 500, 1)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    shifted = compare_auc(target, new / 2, new, 0.95, 500, 1)  # the same ranks
    assert (shifted.difference, shifted.low, shifted.high) == (0, 0, 0)


def test_a_better_model_is_above_zero_and_a_worse_one_below():
    target, new, old = customers(1400)
    better, worse = compare_auc(target, new, old, 0.95, 500, 1), compare_auc(target, old, new, 0.95, 500, 1)
    assert 0 < better.low < better.difference < better.high
    assert (worse.low, worse.difference, worse.high) == pytest.approx(
        (-better.high, -better.difference, -better.low)
    )


def test_more_confidence_asks_for_more():
    target, new, old = customers(400)
    lows = [compare_auc(target, new, old, confidence, 1000, 1).low for confidence in (0.5, 0.8, 0.95, 0.999)]
    assert lows == sorted(lows, reverse=True) and len(set(lows)) == 4


def test_the_lower_bound_misses_the_true_difference_about_as_often_as_it_may():
    """Of 200 samples of two equally good models, the bound at 0.9 lies above the true difference, 0, in some
    20; with 3 standard deviations (4.2 each) to either side."""
    missed = 0
    for seed in range(200):
        rng = np.random.default_rng(1000 + seed)
        target = np.arange(200) % 4 == 0
        signal = rng.normal(target, 1.0)
        new, old = signal + rng.normal(0, 0.7, 200), signal + rng.normal(0, 0.7, 200)
        missed += compare_auc(target.astype(int), new, old, 0.9, 200, seed).low > 0
    assert 7 < missed < 33


@pytest.mark.parametrize(
    ("target", "new", "old", "difference"),
    [
        ([1, 0], [1, 0], [0, 1], 1),  # one of each: every resample is the same
        ([1, 0], [0.5, 0.5], [0, 1], 0.5),
        ([1, 1, 0, 0], [0.5] * 4, [0.5] * 4, 0),  # nothing but ties
        ([1, 0, 0], [0.9, 0.1, 0.1], [0.1, 0.9, 0.9], 1),
    ],
)
def test_the_smallest_cases_are_what_they_must_be(target, new, old, difference):
    found = compare_auc(np.array(target), np.array(new), np.array(old), 0.95, 100, 1)
    assert (found.low, found.difference, found.high) == (difference,) * 3


def test_many_customers_take_no_more_memory_than_few():
    sizes = {max(left.size + stayed.size, 1) for left, stayed in draws(50_000, 150_000, 7, 1)}
    assert max(sizes) <= AT_ONCE
    assert sum(len(left) for left, _ in draws(50_000, 150_000, 7, 1)) == 7


SERVING = """
class Model:
    def __init__(self, folder):
        {load}
    def predict(self, rows):
        {predict}
"""


@pytest.mark.parametrize(
    ("load", "predict", "said"),
    [
        ("pass", "raise ValueError('column plan is none of 1, 2')", "column plan is none of 1, 2"),
        ("pass", "return rows['gone']", "'gone'"),
        ("raise RuntimeError()", "pass", "RuntimeError"),
        ("import no_such_package", "pass", "No module named 'no_such_package'"),
        ("this is no Python", "pass", "invalid syntax"),
    ],
)
def test_whatever_a_models_own_code_raises_is_its_answer(tmp_path, load, predict, said):
    (tmp_path / "serving.py").write_text(SERVING.format(load=load, predict=predict))
    with pytest.raises(Unscorable, match=said):
        scorer(tmp_path)(pd.DataFrame({"plan": ["3"]}))


def test_two_folders_score_through_their_own_code(tmp_path):
    scorers = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        code = SERVING.format(load="pass", predict=f"return rows['x'].to_numpy() / {number}")
        (folder / "serving.py").write_text(code)
        scorers.append(scorer(folder))
    rows = pd.DataFrame({"x": [1.0, 1 / 3]})
    assert [list(score(rows)) for score in scorers] == [[1, 0.333333333], [0.5, 0.166666667]]


def test_byte_code_that_lies_in_a_folder_is_never_run(tmp_path):
    """As planted: unchecked, so that an import would take it whatever the source says."""
    source, evil = tmp_path / "serving.py", tmp_path / "evil.py"
    source.write_text(SERVING.format(load="pass", predict="return rows['x'].to_numpy()"))
    evil.write_text(SERVING.format(load="pass", predict="return rows['x'].to_numpy() * 0"))
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    planted = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(evil), planted, invalidation_mode=unchecked)
    assert list(scorer(tmp_path)(pd.DataFrame({"x": [0.5]}))) == [0.5]
    assert [path.name for path in (tmp_path / "__pycache__").iterdir()] == [Path(planted).name]
