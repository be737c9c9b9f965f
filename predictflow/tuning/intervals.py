"""How sure a mean over folds is, and a difference between two of them on the same folds."""

from dataclasses import asdict, dataclass
from statistics import fmean, stdev

from predictflow.formatting import Json

DECIMALS = 9


@dataclass(frozen=True)
class Estimate:
    """A mean over folds.

    Attributes:
        error: its standard error.
        low, high: of the confidence interval, two-sided.
    """

    value: float
    error: float
    low: float
    high: float

    def as_json(self) -> Json:
        return asdict(self)


def estimate(scores: list[float], confidence: float) -> Estimate:
    """The mean of k folds, or of k differences on the same folds, and its interval by Student's t, k - 1
    degrees of freedom.

    The models of two folds have most of their customers in common, so the variance of the mean is not s²/k
    but (1/k + 1/(k - 1)) s², the latter being the share of those who test to those who teach (Nadeau and
    Bengio, Machine Learning 52 (2003) 239-281, the corrected resampled t-test).

    Args:
        scores: at least two.
    """
    from scipy.stats import t

    k, mean = len(scores), fmean(scores)
    error = stdev(scores) * (1 / k + 1 / (k - 1)) ** 0.5
    reach = float(t.ppf((1 + confidence) / 2, k - 1)) * error
    return Estimate(*(round(number, DECIMALS) for number in (mean, error, mean - reach, mean + reach)))


def difference(winner: list[float], other: list[float], confidence: float) -> Estimate:
    """By how much the winner is above the other one, fold by fold."""
    return estimate([a - b for a, b in zip(winner, other, strict=True)], confidence)
