"""What a scored file says of itself is read as it was written, and nothing else is taken for it."""

import json
from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest

from predictflow.scoring.claim import (
    KEY,
    Claim,
    Note,
    find_notes,
    place,
    read_metadata,
    read_note,
    write_note,
)

CLAIM = Claim("a" * 32, "b" * 40, 0.43, "c" * 32, 10, 2)
NOTE = Note(CLAIM, "d" * 32, "2026-11-20T09:30:00Z")


def test_a_note_is_read_as_it_was_written(tmp_path):
    path = place(tmp_path / "scores.csv")
    assert path.name == "scores.csv.json"
    write_note(path, NOTE)
    assert read_note(path) == NOTE
    write_note(path, replace(NOTE, claim=replace(CLAIM, commit=None)))
    assert read_note(path).claim.commit is None


def test_notes_are_found_by_the_md5_of_the_scores(tmp_path):
    write_note(tmp_path / "one.json", NOTE)
    (tmp_path / "other.json").write_text("[]")
    assert find_notes(tmp_path, "dddd") == [NOTE]
    assert find_notes(tmp_path, "aaaa") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[1]",
        "[" * 5000,
        "{}",
        json.dumps({"layout": 2} | json.loads(CLAIM.as_bytes())),
        CLAIM.as_bytes().replace(b'"rows": 10', b'"rows": "10"').decode(),
        " " * 20_000,
    ],
    ids=lambda text: text[:20],
)
def test_no_other_json_is_taken_for_a_note(tmp_path, text):
    path = tmp_path / "note.json"
    path.write_text(text)
    assert read_note(path) is None
    assert read_note(tmp_path / "none.json") is None


def test_parquet_holds_the_claim_in_its_schema(tmp_path):
    path = tmp_path / "scores.parquet"
    table = pyarrow.table({"x": [1]})
    pyarrow.parquet.write_table(table.replace_schema_metadata({KEY: CLAIM.as_bytes()}), path)
    assert read_metadata(path) == CLAIM
    pyarrow.parquet.write_table(table, path)
    assert read_metadata(path) is None
    path.write_bytes(b"PAR1 and no more")
    assert read_metadata(path) is None
