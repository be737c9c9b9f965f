"""Customers are compared by id and by the names of their columns, whatever the file looks like."""

import csv
import io
from pathlib import Path

import pytest

from predictflow.lineage.customer_files import CustomerCsv, MalformedCustomers, compare
from tests.people import customers

ROWS = [["M-1", "3", "Köln"], ["M-2", "5", "Łódź"], ["M-3", "7", 'said "no;\nmaybe"']]


def written(path: Path, rows: list[list[str]], header: list[str], **form: str) -> CustomerCsv:
    """Write customers whose id is `member`; their columns are `visits` and `city`."""
    form = {"delimiter": ",", "encoding": "utf-8"} | form
    with path.open("w", encoding=form["encoding"], newline="") as file:
        csv.writer(file, delimiter=form["delimiter"]).writerows([header, *rows])
    return CustomerCsv(path, **form, id="member")


@pytest.fixture
def before(tmp_path: Path) -> CustomerCsv:
    return written(tmp_path / "before.csv", ROWS, ["member", "visits", "city"])


def after(tmp_path: Path, rows: list[list[str]], **form: str) -> CustomerCsv:
    return written(tmp_path / "after.csv", rows, ["member", "visits", "city"], **form)


def test_customers_that_went_came_and_changed_are_told_apart(before, tmp_path):
    found = compare(before, after(tmp_path, [["M-9", "3", "Köln"], ["M-3", "8", ROWS[2][2]], ROWS[0]]))
    assert (found.removed, found.added, found.changed, found.unchanged) == (["M-2"], ["M-9"], ["M-3"], 1)
    assert (found.columns_removed, found.columns_added) == ([], [])


def test_the_same_file_twice_has_no_difference(before):
    found = compare(before, before)
    assert (found.removed, found.added, found.changed, found.unchanged) == ([], [], [], 3)


def test_another_order_of_rows_and_columns_changes_no_customer(before, tmp_path):
    rows = [[city, id, visits] for id, visits, city in reversed(ROWS)]
    found = compare(before, written(tmp_path / "after.csv", rows, ["city", "member", "visits"]))
    assert (found.removed, found.added, found.changed, found.unchanged) == ([], [], [], 3)


def test_values_that_change_places_between_columns_have_changed(before, tmp_path):
    found = compare(before, after(tmp_path, [["M-1", "Köln", "3"], *ROWS[1:]]))
    assert found.changed == ["M-1"]


def test_a_value_that_is_written_in_another_way_has_changed(before, tmp_path):
    rows = [["M-1", "3.0", "Köln"], ROWS[1], [*ROWS[2][:2], ROWS[2][2].replace("\n", "\r\n")]]
    assert compare(before, after(tmp_path, rows)).changed == ["M-1", "M-3"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1250"])
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_another_encoding_and_delimiter_change_no_customer(before, encoding, delimiter, tmp_path):
    found = compare(before, after(tmp_path, ROWS, encoding=encoding, delimiter=delimiter))
    assert (found.removed, found.added, found.changed, found.unchanged) == ([], [], [], 3)


def test_a_byte_order_mark_is_no_part_of_the_first_name(before, tmp_path):
    marked = after(tmp_path, ROWS)
    marked.path.write_bytes(b"\xef\xbb\xbf" + marked.path.read_bytes())
    assert compare(before, marked).unchanged == 3


def test_the_file_of_another_company_is_read_as_its_params_say(tmp_path):
    frame = customers.members(50)
    files = []
    for name, rows in {"a.csv": frame, "b.csv": frame.assign(visits="99")[frame.columns[::-1]]}.items():
        customers.write_members(tmp_path / name, rows)
        files.append(CustomerCsv(tmp_path / name, ";", "utf-16", "member"))
    assert compare(*files).changed == frame["member"].tolist()


def test_a_column_that_one_file_has_alone_changes_no_customer(before, tmp_path):
    rows = [[id, visits, "x"] for id, visits, _ in ROWS]
    found = compare(before, written(tmp_path / "after.csv", rows, ["member", "visits", "plan"]))
    assert (found.columns_removed, found.columns_added, found.unchanged) == (["city"], ["plan"], 3)


def test_files_with_no_column_in_common_but_the_id_have_the_same_customers(before, tmp_path):
    found = compare(
        before, written(tmp_path / "after.csv", [[row[0], "x"] for row in ROWS], ["member", "plan"])
    )
    assert (found.removed, found.added, found.changed, found.unchanged) == ([], [], [], 3)


def test_an_id_column_may_have_got_another_name(before, tmp_path):
    rows = [["9", *row] for row in ROWS]
    renamed = written(tmp_path / "after.csv", rows, ["member", "number", "visits", "city"])
    renamed = CustomerCsv(renamed.path, ",", "utf-8", "number")
    assert compare(before, renamed).unchanged == 3


def test_an_empty_line_is_no_customer(before, tmp_path):
    file = after(tmp_path, ROWS)
    file.path.write_bytes(file.path.read_bytes() + b"\r\n,,\r\n")
    assert compare(before, file).unchanged == 3
    assert compare(file, before).unchanged == 3


@pytest.mark.parametrize("rows", [[*ROWS, ROWS[0]], [*ROWS, ["M-9", "", ""], ["M-9", "1", ""]]])
@pytest.mark.parametrize("first", [True, False])
def test_an_id_that_stands_there_twice_ends_it(before, rows, first, tmp_path):
    file = after(tmp_path, rows)
    with pytest.raises(MalformedCustomers, match=r"the id 'M-[19]' stands there twice") as error:
        compare(*((file, before) if first else (before, file)))
    assert error.value.file is file


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"member,visits,city\n1,2,3\n4,5\n", "row 3 has 2 of 3 fields"),
        (b"id,visits,city\n1,2,3\n", "its header has the column 'member' 0 times"),
        (b"member,visits,visits\n1,2,3\n", "its header has the column 'visits' 2 times"),
        (b"member,visits,city\n1,2,K\xf6ln\n", "after row 1 it cannot be read as utf-8"),
        (b"", "its header has the column 'member' 0 times"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(before, text, told, tmp_path):
    file = CustomerCsv(tmp_path / "wrong.csv", ",", "utf-8", "member")
    file.path.write_bytes(text)
    with pytest.raises(MalformedCustomers, match=told) as error:
        compare(before, file)
    assert error.value.file is file


def test_a_file_that_is_not_there_or_of_an_unknown_encoding_is_told(before, tmp_path):
    with pytest.raises(MalformedCustomers, match="No such file"):
        compare(before, CustomerCsv(tmp_path / "none.csv", ",", "utf-8", "member"))
    with pytest.raises(MalformedCustomers, match="unknown encoding"):
        compare(before, CustomerCsv(before.path, ",", "utf-99", "member"))


def test_every_byte_is_read_through_what_opens_the_files(before, tmp_path):
    read: list[int] = []

    class Counted(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            piece = super().read(size)
            read.append(len(piece))
            return piece

    many = after(tmp_path, [[f"M-{number}", "1", "Köln"] for number in range(10_000)])
    compare(before, many, Counted)
    assert sum(read) == before.path.stat().st_size + many.path.stat().st_size
    assert max(read) < sum(read) / 10, "in pieces"
