"""Raw customers to features: what `read_csv` gives is taken, all else is an error with row and column."""

import datetime
import io
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.model import serving
from stages.model.serving import InvalidRows, features, one_hot
from stages.support import params_schema
from tests.unit.stages.model import models

COLUMNS = {
    "age": {"type": "integer"},
    "fee": {"type": "number", "nullable": True},
    "debt": {"type": "number", "fill": 30.5},
    "plan": {"type": "category", "categories": ["1", "2", "3.5"]},
    "trainer": {"type": "category", "categories": ["true", "false"], "fill": "false"},
    "city": {"type": "category", "categories": ["Köln", "Lyon"], "nullable": True},
}


def rows(**columns: Any) -> pd.DataFrame:
    """Two customers that fit, with some columns replaced."""
    plain = {
        "age": [40, 50],
        "fee": [1.5, 2.0],
        "debt": [0.0, 1.0],
        "plan": ["1", "2"],
        "trainer": ["true", "false"],
        "city": ["Köln", "Lyon"],
    }
    return pd.DataFrame({name: list(values) for name, values in plain.items()} | columns)


def problem(frame: pd.DataFrame, **columns: Any) -> str:
    with pytest.raises(InvalidRows) as error:
        features(frame, COLUMNS | columns)
    return str(error.value).removeprefix("these customers cannot be scored: ")


def test_columns_come_in_alphabetical_order_as_float32_and_declared_categories():
    frame = features(
        rows(extra=["x", "y"])[["plan", "extra", "city", "fee", "debt", "age", "trainer"]], COLUMNS
    )
    assert list(frame) == ["age", "city", "debt", "fee", "plan", "trainer"]
    assert {str(frame[name].dtype) for name in ("age", "debt", "fee")} == {"float32"}
    assert frame["plan"].cat.categories.tolist() == ["1", "2", "3.5"]
    assert frame["city"].tolist() == ["Köln", "Lyon"]


def test_the_index_of_the_rows_changes_nothing():
    frame = rows()
    frame.index = [7, 7]
    pd.testing.assert_frame_equal(features(frame, COLUMNS), features(rows(), COLUMNS))


@pytest.mark.parametrize(
    "ages",
    [
        [1, 0],
        [1.0, 0.0],
        np.array([1, 0], "int8"),
        np.array([1, 0], "float32"),
        pd.array([1, 0], dtype="Int64"),
        pd.array([1, 0], dtype="int64[pyarrow]"),
        pd.Series([1, 0], dtype=object),
        pd.Series([Decimal(1), Decimal(0)]),
        pd.Series([Fraction(1), np.float32(0)], dtype=object),
    ],
    ids=str,
)
def test_integers_floats_decimals_and_fractions_are_numbers(ages):
    assert features(rows(age=ages), COLUMNS)["age"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "fees",
    [
        [None, 2],
        [np.nan, 2.0],
        pd.array([None, 2], dtype="Int64"),
        pd.array([None, 2.0], dtype="double[pyarrow]"),
        pd.Series([pd.NA, 2], dtype=object),
    ],
    ids=str,
)
def test_a_null_stays_a_null_where_it_is_allowed(fees):
    found = features(rows(fee=fees), COLUMNS)["fee"]
    assert np.isnan(found[0])
    assert found[1] == 2


def test_a_null_takes_the_fill_where_there_is_one():
    frame = features(rows(debt=[None, 1.0], trainer=[None, "true"], city=[None, "Lyon"]), COLUMNS)
    assert frame["debt"].tolist() == [30.5, 1.0]
    assert frame["trainer"].tolist() == ["false", "true"]
    assert frame["city"].isna().tolist() == [True, False]


@pytest.mark.parametrize("nothing", [[None, None], [np.nan, np.nan], [pd.NA, pd.NA]], ids=str)
def test_a_column_of_nulls_alone_is_taken_where_they_are_allowed(nothing):
    frame = features(rows(fee=nothing, city=nothing, debt=nothing), COLUMNS)
    assert frame["fee"].isna().all()
    assert frame["city"].isna().all()
    assert frame["debt"].tolist() == [30.5, 30.5]


@pytest.mark.parametrize(
    ("written", "taken"),
    [("1", "1"), ("2", "2"), ("3.5", "3.5")],
)
def test_a_category_that_read_csv_took_for_a_number_is_what_the_file_wrote(written, taken):
    for csv in (f"plan\n{written}\n", f"plan\n{written}\n3.5\n"):
        raw = pd.read_csv(io.StringIO(csv))
        frame = features(raw, {"plan": COLUMNS["plan"]})
        assert frame["plan"][0] == taken


def test_a_category_that_read_csv_took_for_a_truth_value_is_what_the_file_wrote():
    for csv in ("trainer\ntrue\nfalse\n", "trainer\nTRUE\nFALSE\n", "trainer,x\ntrue,\nfalse,\n,1\n"):
        frame = features(pd.read_csv(io.StringIO(csv)), {"trainer": COLUMNS["trainer"]})
        assert frame["trainer"].tolist()[:2] == ["true", "false"]


def test_categories_are_taken_from_a_categorical_column():
    assert features(rows(city=pd.Categorical(["Lyon", None])), COLUMNS)["city"].tolist()[0] == "Lyon"


def test_no_rows_give_no_features():
    assert features(rows()[:0], COLUMNS).shape == (0, 6)


NO_NUMBERS = {
    "text": (["1", 2], "row 1 ('1')"),
    "text alone": (["1", "2"], "row 1 ('1'), row 2 ('2')"),
    "infinity": ([1, float("inf")], "row 2 (inf)"),
    "too large for float32": ([1, -1e39], "row 2 (-1e+39)"),
    "too large for any float": ([10**400, 1], f"row 1 ({10**400})"),
    "a list": ([[1], 2], "row 1 ([1])"),
    "a mapping": ([1, {}], "row 2 ({})"),
    "a complex number": ([1j, 2j], "row 1 (1j), row 2 (2j)"),
    "bytes": ([b"1", 2], "row 1 (b'1')"),
    "bytes that may change": ([bytearray(b"1"), 2], "row 1 (bytearray(b'1'))"),
    "a truth value": ([True, 2], "row 1 (True)"),
    "truth values alone": ([True, False], "row 1 (True), row 2 (False)"),
    "truth values of pandas": (pd.array([True, False], dtype="boolean"), "row 1 (True), row 2 (False)"),
    "a signaling NaN": ([Decimal("sNaN"), Decimal(1)], "row 1 ('sNaN')"),
    "a category": (pd.Categorical(["1", "2"]), "row 1 ('1'), row 2 ('2')"),
    "a date": ([datetime.date(2026, 1, 1), 1], "row 1 (datetime.date(2026, 1, 1))"),
}


@pytest.mark.parametrize("wrong", NO_NUMBERS)
@pytest.mark.parametrize("column", ["age", "fee", "debt"])
def test_what_is_no_finite_number_is_an_error_with_its_row_and_column(column, wrong):
    values, where = NO_NUMBERS[wrong]
    assert problem(rows(**{column: values})) == f"column {column} is no finite number in {where}"


def test_a_fraction_of_an_integer_is_an_error():
    assert problem(rows(age=[1.5, 2])) == "column age is no whole number in row 1 (1.5)"


def test_a_whole_number_that_float32_cannot_hold_is_an_error():
    assert features(rows(age=[2**24, -(2**24)]), COLUMNS)["age"].tolist() == [2**24, -(2**24)]
    assert problem(rows(age=[2**24 + 1, 2])) == (
        "column age is a whole number beyond 16,777,216 in row 1 (16777217)"
    )
    assert serving.EXACT == params_schema.EXACT


def test_a_number_out_of_its_range_is_an_error():
    age, fee = {"type": "integer", "min": 18, "max": 99}, {"type": "number", "nullable": True, "max": 1.1}
    assert problem(rows(age=[17, 100], fee=[None, 1.2]), age=age, fee=fee) == (
        "column age is below 18 in row 1 (17); column age is above 99 in row 2 (100);"
        " column fee is above 1.1 in row 2 (1.2)"
    )
    fits = features(rows(age=[18, 99], fee=[1.1, None]), COLUMNS | {"age": age, "fee": fee})
    assert fits["age"].tolist() == [18, 99]


def test_what_prepare_has_written_as_float32_stays_in_its_range():
    fee = {"type": "number", "min": 0.7, "max": 1.1}  # as float32, 1.1 is above 1.1
    features(rows(fee=np.array([0.7, 1.1], "float32")), COLUMNS | {"fee": fee})
    features(rows(fee=pd.array([0.7, 1.1], "Float32")), COLUMNS | {"fee": fee})


@pytest.mark.parametrize(
    "given", [{"age": [1]}, [{"age": 1}], np.array([[1.0]]), pd.Series([1]), None, "1"], ids=str
)
def test_what_is_no_frame_is_an_error_that_says_what_is_taken(given, tmp_path):
    models.write(tmp_path / "model")
    with pytest.raises(InvalidRows) as error:
        serving.Model(tmp_path / "model").predict(given)
    assert str(error.value) == (
        f"predict takes a pandas DataFrame, a raw customer a row, and was given a {type(given).__name__}"
    )


@pytest.mark.parametrize(
    ("values", "where"),
    [
        (["köln", "Lyon"], "row 1 ('köln')"),
        (["Köln ", "Lyon"], "row 1 ('Köln ')"),
        ([["Köln"], "Lyon"], "row 1 (['Köln'])"),
        ([{}, "Lyon"], "row 1 ({})"),
        ([b"Lyon", "Lyon"], "row 1 (b'Lyon')"),
        ([1, 2], "row 1 (1), row 2 (2)"),
        ([True, False], "row 1 (True), row 2 (False)"),
        ([float("inf"), 1.0], "row 1 (inf), row 2 (1.0)"),
        ([datetime.date(2026, 1, 1), "Lyon"], "row 1 (datetime.date(2026, 1, 1))"),
    ],
    ids=str,
)
def test_an_unseen_category_is_an_error_with_its_row_and_column(values, where):
    assert problem(rows(city=values)) == f"column city is none of Köln, Lyon in {where}"


def test_a_null_is_an_error_where_none_is_allowed():
    found = problem(rows(age=[None, 1], plan=["1", None]))
    assert found == (
        "column age is missing and may not be in row 1 (nan);"
        " column plan is missing and may not be in row 2 (nan)"
    )


def test_a_missing_and_a_doubled_column_are_errors():
    assert problem(rows().drop(columns=["age", "city"])) == "column age is missing; column city is missing"
    doubled = pd.concat([rows(), rows()[["age"]]], axis=1)
    assert problem(doubled) == "column age stands there 2 times"


def test_every_problem_is_told_at_once_and_the_first_three_rows_are_shown():
    frame = pd.concat([rows(age=["x", "y"], city=["Rom", "Lyon"])] * 3, ignore_index=True)
    assert problem(frame.drop(columns="plan")) == (
        "column age is no finite number in row 1 ('x'), row 2 ('y'), row 3 ('x') and 3 more;"
        " column city is none of Köln, Lyon in row 1 ('Rom'), row 3 ('Rom'), row 5 ('Rom');"
        " column plan is missing"
    )


def test_no_warning_is_given(recwarn):
    features(rows(fee=[None, 1]), COLUMNS)
    for values in ([float("inf"), 1.0], ["x", "y"], [1e39, 1]):
        problem(rows(age=values, city=["Rom", "Lyon"]))
    assert not recwarn.list


def test_one_hot_gives_a_column_for_each_declared_category_whether_or_not_it_occurs():
    found = one_hot(features(rows(city=["Köln", None]), COLUMNS))
    # age, debt, fee; city in 2, plan in 3, trainer in 2
    assert found.dtype == np.float32
    assert found.tolist() == [
        [40, 0.0, 1.5, 1, 0, 1, 0, 0, 1, 0],
        [50, 1.0, 2.0, 0, 0, 0, 1, 0, 0, 1],
    ]
