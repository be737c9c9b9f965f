"""A model folder scores customers, through the serving code that lies in it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stages.model import load_serving

if TYPE_CHECKING:
    import pandas as pd

Answer = TypeVar("Answer")

DECIMALS = 9  # of a probability, as `evaluate` rounds: the last bits may be the CPU kernel's


class Unscorable(Exception):
    """Customers that a model refuses, or a model that cannot be loaded here: what it said."""


def scorer(folder: Path) -> Callable[["pd.DataFrame"], np.ndarray]:
    """What scores customers with a model folder, through the serving code that lies in it.

    The result takes raw customers and gives probabilities, float64 (n,). Both raise Unscorable.
    """

    def score(rows: "pd.DataFrame") -> np.ndarray:
        return _tried(lambda: model.predict(rows)).round(DECIMALS)

    own = _tried(lambda: load_serving.module(folder))
    model = _tried(lambda: own.Model(folder))
    return score


def _tried(step: Callable[[], Answer]) -> Answer:
    """What a step of a model's own code yields. Whatever it raises is the model's answer, not our mistake."""
    try:
        return step()
    except Exception as error:
        raise Unscorable(str(error) or type(error).__name__) from error
