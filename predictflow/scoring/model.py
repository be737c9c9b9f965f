"""A model folder scores customers, through the serving code that lies in it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

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
    spec = importlib.util.spec_from_file_location("serving_of_a_folder", folder / "serving.py")
    if spec is None or spec.loader is None:
        raise Unscorable(f"{folder} has no serving code")
    loader, own = spec.loader, importlib.util.module_from_spec(spec)

    def score(rows: "pd.DataFrame") -> np.ndarray:
        return _tried(lambda: model.predict(rows)).round(DECIMALS)

    _tried(lambda: loader.exec_module(own))
    model = _tried(lambda: own.Model(folder))
    return score


def _tried(step: Callable[[], Answer]) -> Answer:
    """What a step of a model's own code yields. Whatever it raises is the model's answer, not our mistake."""
    try:
        return step()
    except Exception as error:
        raise Unscorable(str(error) or type(error).__name__) from error
