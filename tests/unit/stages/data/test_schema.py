"""The check of a customer file: each violation in one sentence, all of them at once, with the cure."""

import csv
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from stages.support.errors import UserError
from tests.unit.stages.data import files
from tests.unit.stages.data.files import schema, telco, text


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., list[str]]:
    """The lines of the error that a file is answered with."""

    def tell(content: str | bytes | pd.DataFrame, **changes) -> list[str]:
        content = text(content) if isinstance(content, pd.DataFrame) else content
        with pytest.raises(UserError) as error:
            files.read(tmp_path / "customers.csv", content, schema(**changes))
        return [line.strip() for line in str(error.value).splitlines()]

    return tell


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    def let_through(content: str | bytes | pd.DataFrame, **changes) -> pd.DataFrame:
        content = text(content) if isinstance(content, pd.DataFrame) else content
        return files.read(tmp_path / "customers.csv", content, schema(**changes))

    return let_through


def put(column: str, values: dict[int, str], rows: int = 40) -> pd.DataFrame:
    """Telco customers with values of a column replaced, by row of the spreadsheet."""
    frame = telco(rows)
    for row, value in values.items():
        frame.loc[row - 2, column] = value
    return frame


# What is wrong, and the one sentence that must be told of it.
VIOLATIONS = {
    "a number that is text": (
        put("tenure", {3: "many"}),
        "tenure: 1 row holds no finite number (row 3 'many'); correct them, add what stands for a missing"
        " value to data.missing, or set the right data.decimal or data.columns.tenure.type.",
    ),
    "NaN": (
        put("monthly_charges", {4: "NaN", 9: "nan"}),
        "monthly_charges: 2 rows hold no finite number (row 4 'NaN', row 9 'nan'); correct them, add what"
        " stands for a missing value to data.missing, or set the right data.decimal or"
        " data.columns.monthly_charges.type.",
    ),
    "infinity": (
        put("monthly_charges", {5: "inf", 6: "-Infinity", 7: "1e400", 8: "1e39"}),
        "monthly_charges: 4 rows hold no finite number (row 5 'inf', row 6 '-Infinity', row 7 '1e400', row"
        " 8 '1e39'); correct them, add what stands for a missing value to data.missing, or set the right"
        " data.decimal or data.columns.monthly_charges.type.",
    ),
    "a decimal comma": (
        put("monthly_charges", {5: "29,85"}),
        "monthly_charges: 1 row holds no finite number (row 5 '29,85'); correct them, add what stands for a"
        " missing value to data.missing, or set the right data.decimal or"
        " data.columns.monthly_charges.type.",
    ),
    "a fraction of an integer": (
        put("tenure", {2: "1.5"}),
        "tenure: 1 row holds no whole number (row 2 '1.5'); correct them (a decimal mark has no place in"
        " one), or set type: number in data.columns.tenure.",
    ),
    "a decimal mark in an integer": (
        put("tenure", {2: "1.000", 3: "2."}),
        "tenure: 2 rows hold no whole number (row 2 '1.000', row 3 '2.'); correct them (a decimal mark has no"
        " place in one), or set type: number in data.columns.tenure.",
    ),
    "out of range": (
        put("tenure", {2: "-1", 41: "1201"}),
        "tenure: 2 rows are out of range (row 2 '-1', row 41 '1201'); correct them, or widen min and max in"
        " data.columns.tenure.",
    ),
    "an unknown category": (
        put("contract", {7: "Weekly"}),
        "contract: 1 row holds an unknown category (row 7 'Weekly'); correct them, or add it to"
        " data.columns.contract.categories.",
    ),
    "a category with a space": (
        put("contract", {7: "One year "}),
        "contract: 1 row holds an unknown category (row 7 'One year '); correct them, or add it to"
        " data.columns.contract.categories.",
    ),
    "a missing number": (
        put("tenure", {3: "", 8: ""}),
        "tenure: 2 rows are empty (row 3, row 8); fill them in, or set nullable: true or a fill in"
        " data.columns.tenure.",
    ),
    "a missing category": (
        put("contract", {3: ""}),
        "contract: 1 row is empty (row 3); fill them in, or set nullable: true or a fill in"
        " data.columns.contract.",
    ),
    "a missing id": (
        put("customer_id", {3: ""}),
        "customer_id: 1 row is empty (row 3); give each customer an id.",
    ),
    "an id with spaces": (
        put("customer_id", {3: " C00001"}),
        "customer_id: 1 row has spaces around the id (row 3 ' C00001'); take them away: they would make"
        " one customer two.",
    ),
    "a duplicate id": (
        put("customer_id", {9: "C00001"}),
        "customer_id: 2 rows repeat an id (row 2 'C00001', row 9 'C00001'); keep one row a customer.",
    ),
    "an id in two forms of Unicode": (
        put("customer_id", {3: "\u00c91", 9: "E\u03011", 10: "K1", 11: "\u212a1"}),
        "customer_id: 4 rows hold an id that another row writes with other characters (equal after Unicode"
        " normalization) (row 3 '\u00c91', row 9 'E\u03011', row 10 'K1', row 11 '\u212a1'); write both"
        " alike, and keep one row a customer.",
    ),
    "rows of missing values alone": (
        text(telco()) + "," * 20 + "\n\n" + "," * 20 + "\n",
        "the file: 2 rows hold nothing but missing values (row 42, row 44); take them out, or fill them in.",
    ),
    "a last value cut short": (
        text(telco())[:-2],
        "total_charges: row 41, the last one, has no line end, so its value '1105.' may be cut short; bring"
        " the file again (`dvc checkout data/customers.csv.dvc`), or end the row with a line feed.",
    ),
    "a missing target": (
        put("churn", {3: ""}),
        "churn: 1 row is empty (row 3); say of each customer what is to be predicted, or take the row out.",
    ),
    "a third class": (
        put("churn", {3: "Maybe"}),
        "churn: 1 row holds neither class (row 3 'Maybe'); correct them, or set positive and negative in"
        " data.target.",
    ),
    "a target of one class": (
        put("churn", dict.fromkeys(range(2, 42), "No")),
        "churn: every customer is 'No', so there is nothing to learn; bring a file that holds both classes.",
    ),
    "a missing column": (
        telco().drop(columns="tenure"),
        "column 'tenure' is missing; correct the header, or declare the columns in params.yaml under"
        " data.columns (type: ignored for one that no model should see).",
    ),
    "an extra column": (
        telco().assign(shoe_size="40"),
        "column 'shoe_size' is not declared; correct the header, or declare the columns in params.yaml"
        " under data.columns (type: ignored for one that no model should see).",
    ),
    "a duplicated column": (
        telco().assign(again=telco()["tenure"]).rename(columns={"again": "tenure"}),
        "column 'tenure' stands there 2 times; correct the header, or declare the columns in params.yaml"
        " under data.columns (type: ignored for one that no model should see).",
    ),
    "a row cut short": (
        text(telco())[:-60],
        "the file: 1 row has too few or too many fields (row 41 '16 of 21 fields'); quote values that hold"
        " the delimiter; if it is the last row the file was cut short: bring it again (`dvc"
        " checkout data/customers.csv.dvc`).",
    ),
    "a quote never closed": (
        text(telco()).replace("C00005", '"C00005'),
        "the file: a quote is not closed in row 6, so where its values end cannot be told; close it, or"
        ' write " that belongs to a value as "" in a quoted value.',
    ),
    "a header alone": (
        text(telco(0)),
        "it has a header but no customer; bring the file again (`dvc checkout data/customers.csv.dvc`).",
    ),
    "a header alone, without a line feed": (
        text(telco(0)).strip(),
        "it has a header but no customer; bring the file again (`dvc checkout data/customers.csv.dvc`).",
    ),
}


@pytest.mark.parametrize("wrong", VIOLATIONS)
def test_each_violation_is_told_in_one_sentence_with_its_rows_values_and_cure(told, wrong):
    content, sentence = VIOLATIONS[wrong]
    heading, *sentences = told(content)
    assert heading.endswith(
        "customers.csv does not hold what params.yaml declares"
        " (rows are counted as in a spreadsheet, the header is row 1):"
    )
    if wrong == "a quote never closed":  # the rows that it swallows are told of as well
        sentences = sentences[:1]
    assert sentences == [sentence]


def test_all_violations_of_a_file_are_told_at_once(told):
    frame = put("tenure", {3: "many", 4: "-1", 5: "2.5", 6: ""})
    frame.loc[2, "customer_id"] = frame.loc[0, "customer_id"]
    frame.loc[3, "contract"], frame.loc[4, "churn"] = "Weekly", "Maybe"
    frame = frame.drop(columns="partner").assign(shoe_size="40")
    sentences = told(text(frame) + "C99999,No\n")[1:]
    assert [sentence.split(" (")[0].split(";")[0] for sentence in sentences] == [
        "column 'partner' is missing",
        "column 'shoe_size' is not declared",
        "the file: 1 row has too few or too many fields",
        "tenure: 1 row holds no finite number",
        "tenure: 1 row is out of range",
        "tenure: 1 row holds no whole number",
        "tenure: 1 row is empty",
        "contract: 1 row holds an unknown category",
        "churn: 1 row holds neither class",
        "customer_id: 2 rows repeat an id",
    ]


def test_only_the_first_rows_are_shown_and_the_rest_counted(told):
    (sentence,) = told(telco().assign(tenure="many"))[1:]
    assert "40 rows" in sentence
    assert "row 6 'many' and 35 more)" in sentence
    assert "row 7" not in sentence


def test_a_value_of_any_length_is_shown_short(told):
    (sentence,) = told(put("contract", {2: "x" * 10_000}))[1:]
    assert len(sentence) < 250


def test_rows_are_those_of_the_spreadsheet_after_malformed_and_empty_rows(told):
    lines = text(put("tenure", {8: "many"})).splitlines()
    lines[2] = "too,few"  # row 3
    lines.insert(4, "")  # row 5: what was row 5 is row 6 now
    lines[6] += ",too many"  # row 7
    sentences = told("\n".join([*lines, "", ""]))[1:]
    assert "(row 3 '2 of 21 fields', row 7 '22 of 21 fields')" in sentences[0]
    assert "(row 9 'many')" in sentences[1]
    assert len(sentences) == 2


def test_rows_are_those_of_the_file_across_batches(told, monkeypatch):
    lines = text(telco(400)).splitlines()
    for row in (3, 150, 151, 300):
        lines[row - 1] = "too,few"
    for row in (2, 4, 152, 200, 301, 401):
        fields = lines[row - 1].split(",")
        fields[6] = f"bad{row}"
        lines[row - 1] = ",".join(fields)
    lines[400] = lines[400].replace("C00400", "C00010")
    content = "".join(f"{line}\n" for line in lines)
    whole = told(content)
    monkeypatch.setattr("stages.data.customer_file.BLOCK", 1000)
    assert told(content) == whole
    assert "row 3 '2 of 21 fields', row 150 '2 of 21 fields', row 151 '2 of 21 fields'" in whole[1]
    assert (
        "row 2 'bad2', row 4 'bad4', row 152 'bad152', row 200 'bad200', row 301 'bad301' and 1" in whole[2]
    )
    assert "(row 11 'C00010', row 401 'C00010')" in whole[3]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_told_with_its_row_and_cure(told, encoding):
    first, cure = told(text(put("contract", {7: "Köln"})).encode(encoding))
    assert first.endswith(r"is not written in utf-8: row 7 holds b',Yes,Yes,K\xf6ln,1,Elect'.")
    assert cure.startswith("Cure: save it as UTF-8, or name its encoding (latin-1, cp1252, utf-16 …)")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_given_as_utf_8_is_told(told, encoding):
    assert "is not written in utf-8: row 1 holds " in told(text(telco()).encode(encoding))[0]


def test_utf_8_given_as_utf_16_is_told(told):
    first = told(text(telco()), encoding="utf-16")[0]
    assert first.endswith("is not written in utf-16: UTF-16 stream does not start with BOM.")


def test_bytes_that_are_no_text_are_told(told):
    assert "is not written in utf-8" in told(bytes(range(256)) * 40)[0]
    assert "is not written in latin-1" in told(bytes(range(256)) * 40, encoding="latin-1")[0]


def test_a_letter_cut_in_two_at_the_end_is_told(told):
    assert "row 41" in told(text(telco()).encode()[:-1] + "é".encode()[:1])[0]


def test_a_malformed_row_in_another_encoding_prints_nothing_else(told, capfd):
    assert "is not written in utf-8: row 42" in told(text(telco()).encode() + b"caf\xe9,1\n")[0]
    assert capfd.readouterr().err == ""


def test_half_a_character_is_told(told):
    content = text(telco()).replace("C00005", "+2AA-").encode()
    assert "is not written in utf-7: row 6 holds half a character." in told(content, encoding="utf-7")[0]


@pytest.mark.parametrize("end", "\x0b\x0c\x1e\x85\u2028")
def test_rows_that_end_in_what_no_reader_takes_for_an_end_are_told(told, end):
    first, cure = told(text(telco()).replace("\n", end))
    assert first.endswith(f"has {end!r} in its first row, where no row ends for a reader of CSV.")
    assert cure == "Cure: save it with a line feed at the end of each row."


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_told_with_its_cure(told, delimiter):
    first, cure = told(text(telco(), sep=delimiter))
    assert first.endswith(f"is not split by ',' but by {delimiter!r}.")
    assert cure == f"Cure: set data.delimiter to {delimiter!r} in params.yaml."


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"\n\n" + text(telco()).encode()])
def test_an_empty_file_is_told_with_its_cure(told, content):
    first, cure = told(content)
    assert first.endswith("customers.csv is empty, or begins with an empty line.")
    assert "dvc checkout" in cure


def test_a_quote_never_closed_in_an_ignored_last_column_loses_no_row_unseen(told):
    columns = schema().all | {"remark": {"type": "ignored"}}
    frame = telco().assign(remark="fine")
    content = text(frame).replace("fine", '"fine', 7)
    assert "a quote is not closed in row 2," in told(content, columns=columns)[1]
    frame.loc[38, "remark"] = "START"
    content = text(frame).replace("START", '"never closed')
    assert "a quote is not closed in row 40," in told(content, columns=columns)[1]


def test_a_long_quoted_value_is_read(read):
    columns = schema().all | {"remark": {"type": "ignored"}}
    frame = telco().assign(remark="fine")
    frame.loc[3, "remark"] = "long, " * 30_000
    assert len(read(frame, columns=columns)) == 40


def test_a_quoted_value_without_an_end_is_told(told):
    sentence = told(text(telco()).replace("C00005", '"' + "x" * (17 << 20)))[1]
    assert "a quote in row 6 is not closed, or its value is longer than 16,777,216 characters" in sentence


def test_a_row_that_no_block_holds_is_told(told, monkeypatch):
    monkeypatch.setattr("stages.data.customer_file.BLOCK", 1000)
    (sentence,) = told(put("contract", {30: "x" * 5000}))[1:]
    assert sentence.startswith("the file: a row below row 2")
    assert sentence.endswith(
        "is longer than 1,000 bytes; look for a quote that is never closed, or for rows that do not end in a"
        " line feed."
    )


def test_many_undeclared_columns_make_few_sentences(told):
    sentences = told(telco().assign(**{f"c{number}": "1" for number in range(300)}))[1:]
    assert len(sentences) == 6
    assert sentences[-1].startswith("295 more columns are not declared; correct the header")


# The last column, what the file ends with, and whether that may be the beginning of another value.
ENDS = [
    ("churn", "Yes", False),
    ("churn", "No", False),
    ("internet_service", "DSL", False),
    ("online_backup", "No", True),
    ("tenure", "12", True),
    ("customer_id", "C99999", True),
    ("remark", "fin", False),
    ("remark", "", False),
    ("total_charges", "", True),
]


@pytest.mark.parametrize(("column", "value", "cut"), ENDS)
def test_a_file_without_a_last_line_end_is_taken_where_nothing_can_be_cut(tmp_path, column, value, cut):
    columns = schema().all | {"remark": {"type": "ignored"}}
    frame = (
        put(column, {41: value}).assign(remark="fine") if column != "remark" else telco().assign(remark=value)
    )
    content = text(frame[[name for name in frame if name != column] + [column]])
    whole = files.read(tmp_path / "customers.csv", content, schema(columns=columns))
    if cut:
        with pytest.raises(UserError, match=f"{column}: row 41, the last one, has no line end, so its value"):
            files.read(tmp_path / "customers.csv", content[:-1], schema(columns=columns))
    else:
        read = files.read(tmp_path / "customers.csv", content[:-1], schema(columns=columns))
        pd.testing.assert_frame_equal(read, whole)


def test_a_last_line_that_is_malformed_is_told_once(told):
    (sentence,) = told(text(telco()) + "C99999,No")[1:]
    assert "(row 42 '2 of 21 fields')" in sentence


def test_a_decimal_comma_in_a_whole_number_is_told(told):
    frame = put("tenure", {2: "1,000"}).assign(monthly_charges="1", total_charges="1")
    (sentence,) = told(text(frame, sep=";"), delimiter=";", decimal=",")[1:]
    assert "tenure: 1 row holds no whole number (row 2 '1,000')" in sentence


def test_a_whole_number_that_float32_cannot_hold_is_told(told):
    columns = schema().all | {"tenure": {"type": "integer"}}
    (sentence,) = told(put("tenure", {2: "16777217", 5: "-16777218"}), columns=columns)[1:]
    assert sentence == (
        "tenure: 2 rows hold a whole number beyond 16,777,216, up to which the models' numbers (float32) have"
        " no gaps (row 2 '16777217', row 5 '-16777218'); correct them, or set type: number in"
        " data.columns.tenure if rounding does no harm, or ignored if it is a name."
    )


def test_the_largest_whole_numbers_are_read_as_they_are(read):
    columns = schema().all | {"tenure": {"type": "integer"}}
    frame = read(put("tenure", {2: "16777216", 3: "-16777216", 4: "1e3"}), columns=columns)
    assert frame["tenure"].tolist()[:3] == [16777216, -16777216, 1000]


def test_a_quote_never_closed_is_told_of_files_larger_than_a_block(told, monkeypatch):
    monkeypatch.setattr("stages.data.customer_file.BLOCK", 1000)
    assert "a quote is not closed in row 6," in told(text(telco()).replace("C00005", '"C00005'))[1]


def test_a_byte_order_mark_and_other_line_ends_change_nothing(read):
    plain = text(telco())
    expected = read(plain)
    assert len(expected) == 40
    for same in (
        b"\xef\xbb\xbf" + plain.encode(),
        plain.replace("\n", "\r\n").encode(),
        (plain + "\n\n").encode(),
        text(telco(), quoting=csv.QUOTE_ALL).encode(),
        b"\xef\xbb\xbf" + text(telco(), quoting=csv.QUOTE_ALL).encode(),
    ):
        pd.testing.assert_frame_equal(read(same), expected)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1", "UTF-8"])
def test_a_declared_encoding_is_read(read, encoding):
    expected = read(telco())
    pd.testing.assert_frame_equal(read(text(telco()).encode(encoding), encoding=encoding), expected)


def test_quoted_delimiters_and_newlines_are_values(read):
    strange = 'says "no", twice\n\nand\r\nleaves'
    columns = schema().all | {
        "contract": {"type": "category", "categories": ["Month-to-month", "One year", "Two year", strange]}
    }
    frame = read(put("contract", {3: strange}), columns=columns)
    assert frame.loc[1, "contract"] == strange
    assert len(frame) == 40


def test_an_empty_line_is_no_customer_where_an_empty_value_is_no_missing_one(read):
    lines = text(telco()).splitlines()
    content = "\n".join([*lines[:20], "", *lines[20:], ""])
    pd.testing.assert_frame_equal(read(content, missing=["n/a"]), read(telco()))


def test_columns_in_another_order_give_the_same_rows(read):
    frame = telco()
    pd.testing.assert_frame_equal(read(frame[sorted(frame, reverse=True)]), read(frame))


def test_the_rows_do_not_depend_on_the_size_of_a_batch(read, monkeypatch):
    expected = read(telco(100))
    assert expected["customer_id"].tolist() == [f"C{number:05d}" for number in range(1, 101)]
    for block in (400, 1000, 7777):
        monkeypatch.setattr("stages.data.customer_file.BLOCK", block)
        pd.testing.assert_frame_equal(read(telco(100)), expected)


def test_classes_spread_over_batches_are_seen(read, monkeypatch):
    monkeypatch.setattr("stages.data.customer_file.BLOCK", 1000)
    frame = telco(100).assign(churn=["No"] * 99 + ["Yes"])
    assert read(frame)["churn"].sum() == 1


def test_ids_repeated_in_another_batch_are_seen(told, monkeypatch):
    monkeypatch.setattr("stages.data.customer_file.BLOCK", 1000)
    (sentence,) = told(put("customer_id", {400: "C00001"}, rows=400))[1:]
    assert "(row 2 'C00001', row 400 'C00001')" in sentence


def test_ids_are_text_whatever_they_look_like(read):
    frame = telco(3).assign(customer_id=["007", "7", "7.0"])
    assert read(frame)["customer_id"].tolist() == ["007", "7", "7.0"]


def test_what_stands_for_a_missing_value_is_declared(read, told):
    columns = schema().all | {"tenure": {"type": "integer", "nullable": True}}
    frame = put("tenure", {2: "NA", 3: "?"})
    assert read(frame, missing=["NA", "?"], columns=columns)["tenure"].isna().tolist()[:3] == [
        True,
        True,
        False,
    ]
    assert "tenure: 2 rows hold no finite number (row 2 'NA', row 3 '?')" in told(frame, columns=columns)[1]


def test_a_fill_takes_the_place_of_a_missing_value(read):
    assert read(put("total_charges", {2: ""}))["total_charges"][0] == 0


def test_a_decimal_comma_is_read_and_a_point_then_is_no_number(read, told):
    frame = telco()
    frame["monthly_charges"] = frame["monthly_charges"].str.replace(".", ",")
    frame["total_charges"] = frame["total_charges"].str.replace(".", ",")
    expected = read(telco())
    pd.testing.assert_frame_equal(read(text(frame, sep=";"), delimiter=";", decimal=","), expected)
    frame.loc[0, "monthly_charges"] = "1.029"  # one thousand and twenty-nine, where they write so
    (sentence,) = told(text(frame, sep=";"), delimiter=";", decimal=",")[1:]
    assert "monthly_charges: 1 row holds no finite number (row 2 '1.029')" in sentence


def test_no_model_sees_an_ignored_column(read):
    columns = schema().all | {"remark": {"type": "ignored"}}
    assert "remark" not in read(telco().assign(remark="x"), columns=columns)


def test_the_columns_are_id_then_features_by_name_then_target(read):
    frame = read(telco())
    first, *features, last = frame
    assert (first, last) == ("customer_id", "churn")
    assert features == sorted(schema().columns)
    assert {str(kind) for kind in frame[features].dtypes} == {"float32", "category"}
    assert frame["contract"].cat.categories.tolist() == ["Month-to-month", "One year", "Two year"]


def test_a_header_with_quotes_that_never_close_is_no_traceback(told):
    assert told('"' + text(telco()))
    assert told('"' + "x" * 200_000)
