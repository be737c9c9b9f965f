"""Customers are cut into the same parts, whatever the batches that they come in."""

import numpy as np
import pandas as pd
import pytest

from stages.model.dask_engine import cut
from stages.model.families import Sample

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
