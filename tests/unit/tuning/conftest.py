"""A study without customers: what scores the folds is a formula, and the workers are this process."""

import random
from collections.abc import Callable
from concurrent.futures import Executor, Future

import pytest
from ruamel.yaml import YAML

from predictflow.tuning.space import Space
from stages.support.params import Params
from tests.people.project import REPOSITORY


def formula(model: str, settings: dict, fold: int) -> tuple[float, float]:
    """The metric of a fold, the best at depth 3 and a learning rate of 0.05; and no seconds."""
    rate, depth = settings["learning_rate"], settings["max_depth"]
    return 0.9 - 0.02 * abs(depth - 3) - abs(rate - 0.05) + 0.001 * fold, 0.0


class Workers(Executor):
    """Who works in an order of its own, as processes do, and stops when it has done so many folds."""

    def __init__(self, seed: int = 0, most: float = float("inf"), score: Callable = formula) -> None:
        self._random, self._most, self._score = random.Random(seed), most, score
        self._waiting: list[tuple[Future, tuple]] = []

    def submit(self, _, *args):
        future: Future = Future()
        self._waiting.append((future, args))
        return future

    def work(self) -> None:
        """Score one fold of those that wait, any of them."""
        if self._most <= 0:
            raise KeyboardInterrupt
        self._most -= 1
        future, args = self._waiting.pop(self._random.randrange(len(self._waiting)))
        try:
            future.set_result(self._score(*args))
        except Exception as error:
            future.set_exception(error)


@pytest.fixture
def tree() -> dict:
    """params.yaml, as it is."""
    return YAML(typ="safe").load(REPOSITORY / "params.yaml")


@pytest.fixture
def space(tree: dict) -> Space:
    return Space.read(Params(tree))
