"""Streamed in batches of any size, the scores are those of the folder, and rows are counted over the file."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictflow.scoring import customers, output
from predictflow.scoring.claim import Claim
from predictflow.scoring.model import FolderModel
from predictflow.scoring.stream import Scored, Scoring
from stages.data.schema import Schema
from stages.model import serving
from stages.support import hashes
from stages.support.errors import UserError
from stages.support.params import Params
from tests.unit.stages.model import models

DATA = {
    "id": "member",
    "target": {"column": "left", "positive": "1", "negative": "0"},
    "delimiter": ";",
    "encoding": "utf-16",
    "decimal": ",",
    "missing": ["n/a"],
    "columns": models.COLUMNS,
}
SCHEMA = Schema(Params({"data": DATA}))


@pytest.fixture(
    scope="module",
    params=[
        name if name == "xgboost" else pytest.param(name, marks=pytest.mark.real) for name in models.SETTINGS
    ],
)
def folder(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / request.param
    models.write(folder, request.param)
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "xgboost"
    models.write(folder)
    return folder


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """So that 200 customers are many."""
    monkeypatch.setattr(customers, "BLOCK", 500)
    monkeypatch.setattr(customers, "BATCH", 30)


def named(rows: int = 200) -> pd.DataFrame:
    frame = models.customers(rows)
    frame.insert(1, "member", [f"M-{number}" for number in range(1, rows + 1)])
    return frame


def write(path: Path, frame: pd.DataFrame) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep=";", encoding="utf-16", decimal=",", na_rep="n/a", index=False)
    return path


def score(folder: Path, source: Path, *, bad: Path | None = None, ending: str = "parquet") -> Scored:
    """Score a file into scores.* beside it."""
    claim = Claim("model", None, 0.4, hashes.md5(source), 0, 0)
    scoring = Scoring(FolderModel(folder), SCHEMA, claim, lambda _: None)
    return scoring.run(source, source.with_name(f"scores.{ending}"), bad)


def scores(source: Path) -> pd.DataFrame:
    return pd.read_parquet(source.with_name("scores.parquet"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_scores_are_those_of_the_folder(folder, tmp_path, ending):
    source = write(tmp_path / f"raw.{ending}", named())
    scored = score(folder, source)
    found, expected = scores(source), serving.Model(folder).predict(models.customers())
    if folder.name == "xgboost":
        assert found["probability"].tolist() == expected.tolist()
    else:  # a sum of another length may be rounded otherwise
        np.testing.assert_allclose(found["probability"], expected, rtol=0, atol=1e-12)
    assert found["member"].tolist() == named()["member"].tolist()
    assert found["decision"].tolist() == (expected.round(9) >= 0.4).tolist()
    assert (scored.claim.rows, scored.called) == (200, found["decision"].sum())


def test_a_csv_of_scores_holds_what_parquet_holds(one, tmp_path):
    source = write(tmp_path / "raw.csv", named())
    score(one, source)
    score(one, source, ending="csv")
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "scores.csv"), scores(source), check_dtype=False, check_exact=True
    )


def test_the_same_customers_give_the_same_bytes(one, tmp_path):
    source = write(tmp_path / "raw.csv", named())
    score(one, source)
    before = source.with_name("scores.parquet").read_bytes()
    score(one, source)
    assert source.with_name("scores.parquet").read_bytes() == before


def text(frame: pd.DataFrame) -> str:
    return frame.to_csv(sep=";", decimal=",", na_rep="n/a", index=False, lineterminator="\n")


def broken(path: Path) -> Path:
    """200 customers, with what can be wrong of them in several batches."""
    lines = text(named()).splitlines()
    lines[5] = "-1;M-5;1,5;1"
    lines[70] = "1;M-70;1,5;1;more"
    lines[120] = "abc;M-120;x;3"
    lines[150] = ""
    lines[180] = "4;n/a;1,5;1"
    path.write_text("\n".join(lines) + "\n", encoding="utf-16")
    return path


BAD = [5, 70, 120, 180]


def test_bad_rows_stop_it_with_their_rows_and_columns_over_the_whole_file(one, tmp_path):
    source = write(
        tmp_path / "raw.csv",
        named().assign(tenure=lambda frame: frame["tenure"].where(frame.index != 150, -7)),
    )
    with pytest.raises(UserError, match=r"column tenure is below 0 in row 151 \('-7'\)"):
        score(one, source)
    with pytest.raises(UserError) as error:
        score(one, broken(source))
    assert "column tenure is below 0 in row 5 ('-1')" in str(error.value)
    assert "--skip-bad FILE" in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"raw.csv"}


def test_bad_rows_are_written_apart_with_the_row_and_the_reason(one, tmp_path):
    source, bad = broken(tmp_path / "raw.csv"), tmp_path / "bad.csv"
    scored = score(one, source, bad=bad)
    assert (scored.claim.rows, scored.claim.skipped, scored.empty) == (195, 4, 1)
    apart = pd.read_csv(bad, sep=";", encoding="utf-16", dtype=str, keep_default_na=False)
    assert apart["row"].astype(int).tolist() == BAD
    assert apart["reason"].tolist() == [
        "column tenure is below 0",
        "it has 5 of 4 fields",
        "column fee is no finite number; column it's a plan is none of 1, 2, Größe;"
        " column tenure is no finite number",
        "column member is missing, and is the id",
    ]
    assert apart["member"].tolist() == ["M-5", "n/a", "M-120", "n/a"]
    assert apart["fee"].tolist() == ["1,5", "n/a", "x", "1,5"]
    wanted = named().drop(index=[row - 1 for row in [*BAD, 150]])
    assert scores(source)["member"].tolist() == wanted["member"].tolist()
    expected = serving.Model(one).predict(wanted.reset_index(drop=True))
    assert scores(source)["probability"].tolist() == expected.tolist()


def test_scores_are_never_there_without_the_rows_that_they_lack(one, tmp_path, monkeypatch):
    """Whenever it is killed."""
    replace, in_place = Path.replace, []

    def put(path: Path, target: Path) -> Path:
        in_place.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", put)
    score(one, broken(tmp_path / "raw.csv"), bad=tmp_path / "bad.csv")
    assert in_place == ["bad.csv", "scores.parquet"]


def test_where_the_scores_cannot_be_ended_nothing_is_in_its_place(one, tmp_path, monkeypatch):
    whole = output.open_scores

    @contextmanager
    def fill(*words):
        with whole(*words) as writer:
            yield writer
        raise OSError("No space left on device")

    source = broken(tmp_path / "raw.csv")
    monkeypatch.setattr(output, "open_scores", fill)
    with pytest.raises(OSError, match="No space"):
        score(one, source, bad=tmp_path / "bad.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"raw.csv"}


def test_what_was_written_apart_can_be_corrected_and_scored(one, tmp_path):
    bad = tmp_path / "bad.csv"
    score(one, broken(tmp_path / "raw.csv"), bad=bad)
    lines = bad.read_text(encoding="utf-16").splitlines()
    bad.write_text("\n".join([lines[0], lines[1].replace("-1", "1")]) + "\n", encoding="utf-16")
    assert score(one, bad).claim.rows == 1


def test_customers_of_parquet_that_do_not_fit_are_told_as_it_holds_them(one, tmp_path):
    frame = named()
    frame.loc[40, "it's a plan"] = "7"
    frame.loc[[90, 91], "fee"] = np.inf
    source, bad = write(tmp_path / "raw.parquet", frame), tmp_path / "bad.csv"
    with pytest.raises(UserError, match=r"it's a plan is none of 1, 2, Größe in row 41 \('7'\)"):
        score(one, source)
    assert score(one, source, bad=bad).claim.skipped == 3
    apart = pd.read_csv(bad, sep=";", encoding="utf-16", decimal=",")
    assert apart["row"].tolist() == [41, 91, 92]
    assert apart["tenure"].tolist() == frame["tenure"].iloc[[40, 90, 91]].tolist()


def test_a_whole_number_with_a_decimal_mark_is_not_guessed_at(one, tmp_path):
    source = tmp_path / "raw.csv"
    source.write_text(text(named(3)) + "1,000;M-9;1,5;1\n", encoding="utf-16")
    with pytest.raises(UserError, match=r"column tenure is no finite number in row 4 \('1,000'\)"):
        score(one, source)


def test_ids_of_parquet_that_are_held_as_codes_are_ids(one, tmp_path):
    source = write(tmp_path / "raw.parquet", named().astype({"member": "category"}))
    score(one, source)
    assert scores(source)["member"].tolist() == named()["member"].tolist()


def test_where_nobody_can_be_scored_nothing_is_written(one, tmp_path):
    source = write(tmp_path / "raw.csv", named().assign(tenure=-1))
    with pytest.raises(UserError, match="of the first 200 customers cannot be scored"):
        score(one, source, bad=tmp_path / "bad.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"raw.csv"}


def test_ids_that_repeat_are_counted(one, tmp_path):
    members = ["M-1"] * 3 + [f"M-{at}" for at in range(3, 200)]
    source = write(tmp_path / "raw.csv", named().assign(member=members))
    assert score(one, source).repeated == 2


def test_a_file_that_changes_meanwhile_is_not_scored(one, tmp_path):
    source = write(tmp_path / "raw.csv", named())
    claim = Claim("model", None, 0.4, "0" * 32, 0, 0)
    with pytest.raises(UserError, match="changed while it was scored"):
        Scoring(FolderModel(one), SCHEMA, claim, lambda _: None).run(source, tmp_path / "scores.csv", None)
    assert not (tmp_path / "scores.csv").exists()


UNREADABLE = {
    "another delimiter": (text(named()).replace(";", ","), "split by"),
    "no id": (text(named().drop(columns="member")), "the column member is missing"),
    "a column missing": (text(named().drop(columns="fee")), "the column fee is missing"),
    "a column twice": (text(named()).replace("tenure", "fee", 1), "the column fee stands there 2 times"),
    "a header alone": (text(named(0)), "holds no customer"),
    "a header without a line end": (text(named(0)).rstrip("\n"), "holds no customer"),
    "a quote that is never closed": (text(named(3)) + '1;"M-9;1;1\n', "a quote is not closed"),
}


@pytest.mark.parametrize(("written", "told"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_csv_that_is_not_written_as_the_model_has_it_is_told(one, tmp_path, written, told):
    source = tmp_path / "raw.csv"
    source.write_text(written, encoding="utf-16")
    with pytest.raises(UserError, match=told) as error:
        score(one, source)
    assert "\nCure: " in str(error.value)
    assert "params.yaml" not in str(error.value)


def test_another_encoding_is_told(one, tmp_path):
    source = tmp_path / "raw.csv"
    source.write_text(text(named()), encoding="utf-8")
    with pytest.raises(UserError, match="is not written in utf-16"):
        score(one, source)


@pytest.mark.parametrize("holds", [b"no parquet", b"PAR1", b"PAR1" + bytes(40) + b"PAR1"])
def test_what_is_no_parquet_is_told(one, tmp_path, holds):
    source = tmp_path / "raw.parquet"
    source.write_bytes(holds)
    with pytest.raises(UserError, match="cannot be read"):
        score(one, source)


def test_a_column_of_lists_is_told(one, tmp_path):
    source = write(tmp_path / "raw.parquet", named(2).assign(fee=[[1.0], [2.0]]))
    with pytest.raises(UserError, match="the column fee holds a list"):
        score(one, source)
