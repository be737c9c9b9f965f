"""Customers in Parquet parts: what a CSV of them would give, or an error that names part, row and column."""

import datetime
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from stages.data import customer_parts
from stages.data.customer_file import CustomerFile
from stages.data.customer_parts import CustomerParts, parts, unchanged_parts
from stages.data.schema import Schema
from stages.support.errors import UserError
from tests.unit.stages.data.files import schema, telco, text

ROWS = 40


def table(rows: int = ROWS) -> pa.Table:
    """The first telco customers with the types that pyarrow finds in the CSV."""
    return pyarrow.csv.read_csv(pa.py_buffer(text(telco(rows)).encode()))


def put(held: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return held.set_column(held.column_names.index(column), column, values)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write parts into a folder; its path."""

    def written(*held: pa.Table, **options) -> Path:
        folder = tmp_path / "customers"
        folder.mkdir()
        for number, part in enumerate(held):
            pq.write_table(part, folder / f"part-{number}.parquet", **options)
        return folder

    return written


def read(folder: Path, against: Schema | None = None) -> pd.DataFrame:
    return pd.concat(CustomerParts(folder, against or schema()).batches(), ignore_index=True)


def told(folder: Path, against: Schema | None = None) -> str:
    with pytest.raises(UserError) as error:
        read(folder, against)
    return str(error.value).replace(str(folder.parent), "")


@pytest.fixture
def of_csv(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    def checked(frame: pd.DataFrame, against: Schema | None = None) -> pd.DataFrame:
        (tmp_path / "customers.csv").write_text(text(frame), encoding="utf-8")
        file = CustomerFile(tmp_path / "customers.csv", against or schema())
        return pd.concat(file.batches(), ignore_index=True)

    return checked


def cut(held: pa.Table, *ends: int) -> list[pa.Table]:
    return [held[begin:end] for begin, end in itertools.pairwise((0, *ends, len(held)))]


@pytest.mark.parametrize("ends", [(), (1,), (0, 20, 20), (13, 26, 39)])
@pytest.mark.parametrize("options", [{}, {"row_group_size": 7}, {"compression": "zstd", "version": "1.0"}])
def test_parts_however_they_are_cut_give_what_the_csv_gives(write, of_csv, monkeypatch, ends, options):
    monkeypatch.setattr(customer_parts, "BATCH", 16)
    pd.testing.assert_frame_equal(read(write(*cut(table(), *ends), **options)), of_csv(telco(ROWS)))


TYPES = {
    "dictionaries": lambda held: pa.Table.from_pandas(
        held.to_pandas().assign(contract=lambda frame: frame["contract"].astype("category"))
    ),
    "large text": lambda held: put(held, "contract", held["contract"].cast(pa.large_string())),
    "views of text": lambda held: put(held, "contract", held["contract"].cast(pa.string_view())),
    "small whole numbers": lambda held: put(held, "tenure", held["tenure"].cast(pa.uint8())),
    "whole numbers as doubles": lambda held: put(held, "tenure", held["tenure"].cast(pa.float64())),
    "decimals": lambda held: put(
        held, "monthly_charges", held["monthly_charges"].cast(pa.decimal128(9, 4), safe=False)
    ),
    "numbers as text": lambda held: put(held, "tenure", held["tenure"].cast(pa.string())),
}


@pytest.mark.parametrize("change", TYPES.values(), ids=TYPES.keys())
def test_each_type_of_a_column_says_what_the_csv_says(write, of_csv, change):
    pd.testing.assert_frame_equal(read(write(change(table()))), of_csv(telco(ROWS)))


def test_columns_may_stand_in_another_order_in_each_part(write, of_csv):
    one, other = cut(table(), 20)
    folder = write(one, other.select(other.column_names[::-1]))
    pd.testing.assert_frame_equal(read(folder), of_csv(telco(ROWS)))


def test_a_null_and_a_text_that_stands_for_a_missing_value_are_missing(write, of_csv):
    frame = telco(ROWS)
    frame.loc[3, "total_charges"] = ""
    charges = table()["total_charges"].to_pylist()
    charges[3] = None
    one, other = cut(put(table(), "total_charges", pa.array(charges)), 3)
    empty = other[:1]  # all that its column holds is nothing
    folder = write(one, put(empty, "total_charges", pa.nulls(1)), other[1:])
    pd.testing.assert_frame_equal(read(folder), of_csv(frame))
    as_text = put(table(), "total_charges", pa.array(["n/a" if v is None else str(v) for v in charges]))
    pq.write_table(as_text, folder / "part-0.parquet")
    for number in (1, 2):
        (folder / f"part-{number}.parquet").unlink()
    pd.testing.assert_frame_equal(read(folder, schema(missing=["", "n/a"])), of_csv(frame))


def test_a_decimal_comma_is_a_matter_of_text_and_not_of_numbers(write, of_csv):
    found = read(write(table()), schema(decimal=","))
    pd.testing.assert_frame_equal(found, of_csv(telco(ROWS)))


def test_a_column_that_is_ignored_may_hold_anything(write, of_csv):
    columns = schema().all | {"seen": {"type": "ignored"}}
    held = table().append_column("seen", pa.array([[datetime.date(2026, 1, 1)]] * ROWS))
    assert read(write(held), schema(columns=columns))["tenure"].tolist() == table()["tenure"].to_pylist()


# What is wrong with the second of two parts of 20 customers, and what is told of it.
def values(column: str, changes: dict[int, object], kind: pa.DataType | None = None):
    def change(held: pa.Table) -> pa.Table:
        found = held[column].to_pylist()
        for row, value in changes.items():
            found[row - 1] = value
        return put(held, column, pa.array(found, kind))

    return change


UNFIT = {
    "a number out of range": (
        values("tenure", {3: -1}),
        "tenure: 1 row is out of range (part-1.parquet row 3 '-1')",
    ),
    "NaN": (
        values("monthly_charges", {20: float("nan")}),
        "monthly_charges: 1 row holds no finite number (part-1.parquet row 20 'nan')",
    ),
    "an unknown category": (
        values("contract", {2: "Weekly", 4: None}),
        "contract: 1 row holds an unknown category (part-1.parquet row 2 'Weekly')",
    ),
    "a missing value": (values("contract", {4: None}), "contract: 1 row is empty (part-1.parquet row 4)"),
    "nothing but nulls": (
        lambda held: pa.Table.from_pydict(
            {name: [None, *held[name].to_pylist()[1:]] for name in held.column_names}, held.schema
        ),
        "customer_id: 1 row is empty (part-1.parquet row 1); give each customer an id.",
    ),
    "an id of a part before it": (
        values("customer_id", {5: "C00001"}),
        "customer_id: 2 rows repeat an id (part-0.parquet row 1 'C00001', part-1.parquet row 5 'C00001')",
    ),
    "a fraction of an integer": (
        lambda held: put(held, "tenure", pa.array([1.5] * len(held))),
        "part-1.parquet: tenure: it holds numbers, and in a part before it whole numbers; write all parts"
        " with the same types.",
    ),
    "truth values": (
        lambda held: put(held, "female", pa.array([True] * len(held))),
        "part-1.parquet: female: it holds truth values, and in a part before it whole numbers",
    ),
    "a moment": (
        lambda held: put(held, "tenure", pa.array([datetime.datetime(2026, 1, 1)] * len(held))),
        "part-1.parquet: tenure: it is of the type timestamp[us], which no CSV could hold; write it as text"
        " or as a number, or set type: ignored in data.columns.tenure.",
    ),
    "a list": (
        lambda held: put(held, "contract", pa.array([["Two year"]] * len(held))),
        "part-1.parquet: contract: it is of the type list<",
    ),
    "an id of doubles": (
        lambda held: put(held, "customer_id", pa.array([1.0] * len(held))),
        "part-1.parquet: customer_id: numbers (double) name no customer; write it as text or as a whole"
        " number.",
    ),
    "a missing column": (
        lambda held: held.drop_columns(["tenure"]),
        "part-1.parquet: column 'tenure' is missing; correct the parts, or declare the columns",
    ),
    "an undeclared column": (
        lambda held: held.append_column("vip", held["tenure"]),
        "part-1.parquet: column 'vip' is not declared; correct the parts",
    ),
    "a column twice": (
        lambda held: held.append_column("tenure", held["tenure"]),
        "part-1.parquet: column 'tenure' stands there 2 times; correct the parts",
    ),
    "a zero byte": (
        values("contract", {7: "Two\0year"}),
        "customers/part-1.parquet: row 7, column contract: it holds a zero byte.\nCure: correct it",
    ),
}


@pytest.mark.parametrize(("change", "what"), UNFIT.values(), ids=UNFIT.keys())
def test_what_is_wrong_is_told_with_its_part_row_and_column(write, change, what):
    one, other = cut(table(), 20)
    found = told(write(one, change(other.combine_chunks())))
    assert what in found
    assert "Cure: " in found or found.startswith(
        "/customers does not hold what params.yaml declares (rows are counted from 1 in each part):\n"
    )


def test_bytes_that_are_no_utf8_are_told(write):
    held = table()
    wrong = pa.array([b"Two year"] * 6 + [b"Two\xff"] + [b"One year"] * 33).cast(pa.binary())
    as_text = pa.StringArray.from_buffers(ROWS, wrong.buffers()[1], wrong.buffers()[2])
    found = told(write(put(held, "contract", as_text)))
    assert found.startswith(
        "/customers/part-0.parquet: row 7, column contract: b'Two\\xff' is no UTF-8.\nCure: "
    )


def test_every_violation_of_all_parts_is_told_at_once(write):
    one, other = cut(table(), 20)
    found = told(write(values("tenure", {2: -1})(one), values("tenure", {1: 9999})(other)))
    assert "tenure: 2 rows are out of range (part-0.parquet row 2 '-1', part-1.parquet row 1 '9999')" in found


@pytest.mark.parametrize("target", [pa.array([None] * ROWS, pa.string()), pa.array(["No"] * ROWS)])
def test_a_target_that_teaches_nothing_is_told(write, target):
    assert "  churn: " in told(write(put(table(), "churn", target)))


def test_decimals_of_an_integer_are_refused_as_a_csv_s_are(write):
    months = table()["tenure"].cast(pa.decimal128(21, 2))
    found = told(write(put(table(), "tenure", months)))
    assert "tenure: 40 rows hold no whole number (part-0.parquet row 1 '1.00'" in found


# --- The folder ---


def test_parts_follow_one_another_by_name(write):
    folder = write(*cut(table(), 10, 20, 30))
    (folder / "part-0.parquet").rename(folder / "part-10.parquet")
    assert [path.name for path in parts(folder)] == [f"part-{number}.parquet" for number in (1, 10, 2, 3)]


def test_parts_without_a_customer_are_told(write):
    assert told(write(table()[:0])).endswith("  its parts hold no customer; write them again.")


@pytest.mark.parametrize(
    "stray", ["_SUCCESS", ".part-0.parquet.crc", "customers.csv", "_part.parquet", "part.PARQUET"]
)
def test_what_is_no_part_is_refused_and_never_skipped(write, stray):
    folder = write(table())
    (folder / stray).touch()
    found = told(folder)
    assert found.startswith(f"/customers holds what is no part: {stray}. Parts are named *.parquet")
    assert "Cure: take it out of" in found


def test_a_folder_in_the_folder_is_refused(write):
    folder = write(table())
    (folder / "contract=monthly").mkdir()
    assert told(folder).startswith("/customers/contract=monthly is a folder: what the names of folders say")


def test_an_empty_folder_none_at_all_and_a_file_are_told_with_the_cure(tmp_path):
    folder = tmp_path / "customers"
    assert told(folder).startswith("/customers is not here.\nCure: `dvc checkout ")
    folder.mkdir()
    assert told(folder).startswith("/customers is empty.\nCure: `dvc checkout ")
    folder.rmdir()
    folder.touch()
    assert told(folder).startswith("/customers is a file, and no folder of Parquet parts.\nCure: ")


def test_a_pipe_and_a_link_to_nothing_are_told(write):
    folder = write(table())
    (folder / "part-1.parquet").symlink_to("nowhere")
    assert "part-1.parquet is a link to nothing, a pipe or a device, not a file.\nCure: " in told(folder)
    (folder / "part-1.parquet").unlink()
    os.mkfifo(folder / "part-1.parquet")
    assert "part-1.parquet is a link to nothing, a pipe or a device, not a file.\nCure: " in told(folder)


@pytest.mark.parametrize("size", [0, 10, 500, -100, -1])
def test_a_part_that_is_torn_is_told(write, size):
    folder = write(*cut(table(), 20))
    part = folder / "part-1.parquet"
    part.write_bytes(part.read_bytes()[:size] if size else b"")
    found = told(folder)
    assert found.startswith("/customers/part-1.parquet cannot be read as Parquet")
    assert "Cure: `dvc checkout " in found


def test_a_part_that_is_damaged_in_the_middle_is_told_with_the_row_before_it(write):
    folder = write(*cut(table(), 20), row_group_size=5, compression="gzip")
    part = folder / "part-1.parquet"
    held = pq.ParquetFile(part).metadata.row_group(2).column(1)
    begin = held.dictionary_page_offset or held.data_page_offset
    content = bytearray(part.read_bytes())
    content[begin : begin + held.total_compressed_size] = b"\xff" * held.total_compressed_size
    part.write_bytes(content)
    assert told(folder).startswith("/customers/part-1.parquet cannot be read as Parquet")


# --- Held still ---


def test_the_md5_is_that_of_dvc(write):
    folder = write(*cut(table(), 20))
    with unchanged_parts(folder) as found:
        pass
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem  # as `dvc add` counts it

    fs = LocalFileSystem()
    store = HashFileDB(fs, str(folder.parent / "cache"))
    _, _, tree = build(store, str(folder), fs, "md5")
    assert found == {folder.as_posix(): tree.hash_info.value}


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a part that changes": (
        lambda folder: pq.write_table(table(7), folder / "part-1.parquet"),
        "part-1.parquet changed while the stage was running (md5 ",
    ),
    "a part that comes": (
        lambda folder: pq.write_table(table(7), folder / "part-2.parquet"),
        "part-2.parquet came while the stage was running.\nCure: let nothing write to it",
    ),
    "a part that goes": (
        lambda folder: (folder / "part-0.parquet").unlink(),
        "part-0.parquet went while the stage was running.\nCure: let nothing write to it",
    ),
}


@pytest.mark.parametrize(("change", "what"), CHANGES.values(), ids=CHANGES.keys())
def test_parts_are_held_still(write, change, what):
    folder = write(*cut(table(), 20))
    with pytest.raises(UserError) as error, unchanged_parts(folder):
        change(folder)
    assert what in str(error.value)
