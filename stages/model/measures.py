"""What a model is worth: numbers and curves from labels and probabilities, each a pure function.

Probabilities come in rounded, so the last bits that a CPU kernel may change reach no number here.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

DECIMALS = 9
POINTS = 1000  # of a curve, at most
NOBODY = 1 + 10**-DECIMALS  # the threshold that no probability reaches


@dataclass(frozen=True)
class Campaign:
    """What calling a customer costs and brings, in the currency of params.yaml.

    Attributes:
        contact_cost: of the call and the offer to one customer.
        customer_value: of a customer who stays.
        success_rate: the share of would-be leavers who stay when called.
    """

    contact_cost: float
    customer_value: float
    success_rate: float

    def profits(self, target: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(thresholds, profits): the profit of calling everyone at or above each probability there is."""
        order = np.argsort(-probabilities, kind="stable")
        left = np.cumsum(target[order])
        called = np.arange(1, len(target) + 1)
        profits = left * self.success_rate * self.customer_value - called * self.contact_cost
        last = np.append(np.flatnonzero(np.diff(probabilities[order])), len(target) - 1)
        return probabilities[order][last], profits[last]

    def best(self, target: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
        """(threshold, profit) of the most profitable calls; (NOBODY, 0.0) where none pays."""
        thresholds, profits = self.profits(target, probabilities)
        at = int(np.argmax(profits))
        return (float(thresholds[at]), float(profits[at])) if profits[at] > 0 else (NOBODY, 0.0)


def auc_interval(target: np.ndarray, probabilities: np.ndarray, confidence: float) -> tuple[float, float]:
    """The confidence interval of ROC AUC: normal, with DeLong's variance, cut at 0 and 1.

    DeLong et al., Biometrics 44 (1988) 837-845, by the midranks of Sun and Xu, IEEE Signal Processing
    Letters 21 (2014) 1389-1393.
    """
    from scipy.stats import rankdata

    left, stayed = probabilities[target == 1], probabilities[target == 0]
    overall = rankdata(np.concatenate([left, stayed]))
    above = (overall[: len(left)] - rankdata(left)) / len(stayed)
    below = 1 - (overall[len(left) :] - rankdata(stayed)) / len(left)
    auc = above.mean()
    variance = _variance(above) / len(left) + _variance(below) / len(stayed)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * np.sqrt(variance)
    return max(0.0, auc - reach), min(1.0, auc + reach)


def _variance(values: np.ndarray) -> float:
    return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0


def calibration(target: np.ndarray, probabilities: np.ndarray, bins: int) -> pd.DataFrame:
    """Customers in groups of like probability and like size: predicted and observed share, and how many."""
    order = np.argsort(probabilities, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return pd.DataFrame(
        {
            "predicted": [probabilities[group].mean() for group in groups],
            "observed": [target[group].mean() for group in groups],
            "customers": [len(group) for group in groups],
        }
    )


def numbers(
    target: np.ndarray,
    probabilities: np.ndarray,
    campaign: Campaign,
    confidence: float,
    bins: int,
) -> dict[str, Any]:
    """Every number of a model on one set of customers.

    Args:
        target: 1 for those who left, else 0, shape (n,), both there.
        probabilities: of leaving, shape (n,).
    """
    low, high = auc_interval(target, probabilities, confidence)
    groups = calibration(target, probabilities, bins)
    decile = np.argsort(-probabilities, kind="stable")[: max(1, round(len(target) / 10))]
    threshold, profit = campaign.best(target, probabilities)
    called = probabilities >= threshold
    found = {
        "roc_auc": metrics.roc_auc_score(target, probabilities),
        "roc_auc_low": low,
        "roc_auc_high": high,
        "average_precision": metrics.average_precision_score(target, probabilities),
        "log_loss": metrics.log_loss(target, probabilities, labels=[0, 1]),
        "brier": metrics.brier_score_loss(target, probabilities),
        # The mean gap between predicted and observed, each group by its size (Naeini et al., AAAI 2015).
        "calibration_error": np.average(
            (groups["predicted"] - groups["observed"]).abs(), weights=groups["customers"]
        ),
        "lift_top_decile": target[decile].mean() / target.mean(),
        "recall_top_decile": target[decile].sum() / target.sum(),
        "threshold": threshold,
        "profit_per_customer": profit / len(target),
    }
    return {name: round(float(value), DECIMALS) for name, value in found.items()} | {
        "true_positives": int((called & (target == 1)).sum()),
        "false_positives": int((called & (target == 0)).sum()),
        "false_negatives": int((~called & (target == 1)).sum()),
        "true_negatives": int((~called & (target == 0)).sum()),
    }


def curves(
    target: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    bins: int,
    labels: tuple[str, str],
) -> dict[str, pd.DataFrame]:
    """{name: points} of the curves on the slides.

    Args:
        threshold: customers at or above it are called.
        labels: how those who stayed and those who left are called.
    """
    false_positives, true_positives, _ = metrics.roc_curve(target, probabilities)
    precision, recall, _ = metrics.precision_recall_curve(target, probabilities)
    reached = np.append(0, np.cumsum(target[np.argsort(-probabilities, kind="stable")]))
    called = np.arange(len(target) + 1) / len(target)
    groups = calibration(target, probabilities, bins)
    names = np.array(labels)
    return {
        "roc": _thin(
            {
                "false_positive_rate": false_positives,
                "true_positive_rate": true_positives,
                "without_model": false_positives,
            }
        ),
        "precision_recall": _thin({"recall": recall, "precision": precision}),
        "calibration": groups.assign(perfect=groups["predicted"]).round(DECIMALS),
        "gain": _thin({"called": called, "reached": reached / target.sum(), "without_model": called}),
        "confusion": pd.DataFrame(
            {
                "actual": names[target.astype(int)],
                "predicted": names[(probabilities >= threshold).astype(int)],
            }
        ),
    }


def _thin(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """At most POINTS points, evenly spaced, the first and the last among them."""
    frame = pd.DataFrame(columns)
    kept = np.unique(np.linspace(0, len(frame) - 1, POINTS).round().astype(int))
    return frame.iloc[kept].round(DECIMALS)


def importance(
    score: Any, frame: pd.DataFrame, target: np.ndarray, seed: int, repeats: int = 3
) -> pd.DataFrame:
    """How much ROC AUC each column is worth: what is lost when its values change places.

    Breiman, Machine Learning 45 (2001) 5-32; the same unit for every model.

    Args:
        score: features to probabilities.
        frame: features, shape (n, k); of more than 5,000 customers, evenly chosen ones are used.
    """
    if len(frame) > 5000:
        chosen = np.linspace(0, len(frame) - 1, 5000).astype(int)
        frame, target = frame.iloc[chosen].reset_index(drop=True), target[chosen]
    rng = np.random.default_rng(seed)
    shuffled = [
        frame.assign(**{name: frame[name].take(rng.permutation(len(frame))).array})
        for name in frame
        for _ in range(repeats)
    ]
    scores = np.round(score(pd.concat([frame, *shuffled], ignore_index=True)), DECIMALS)
    whole, *parts = [metrics.roc_auc_score(target, part) for part in scores.reshape(-1, len(frame))]
    lost = whole - np.reshape(parts, (-1, repeats)).mean(axis=1)
    return pd.DataFrame({"column": frame.columns, "roc_auc_lost": lost.round(DECIMALS)}).sort_values(
        ["roc_auc_lost", "column"], ascending=[False, True]
    )
