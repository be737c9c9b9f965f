"""Who learns from which customers: the same parts, whatever their batches, and the same order of the workers,
whatever the cluster tells first; and a cluster that could not learn the same is refused."""

import asyncio
import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.model.dask_engine import _ensure_there, _ranked, cut
from stages.model.families import Sample
from stages.support.errors import UserError

PLANS = pd.CategoricalDtype(["a", "b", "c"])
FRAME = pd.DataFrame(
    {"fee": np.arange(11, dtype="float32"), "plan": pd.Series(list("abcabcabcab"), dtype=PLANS)}
)
ALL = Sample(FRAME, np.arange(11) % 2)


def batches(size: int):
    for start in range(0, 11, size):
        chosen = np.isin(np.arange(11), range(start, start + size))
        yield Sample(ALL.frame[chosen].reset_index(drop=True), ALL.target[chosen])


@pytest.mark.parametrize("size", [1, 4, 11])
@pytest.mark.parametrize(("count", "rows"), [(1, [11]), (2, [5, 6]), (3, [3, 4, 4]), (11, [1] * 11)])
def test_parts_are_of_equal_size_and_hold_the_rows_in_their_order(size, count, rows):
    parts = cut(batches(size), 11, count)
    samples = list(parts.samples)
    assert [len(sample.target) for sample in samples] == rows
    assert parts.count == count and parts.rows == 11
    whole = pd.concat([sample.frame for sample in samples], ignore_index=True)
    pd.testing.assert_frame_equal(whole, ALL.frame)
    assert np.concatenate([sample.target for sample in samples]).tolist() == ALL.target.tolist()


def test_no_more_is_read_than_the_part_that_is_asked_for():
    read = []

    def watched():
        for sample in batches(2):
            read.append(len(sample.target))
            yield sample

    parts = cut(watched(), 11, 5)
    next(parts.samples)
    assert read == [2]


PACKAGES = {"python": "3.11.7.final.0"} | dict.fromkeys(
    ("dask", "distributed", "numpy", "pandas", "xgboost"), "1.0"
)


class Client:
    """A client of a cluster that says what it is to say: names and folders by address."""

    def __init__(self, there: dict[str, tuple[str, str]], **odd: str) -> None:
        async def identity() -> dict[str, Any]:
            return {
                "workers": {at: {"id": id_, "local_directory": dir_} for at, (id_, dir_) in there.items()}
            }

        self.scheduler = SimpleNamespace(identity=identity)
        self.versions = {
            "client": {"packages": PACKAGES},
            "scheduler": {"packages": PACKAGES},
            "workers": {at: {"packages": copy.copy(PACKAGES)} for at in there},
        }
        for at in self.versions["workers"]:
            self.versions["workers"][at]["packages"] |= odd

    async def get_versions(self, packages: list[str]) -> dict[str, Any]:
        assert packages == ["xgboost"]
        return self.versions


THERE = {"tcp://a:9": ("2", "/w2"), "tcp://a:10": ("10", "/w10"), "tcp://a:1": ("b", "/wb")}


@pytest.mark.parametrize("there", [THERE, dict(reversed(THERE.items()))], ids=["as told", "reversed"])
def test_workers_are_ranked_as_text_like_xgboosts_tracker_does(there):
    assert list(asyncio.run(_ranked(Client(there), 3))) == ["tcp://a:10", "tcp://a:9", "tcp://a:1"]


def test_the_patch_level_of_python_makes_no_difference():
    asyncio.run(_ranked(Client(THERE, python="3.11.99.final.0"), 3))


@pytest.mark.parametrize(
    ("package", "version"), [("xgboost", "3.3"), ("xgboost", None), ("python", "3.12.1")]
)
def test_workers_with_other_packages_are_refused(package, version):
    with pytest.raises(UserError, match=r"(?s)tcp://a:9: \w+ [\w.]+, here .*\nCure: ") as told:
        asyncio.run(_ranked(Client(THERE, **{package: version}), 3))
    assert str(told.value).count(", here ") == 3


@pytest.mark.parametrize("there", [{}, {"tcp://a:9": ("2", "/w2")}], ids=["none", "one"])
def test_another_number_of_workers_is_refused(there):
    with pytest.raises(UserError, match=f"is 3, but the cluster of Dask's has {len(there)}, .*\nCure: "):
        asyncio.run(_ranked(Client(there), 3))


def test_a_worker_that_was_started_again_at_its_address_is_not_the_one_that_has_the_customers():
    asyncio.run(_ensure_there(Client(THERE), THERE))
    for now in (THERE | {"tcp://a:9": ("2", "/another")}, {"tcp://a:1": THERE["tcp://a:1"]}):
        with pytest.raises(UserError, match="of the 3 workers of Dask's ended"):
            asyncio.run(_ensure_there(Client(now), THERE))
