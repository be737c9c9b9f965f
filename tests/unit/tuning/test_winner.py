"""A winner's values go into params.yaml character by character."""

import difflib

import pytest

from predictflow.tuning import winner
from stages.support import params
from stages.support.errors import UserError
from tests.people.project import REPOSITORY

MANUAL = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


def edits(before: str, after: str) -> list[str]:
    """The lines that differ, without what follows a comment's mark."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line.strip() for line in lines if line[0] in "+-"]


def test_only_the_characters_of_the_values_change():
    changed = {"models.xgboost.max_depth": 4, "models.xgboost.learning_rate": 1e-05, "train.model": "xgboost"}
    assert edits(MANUAL, winner.edited(MANUAL, changed)) == [
        "-     max_depth: 2",
        "+     max_depth: 4",
        "-     learning_rate: 0.03",
        "+     learning_rate: 1.0e-05",
    ]


@pytest.mark.parametrize(
    ("text", "changed", "after"),
    [
        ("a: {b: 1, c: 2.5}  # d\n", {"a.b": 10, "a.c": 0.25}, "a: {b: 10, c: 0.25}  # d\n"),
        ("a: 'x'  # d\nb: [1,\n  2]\n", {"a": "y z"}, 'a: "y z"  # d\nb: [1,\n  2]\n'),
        ("a: null\r\nb: 1\r\n", {"a": 3}, "a: 3\r\nb: 1\r\n"),
        ("a: ä\n", {"a": "Yes"}, 'a: "Yes"\n'),
        ("a: 1", {"a": None}, "a: null"),
        ("a: 1\n", {"a": True}, "a: true\n"),
    ],
)
def test_quotes_comments_and_line_ends_stay(text, changed, after):
    assert winner.edited(text, changed) == after


@pytest.mark.parametrize("text", ["b: 1\n", "a: &x 1\nb: *x\n"])
def test_what_would_say_something_else_is_refused(text):
    with pytest.raises(UserError, match="Cure: "):
        winner.edited(text, {"a": 3})


def test_a_file_that_would_not_be_taken_stays_as_it_is(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(MANUAL, encoding="utf-8")
    with pytest.raises(UserError):
        winner.apply({"models.xgboost.max_depth": [2, -3]}, path)
    assert path.read_text(encoding="utf-8") == MANUAL
    winner.apply({"models.xgboost.max_depth": [2, 3]}, path)
    assert params.load(path)["models.xgboost.max_depth"] == 3
    assert sorted(tmp_path.iterdir()) == [path]
