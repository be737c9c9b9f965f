"""Each number against an independent one: worked out by hand, or by another library or method."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from stages.model import measures
from stages.model.measures import NOBODY, Campaign
from stages.support import files

CAMPAIGN = Campaign(contact_cost=50, customer_value=500, success_rate=0.3)

# Ten customers, worked out by hand below.
TARGET = np.array([1, 1, 0, 1, 0, 0, 0, 1, 0, 0])
PROBABILITIES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


def numbers(target=TARGET, probabilities=PROBABILITIES, campaign=CAMPAIGN, bins=5) -> dict:
    return measures.numbers(target, probabilities, campaign, 0.95, bins)


def random(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Customers with probabilities that tell something, with ties."""
    rng = np.random.default_rng(seed)
    probabilities = rng.uniform(0, 1, rows).round(2)
    return (rng.uniform(0, 1, rows) < probabilities).astype("int8"), probabilities


def test_ten_customers_by_hand():
    found = numbers()
    # Pairs of a leaver and a loyal one in the right order: 6 + 6 + 5 + 2 of 24.
    assert found["roc_auc"] == round(19 / 24, 9)
    # Precision at each leaver, called from the top: 1/1, 2/2, 3/4, 4/8.
    assert found["average_precision"] == (1 + 1 + 3 / 4 + 4 / 8) / 4
    # Squares: .01 .04 .49 .16 .25 .16 .09 .64 .01 0
    assert found["brier"] == pytest.approx(0.185)
    # Pairs from the bottom: predicted .05 .25 .45 .65 .85, observed 0 .5 0 .5 1.
    assert found["calibration_error"] == pytest.approx((0.05 + 0.25 + 0.45 + 0.15 + 0.15) / 5)
    assert (found["lift_top_decile"], found["recall_top_decile"]) == (2.5, 0.25)
    # A caught leaver brings .3 · 500 - 50 = 100, a loyal one called costs 50: 100, 200, 150, 250, 200, …
    assert (found["threshold"], found["profit_per_customer"]) == (0.6, 25)
    assert [found[f"{name}s"] for name in ("true_positive", "false_positive")] == [3, 1]
    assert [found[f"{name}s"] for name in ("false_negative", "true_negative")] == [1, 5]


def test_log_loss_by_hand():
    found = numbers(np.array([1, 0]), np.array([0.8, 0.4]))
    assert found["log_loss"] == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_numbers_with_ties_agree_with_scikit_learn(seed):
    target, probabilities = random(seed=seed)
    found = numbers(target, probabilities)
    wins = stats.mannwhitneyu(probabilities[target == 1], probabilities[target == 0]).statistic
    assert found["roc_auc"] == pytest.approx(wins / (target.sum() * (1 - target).sum()))
    assert found["brier"] == pytest.approx(np.mean((target - probabilities) ** 2))
    counts = metrics.confusion_matrix(target, probabilities >= found["threshold"])
    assert [[found["true_negatives"], found["false_positives"]],
            [found["false_negatives"], found["true_positives"]]] == counts.tolist()  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cost", [1, 50, 149])
def test_no_other_threshold_earns_more(seed, cost):
    target, probabilities = random(150, seed)
    campaign = Campaign(cost, 500, 0.3)

    def profit(threshold: float) -> float:
        called = probabilities >= threshold
        return target[called].sum() * 150.0 - cost * called.sum()

    threshold, best = campaign.best(target, probabilities)
    assert best == pytest.approx(profit(threshold))
    assert best == pytest.approx(max(profit(step) for step in np.linspace(0, 1.01, 1000)))


def test_where_no_call_pays_nobody_is_called_not_even_the_certain():
    found = numbers(probabilities=np.ones(10), campaign=Campaign(1000, 500, 0.3))
    assert (found["threshold"], found["profit_per_customer"]) == (NOBODY, 0)
    assert (found["true_positives"], found["false_positives"]) == (0, 0)
    points = measures.curves(TARGET, np.ones(10), found["threshold"], 5, ("No", "Yes"))
    assert set(points["confusion"]["predicted"]) == {"No"}


def test_the_interval_covers_the_resampled_ones():
    target, probabilities = random(600, seed=4)
    low, high = measures.auc_interval(target, probabilities, 0.95)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(400):
        drawn = rng.integers(0, 600, 600)
        draws.append(metrics.roc_auc_score(target[drawn], probabilities[drawn]))
    assert (low, high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.008)


def test_the_interval_by_the_definition_of_delong():
    target, probabilities = random(80, seed=5)
    left, stayed = probabilities[target == 1], probabilities[target == 0]
    wins = (left[:, None] > stayed).astype(float) + 0.5 * (left[:, None] == stayed)
    error = np.sqrt(np.var(wins.mean(1), ddof=1) / len(left) + np.var(wins.mean(0), ddof=1) / len(stayed))
    reach = stats.norm.ppf(0.95) * error
    expected = wins.mean() - reach, wins.mean() + reach
    assert measures.auc_interval(target, probabilities, 0.9) == pytest.approx(expected)


def test_a_surer_interval_is_wider():
    low, high = measures.auc_interval(*random(), 0.9)
    lower, higher = measures.auc_interval(*random(), 0.99)
    assert lower < low < high < higher


def test_calibration_groups_are_alike_in_size_and_hold_every_customer():
    target, probabilities = random(103)
    groups = measures.calibration(target, probabilities, 10)
    assert groups["customers"].sum() == 103
    assert set(groups["customers"]) == {10, 11}
    assert groups["predicted"].is_monotonic_increasing
    assert np.average(groups["observed"], weights=groups["customers"]) == pytest.approx(target.mean())


EDGES = {
    "one positive": (np.array([1, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.3])),
    "one negative": (np.array([0, 1, 1, 1]), np.array([0.9, 0.1, 0.2, 0.3])),
    "one of each": (np.array([1, 0]), np.array([0.5, 0.5])),
    "all probabilities equal": (np.array([1, 0] * 30), np.full(60, 0.5)),
    "certain and right": (np.array([1, 0] * 30), np.array([1.0, 0.0] * 30)),
    "certain and wrong": (np.array([1, 0] * 30), np.array([0.0, 1.0] * 30)),
    "fewer customers than bins": (np.array([1, 0, 1]), np.array([0.2, 0.1, 0.3])),
}


@pytest.mark.parametrize("edge", EDGES)
def test_no_number_or_curve_is_ever_nan_or_infinite(edge, tmp_path):
    target, probabilities = EDGES[edge]
    for campaign in (CAMPAIGN, Campaign(1e9, 0, 0), Campaign(0, 0, 0)):
        found = measures.numbers(target, probabilities, campaign, 0.95, 10)
        files.write_json(Path(tmp_path / "numbers.json"), found)
        assert json.loads((tmp_path / "numbers.json").read_text()) == found
        assert 0 <= found["roc_auc_low"] <= found["roc_auc"] <= found["roc_auc_high"] <= 1
        counts = ("true_positives", "false_positives", "false_negatives", "true_negatives")
        assert sum(found[name] for name in counts) == len(target)
        for points in measures.curves(target, probabilities, found["threshold"], 10, ("No", "Yes")).values():
            assert len(points)
            assert not points.isna().to_numpy().any()
            assert np.isfinite(points.select_dtypes("number").to_numpy()).all()


def test_curves_begin_and_end_where_they_must():
    target, probabilities = random(5000)
    points = measures.curves(target, probabilities, 0.5, 10, ("No", "Yes"))
    ends = {name: points[name].iloc[[0, -1]] for name in ("roc", "precision_recall", "gain")}
    assert ends["roc"][["false_positive_rate", "true_positive_rate"]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert ends["gain"][["called", "reached"]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert ends["precision_recall"]["recall"].tolist() == [1, 0]
    assert ends["precision_recall"]["precision"].tolist() == [round(target.mean(), 9), 1]
    assert all(len(table) <= measures.POINTS for name, table in points.items() if name != "confusion")


def test_the_area_under_the_drawn_curve_is_the_roc_auc():
    target, probabilities = random()
    roc = measures.curves(target, probabilities, 0.5, 10, ("No", "Yes"))["roc"]
    area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert area == pytest.approx(numbers(target, probabilities)["roc_auc"])


def test_the_gain_reaches_what_the_top_decile_recalls():
    target, probabilities = random()
    gain = measures.curves(target, probabilities, 0.5, 10, ("No", "Yes"))["gain"].set_index("called")
    assert gain.loc[0.1, "reached"] == pytest.approx(numbers(target, probabilities)["recall_top_decile"])


def test_the_confusion_speaks_in_the_labels_of_the_file():
    confusion = measures.curves(TARGET, PROBABILITIES, 0.6, 5, ("stays", "leaves"))["confusion"]
    assert confusion.value_counts().to_dict() == {
        ("stays", "stays"): 5,
        ("stays", "leaves"): 1,
        ("leaves", "stays"): 1,
        ("leaves", "leaves"): 3,
    }


def test_importance_is_the_auc_lost_and_nothing_for_a_column_that_is_not_used():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"noise": rng.uniform(size=2000), "signal": rng.uniform(size=2000)})
    target = (frame["signal"] > 0.5).to_numpy().astype(int)
    found = measures.importance(lambda rows: rows["signal"].to_numpy(), frame, target, seed=1)
    assert found["column"].tolist() == ["signal", "noise"]
    assert found["roc_auc_lost"].tolist() == [pytest.approx(0.5, abs=0.03), 0]
    again = measures.importance(lambda rows: rows["signal"].to_numpy(), frame, target, seed=1)
    pd.testing.assert_frame_equal(again, found)
