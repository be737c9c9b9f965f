"""The ratios that the benchmark of the pipeline holds against its goals."""

from benchmarks.pipeline import Result, Timing

SECONDS = {
    "bare": 2.0,
    "record": 20.0,
    "cold": 8.0,
    "changed": 12.0,
    "back": 2.0,
    "no-op": 1.0,
    "trivial": 0.8,
}


def test_each_goal_is_a_ratio_of_medians_and_is_reached_or_missed():
    found = {
        case: [Timing(seconds * factor, {"train": 0.1}) for factor in (0.5, 1, 9)]
        for case, seconds in SECONDS.items()
    }
    goals = Result(found).goals()
    assert [(goal.ratio, goal.most) for goal in goals] == [(4, 6.3), (6, 5.6), (1.25, 1.25), (1, 1)]
    assert ["missed by" in str(goal) for goal in goals] == [False, True, False, False]
