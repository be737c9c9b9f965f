"""Tenths of the customers: like sizes, the likeliest first, and the same ones every time."""

import numpy as np
import pytest

from predictflow.scoring.deciles import deciles


def test_the_likeliest_to_leave_are_in_the_first_decile():
    probabilities = np.linspace(0, 1, 20)
    assert deciles(probabilities).tolist() == [tenth for tenth in range(10, 0, -1) for _ in range(2)]


def test_those_with_the_same_probability_go_by_their_rows():
    assert deciles(np.full(20, 0.5)).tolist() == [tenth for tenth in range(1, 11) for _ in range(2)]


@pytest.mark.parametrize("rows", [1, 3, 9, 10, 11, 1009])
def test_sizes_differ_by_one_at_most_and_the_first_ones_are_larger(rows):
    found = deciles(np.random.default_rng(rows).random(rows))
    sizes = np.bincount(found, minlength=11)[1:].tolist()
    assert sum(sizes) == rows
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1


def test_nobody_is_ranked_above_a_likelier_one():
    probabilities = np.random.default_rng(1).random(5000).round(2)
    found = deciles(probabilities)
    for tenth in range(1, 10):
        assert probabilities[found == tenth].min() >= probabilities[found == tenth + 1].max()


def test_of_nobody_there_are_no_deciles():
    assert deciles(np.empty(0)).tolist() == []
