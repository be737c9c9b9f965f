"""Files are whole or not there, JSON is strict, and inputs hold still."""

import hashlib
import json

import pytest

from stages.support import files, hashes
from stages.support.errors import UserError


def test_a_file_is_there_only_when_the_block_has_ended_well(tmp_path):
    path = tmp_path / "new/folder/file.txt"
    with files.atomic_write(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename within one file system is whole
    assert path.read_text() == "all of it"
    assert [child.name for child in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("reason", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_and_nothing_lost_after_an_exception(tmp_path, reason):
    path = tmp_path / "file.txt"
    path.write_text("the old one")

    def write() -> None:
        with files.atomic_write(path) as temporary:
            temporary.write_text("half of")
            raise reason

    with pytest.raises(reason):
        write()
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_the_same_for_the_same_value_and_reads_back(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": ["é", None, 0.1]})
    files.write_json(tmp_path / "b.json", {"a": ["é", None, 0.1], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (tmp_path / "a.json").read_text("utf-8").endswith("}\n")
    assert files.read_json(tmp_path / "a.json") == {"a": ["é", None, 0.1], "b": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_json_holds_a_nan_or_an_infinity(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"a": value})
    assert not list(tmp_path.iterdir())


def test_an_md5_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert hashes.md5(tmp_path / "file") == hashlib.md5(content).hexdigest()
    (tmp_path / "empty").touch()
    assert hashes.md5(tmp_path / "empty") == "d41d8cd98f00b204e9800998ecf8427e"  # RFC 1321, A.5


def test_inputs_that_hold_still_are_named_with_their_md5(tmp_path):
    (tmp_path / "a").write_text("abc")
    with hashes.unchanged(tmp_path / "a") as inputs:
        pass
    assert inputs == {(tmp_path / "a").as_posix(): "900150983cd24fb0d6963f7d28e17f72"}  # RFC 1321, A.5
    assert json.dumps(inputs)


def test_an_input_that_changes_meanwhile_is_an_error_with_both_md5s(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("abc")
    with pytest.raises(UserError) as error, hashes.unchanged(tmp_path / "a", tmp_path / "b"):
        (tmp_path / "b").write_text("a")
    assert str(error.value).startswith(f"{tmp_path / 'b'} changed while the stage was running")
    assert "900150983cd24fb0d6963f7d28e17f72 before" in str(error.value)
    assert "0cc175b9c0f1b6a831c399e269772661 after" in str(error.value)
    assert "\nCure: " in str(error.value)
