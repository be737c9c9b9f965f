"""Which numbers versions get in a store that is made anew."""

from predictflow.maintenance.renumbering import Renumbering


def test_receipts_numbers_come_first_and_nobody_is_lost():
    def numbered(*given):
        plan = Renumbering(*given)
        return plan.changes, plan.numbers

    assert numbered([], {}, {"b": 1, "d": 4}, [*"abcd"]) == ({}, {"a": 2, "b": 1, "c": 3, "d": 4})
    assert numbered([1, 2], {1: "b", 2: "a"}, {"a": 1}, [*"abc"]) == (
        {2: 1, 1: 2},
        {"a": 1, "b": 2, "c": 3},
    ), "two change places"
    assert numbered([1], {1: "c"}, {"a": 1}, [*"abc"]) == ({1: 3}, {"a": 1, "b": 2, "c": 3})
    assert numbered([1, 2, 3], {1: "a", 3: "c"}, {"new": 2}, ["a", "c", "new"]) == (
        {2: 4},
        {"a": 1, "c": 3, "new": 2},
    ), "a deleted version keeps a row of its number"
    assert numbered([1, 2], {1: "a", 2: "a"}, {"a": 1}, ["a"]) == ({}, {"a": 1}), "the older of two"
    assert numbered([1, 2], {1: None, 2: "a"}, {"a": 1}, ["a"]) == ({2: 1, 1: 2}, {"a": 1})
