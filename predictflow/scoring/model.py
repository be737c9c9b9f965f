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


class FolderModel:
    """A model's folder, loaded through the serving code that lies in it: it looks at the values of one column
    at a time. Whatever that code raises is raised as Unscorable."""

    def __init__(self, folder: Path) -> None:
        self._own = _tried(lambda: load_serving.module(folder))
        self._model = _tried(lambda: self._own.Model(folder))
        self.columns: dict[str, dict] = self._model.columns

    def features(self, name: str, values: "pd.Series") -> "pd.Series":
        """What the values of a column become. Raises Unscorable where one does not fit."""
        spec = {name: self.columns[name]}
        return _tried(lambda: self._own.features(values.to_frame(name), spec)[name])

    def score(self, features: "pd.DataFrame") -> np.ndarray:
        """Probabilities, float64 (n,), of rows whose every column was converted, as the model gives them."""
        return _tried(lambda: self._model.score(features))


def _tried(step: Callable[[], Answer]) -> Answer:
    """What a step of a model's own code yields. Whatever it raises is the model's answer, not our mistake."""
    try:
        return step()
    except Exception as error:
        raise Unscorable(str(error) or type(error).__name__) from error
