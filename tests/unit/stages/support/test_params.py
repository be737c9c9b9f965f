"""params.yaml: read as DVC reads it, and every mistake answered with its cure."""

import pytest

from stages.support import params
from stages.support.errors import UserError
from stages.support.params import Params

PARAMS = Params({"train": {"model": "xgboost", "share": 0.2, "names": ["a"]}, "seed": 1, "flag": True})


def test_a_value_is_asked_for_by_its_dotted_name():
    assert PARAMS["train.model"] == "xgboost"
    assert PARAMS["train"] == {"model": "xgboost", "share": 0.2, "names": ["a"]}
    assert PARAMS.subset("seed", "train.share") == {"seed": 1, "train.share": 0.2}


@pytest.mark.parametrize("name", ["train.rounds", "test", "seed.of.what", "train.names.a"])
def test_a_missing_key_is_named_with_the_cure(name):
    with pytest.raises(UserError) as error:
        PARAMS[name]
    assert str(error.value).startswith(f"params.yaml has no key {name}.\nCure: ")


def test_a_number_may_be_either_bound():
    assert PARAMS.number("train.share", 0.2, 1) == PARAMS.number("train.share", 0, 0.2) == 0.2


@pytest.mark.parametrize(("name", "high"), [("train.share", 0.1), ("train.model", 1), ("flag", 1)])
def test_what_is_no_number_in_its_range_is_told(name, high):
    with pytest.raises(
        UserError, match=f"{name} in params.yaml is .*\nCure: give it a number from 0 to {high}"
    ):
        PARAMS.number(name, 0, high)


def test_a_nan_is_in_no_range():
    with pytest.raises(UserError):
        Params({"share": float("nan")}).number("share", 0, 1)


def test_the_file_is_read_as_yaml_1_2(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: Yes\nb: no\nc: on\nd: true\ne: 012\nf: Größe\n", encoding="utf-8")
    assert params.read(path) == {"a": "Yes", "b": "no", "c": "on", "d": True, "e": 12, "f": "Größe"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: [1", "is not YAML in line 2, column 6: expected ',' or ']'"),
        (b"a: 1\na: 2\n", 'is not YAML in line 2, column 1: found duplicate key "a"'),
        (b"", "holds no keys"),
        (b"- 1\n", "holds no keys"),
        (b"a: caf\xe9\n", "is not YAML"),
        (b"a: 2026-13-45\n", "is not YAML"),
        (b"a: " + b"9" * 5000, "is not YAML"),
        (b"a: " + b"[" * 5000, "is not YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_told(tmp_path, content, said):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=said):
        params.load(tmp_path / "params.yaml")


def test_a_file_that_is_not_here_is_told(tmp_path):
    with pytest.raises(UserError, match=r"is not here.\nCure: run this in the project's top folder"):
        params.load(tmp_path / "params.yaml")


def test_a_folder_of_that_name_is_told(tmp_path):
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(UserError, match=r"cannot be read: Is a directory.\nCure: `git checkout -- "):
        params.load(tmp_path / "params.yaml")
