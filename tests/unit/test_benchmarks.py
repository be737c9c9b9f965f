"""What the benchmarks make of what they have measured."""

import json
import re
import tomllib

import pytest

from benchmarks import plan
from benchmarks.pipeline import Result, Timing
from benchmarks.plan import HASHING, Line, lines
from benchmarks.scale import SIDES
from stages.support.environment import pins
from tests.declared import text

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


def run(customers: int) -> dict:
    """What benchmarks.scale --json writes, of costs that lie on straight lines."""
    cost = {"seconds": 2 + customers / 1000, "cpu": 4 + customers / 500, "peak": 200 + customers / 10_000}
    sizes = {"data/customers.csv": 100 + 127 * customers}
    return {
        "customers": customers,
        "costs": dict.fromkeys(SIDES, cost),
        "sizes": sizes,
        "hashing": customers / 1e6,
    }


def test_a_plan_goes_on_along_the_line_through_two_runs():
    sizes, steps = lines(run(1000), run(5000))
    assert sizes["data/customers.csv"].at(10**9) == pytest.approx(100 + 127e9)
    assert steps[HASHING]["cpu"].at(10**9) == pytest.approx(1000)
    assert steps["train"]["cpu"].at(10**9) == pytest.approx(4 + 2e6)
    assert steps["train"]["peak"].reaches(64_000) == pytest.approx((64_000 - 200) * 10_000)
    assert Line(5, 0).reaches(10) == float("inf")


@pytest.mark.parametrize(("small", "large"), [(run(5000), run(1000)), (run(5000), run(5000))])
def test_a_plan_needs_two_numbers_of_customers(small, large):
    with pytest.raises(ValueError, match="fewer customers"):
        lines(small, large)


def test_a_plan_is_told_in_two_tables(tmp_path, monkeypatch, capsys):
    for customers in (1000, 5000):
        (tmp_path / str(customers)).write_text(json.dumps(run(customers)))
    files = [str(tmp_path / "1000"), str(tmp_path / "5000")]
    monkeypatch.setattr("sys.argv", ["plan", *files, "--customers", "1000000", "--markdown"])
    plan.main()
    told = capsys.readouterr().out
    assert "| data/customers.csv | 127.0 | 0.1 |" in told
    assert "| train | 0.6 | 100 | 0 | 638 |" in told
    monkeypatch.setattr("sys.argv", ["plan", str(tmp_path / "gone"), files[1]])
    with pytest.raises(SystemExit):
        plan.main()
    assert "no two files of benchmarks.scale --json: " in capsys.readouterr().err


@pytest.mark.parametrize("script", ["benchmarks/on_spark.py", "benchmarks/on_ray.py"])
def test_a_script_in_an_environment_of_its_own_has_the_locked_libraries(script: str):
    header = re.search(r"^# /// script\n((?:# .*\n)+)# ///$", text(script), re.MULTILINE)[1]
    asked = tomllib.loads(re.sub(r"^# ?", "", header, flags=re.MULTILINE))["dependencies"]
    versions = dict(told.split("==") for told in asked if "==" in told)
    locked = pins(text("requirements.lock"))
    assert {
        "numpy",
        "pandas",
        "pyarrow",
        "scikit-learn",
        "scipy",
        "xgboost",
    } <= versions.keys() & locked.keys()
    assert {name: told for name, told in versions.items() if locked.get(name, told) != told} == {}
