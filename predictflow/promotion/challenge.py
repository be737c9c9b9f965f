"""Champion against challenger on the same customers: a paired bootstrap tells them apart."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from predictflow.scoring.model import DECIMALS

AT_ONCE = 1 << 20  # customers, times resamples, that are held in memory


@dataclass(frozen=True)
class AucDifference:
    """ROC AUC of the challenger less that of the champion, on the same customers.

    Attributes:
        low, high: each the bound of a one-sided interval: the true difference is not below `low` with
            the confidence that was asked for, and not above `high` with the same.
    """

    champion: float
    challenger: float
    difference: float
    low: float
    high: float


class _Ranked:
    """The scores of one model, prepared so that any weights of the customers give their ROC AUC at once."""

    def __init__(self, left: np.ndarray, stayed: np.ndarray) -> None:
        self._order = np.argsort(stayed, kind="stable")
        self._below = np.searchsorted(stayed[self._order], left, side="left")
        self._upto = np.searchsorted(stayed[self._order], left, side="right")

    def pairs(self, left: np.ndarray, stayed: np.ndarray) -> np.ndarray:
        """Twice the pairs that the model puts in the right order, a tie for half a pair: the
        Mann-Whitney U, int64 (k,), exact.

        Args:
            left, stayed: how often each customer is drawn, int64 (k, positives) and (k, negatives).
        """
        sums = np.zeros((len(stayed), stayed.shape[1] + 1), dtype=np.int64)
        np.cumsum(stayed[:, self._order], axis=1, out=sums[:, 1:])
        return ((sums[:, self._below] + sums[:, self._upto]) * left).sum(axis=1)


def compare_auc(
    target: np.ndarray,
    challenger: np.ndarray,
    champion: np.ndarray,
    confidence: float,
    resamples: int,
    seed: int,
) -> AucDifference:
    """The difference of two models' ROC AUC and its interval, by a paired, stratified percentile bootstrap.

    Each resample draws as many leavers, and as many of those who stayed, as there are, with replacement;
    the same ones for both models, so what they share cancels out. `low` and `high` are the (1 - confidence)
    and the confidence quantile of the differences (Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, chapter 13; the strata after Carpenter and Bithell, Statistics in Medicine 19 (2000) 1141-1164,
    for ROC curves as Robin et al., BMC Bioinformatics 12 (2011) 77, do by default).

    Args:
        target: 1 for those who left, else 0, shape (n,); both must be there.
        challenger, champion: probabilities of leaving, shape (n,).
        confidence: of each bound, one-sided, above 0.5 and below 1.
        resamples: how many; all are drawn from `seed`, and memory does not grow with them.
    """
    left = target == 1
    ranked = [_Ranked(scores[left], scores[~left]) for scores in (challenger, champion)]
    positives, negatives = int(left.sum()), int((~left).sum())
    whole = 2 * positives * negatives
    once = np.ones((1, positives), dtype=np.int64), np.ones((1, negatives), dtype=np.int64)
    new, old = (int(model.pairs(*once)[0]) for model in ranked)
    differences = [
        ranked[0].pairs(*drawn) - ranked[1].pairs(*drawn)
        for drawn in draws(positives, negatives, resamples, seed)
    ]
    low, high = np.quantile(np.concatenate(differences) / whole, [1 - confidence, confidence])
    numbers = (old / whole, new / whole, (new - old) / whole, low, high)
    return AucDifference(*(round(float(number), DECIMALS) for number in numbers))


def draws(
    positives: int, negatives: int, resamples: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each customer is in each resample: int64 (k, positives) and (k, negatives), k at a time."""
    # A stream for each class: what is drawn does not depend on how many are drawn at a time.
    of_left, of_stayed = np.random.default_rng(seed).spawn(2)
    size = max(1, AT_ONCE // (positives + negatives))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        yield _counts(of_left, positives, rows), _counts(of_stayed, negatives, rows)


def _counts(generator: np.random.Generator, customers: int, rows: int) -> np.ndarray:
    drawn = generator.integers(0, customers, size=(rows, customers))
    drawn += np.arange(rows)[:, None] * customers  # each row counts in a stretch of its own
    return np.bincount(drawn.ravel(), minlength=rows * customers).reshape(rows, customers)
