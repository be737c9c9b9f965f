"""What a customer file must look like, declared in params.yaml."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from stages.model.prepared import by_value, features
from stages.support.params import Params
from stages.support.params_schema import EXACT, LARGEST
from stages.support.paths import CUSTOMERS

BRING = f"`dvc checkout {CUSTOMERS}.dvc`"
SHOWN = 5  # rows shown of each violation
WIDEST = 60  # characters shown of a value

# rule: (what is wrong with these rows, the cure)
RULES = {
    "given": ("are empty", "fill them in, or set nullable: true or a fill in {key}"),
    "named": ("are empty", "give each customer an id"),
    "labelled": ("are empty", "say of each customer what is to be predicted, or take the row out"),
    "number": (
        "hold no finite number",
        "correct them, add what stands for a missing value to data.missing, or set the right"
        " data.decimal or {key}.type",
    ),
    "whole": (
        "hold no whole number",
        "correct them (a decimal mark has no place in one), or set type: number in {key}",
    ),
    "exact": (
        f"hold a whole number beyond {EXACT:,}, up to which the models' numbers (float32) have no gaps",
        "correct them, or set type: number in {key} if rounding does no harm, or ignored if it is a name",
    ),
    "range": ("are out of range", "correct them, or widen min and max in {key}"),
    "known": ("hold an unknown category", "correct them, or add it to {key}.categories"),
    "class": ("hold neither class", "correct them, or set positive and negative in data.target"),
    "trimmed": ("have spaces around the id", "take them away: they would make one customer two"),
    "unique": ("repeat an id", "keep one row a customer"),
    "alike": (
        "hold an id that another row writes with other characters (equal after Unicode normalization)",
        "write both alike, and keep one row a customer",
    ),
    "hollow": ("hold nothing but missing values", "take them out, or fill them in"),
    "fields": (
        "have too few or too many fields",
        "quote values that hold the delimiter; if it is the last row the file was cut short:"
        f" bring it again ({BRING})",
    ),
}
SINGULAR = {"are": "is", "have": "has", "hold": "holds", "repeat": "repeats"}
BARE = ("given", "named", "labelled", "hollow")  # rules whose values say nothing


@dataclass
class Violation:
    """Rows of one column that break one rule."""

    column: str
    rule: str
    key: str
    count: int = 0
    rows: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def add(self, count: int, rows: list[str], values: list[str]) -> None:
        """Count rows in; `rows`, each in words, and `values` are the first SHOWN of them."""
        self.count += count
        room = SHOWN - len(self.rows)
        self.rows += rows[:room]
        self.values += values[:room]

    def sentence(self) -> str:
        wrong, cure = RULES[self.rule]
        verb, rest = wrong.split(" ", 1)
        shown = ", ".join(
            row if self.rule in BARE else f"{row} {shorten(value)!r}"
            for row, value in zip(self.rows, self.values, strict=True)
        )
        more = f" and {self.count - len(self.rows)} more" if self.count > len(self.rows) else ""
        rows = f"1 row {SINGULAR[verb]}" if self.count == 1 else f"{self.count} rows {verb}"
        return f"{self.column}: {rows} {rest} ({shown}{more}); {cure.format(key=self.key)}."


def shorten(value: str) -> str:
    return value if len(value) <= WIDEST else f"{value[:WIDEST]}…"


class Schema:
    """The `data` block of params.yaml."""

    def __init__(self, params: Params) -> None:
        self.id: str = params["data.id"]
        self.target: str = params["data.target.column"]
        self.positive: str = params["data.target.positive"]
        self.negative: str = params["data.target.negative"]
        self.delimiter: str = params["data.delimiter"]
        self.encoding: str = params["data.encoding"]
        self.decimal: str = params["data.decimal"]
        self.missing: list[str] = params["data.missing"]
        self.all: dict[str, dict] = params["data.columns"]

    @property
    def columns(self) -> dict[str, dict]:
        """The columns that a model learns from."""
        return {name: spec for name, spec in self.all.items() if spec["type"] != "ignored"}

    @property
    def repeating(self) -> list[str]:
        """The columns whose values many customers share: they are read, and worked on, value by value."""
        return [*self.columns, self.target]

    @property
    def names(self) -> list[str]:
        return [self.id, *self.all, self.target]

    def numbers(self, text: pd.DataFrame) -> pd.DataFrame:
        """The frame with its number columns as float64: NaN where missing, infinity where no number."""
        kinds = {name: spec["type"] for name, spec in self.columns.items() if name in text}
        return text.assign(
            **{
                name: by_value(text[name], self._numbers)
                for name, kind in kinds.items()
                if kind != "category"
            }
        )

    def _numbers(self, text: pd.Series) -> pd.Series:
        spelled = text
        if self.decimal != ".":
            # A point that is not the decimal mark would silently make 1.234 of 1234.
            pointed = text.str.contains(".", regex=False, na=False)
            spelled = text.mask(pointed, "").str.replace(self.decimal, ".", regex=False)
        numbers = pd.to_numeric(spelled, errors="coerce").astype("float64")
        return numbers.mask(text.notna() & ~(numbers.abs() <= LARGEST), np.inf)

    def marked(self, text: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.Series]:
        """{integer column: which of its whole numbers are written with a decimal mark}.

        1.000 is a thousand to one writer and one to another.
        """

        def has_mark(values: pd.Series) -> pd.Series:
            return values.str.contains(self.decimal, regex=False, na=False)

        return {
            name: by_value(text[name], has_mark) & (rows[name] - np.trunc(rows[name]) == 0)
            for name, spec in self.columns.items()
            if name in text and spec["type"] == "integer"
        }

    def may_be_cut(self, column: str, value: Any) -> bool:
        """Whether a value may be the beginning of another one that the column could hold."""
        spec = self.all.get(column, {})
        if spec.get("type") == "ignored" or column not in self.names:
            return False
        known = [self.positive, self.negative] if column == self.target else spec.get("categories")
        if known is None or not isinstance(value, str):
            return True
        return any(other.startswith(value) and other != value for other in [*known, *self.missing])

    def rules(self, names: Collection[str]) -> pa.DataFrameSchema:
        """The rules of these columns as a pandera schema over what `numbers` gives.

        Each check is named by its rule in RULES.
        """
        columns = {}
        for name, spec in self.columns.items():
            columns[name] = self._category(spec) if spec["type"] == "category" else self._number(spec)
            if not spec.get("nullable", False) and spec.get("fill") is None:
                columns[name].append(_given("given"))
        columns[self.target] = [_one_of([self.positive, self.negative], "class"), _given("labelled")]
        columns[self.id] = [pa.Check(lambda ids: ids == ids.str.strip(), error="trimmed"), _given("named")]
        return pa.DataFrameSchema(
            {name: pa.Column(checks=columns[name], nullable=True) for name in columns if name in names}
        )

    def _category(self, spec: dict) -> list[pa.Check]:
        return [_one_of(spec["categories"], "known")]

    def _number(self, spec: dict) -> list[pa.Check]:
        low, high = spec.get("min"), spec.get("max")

        def within(numbers: pd.Series) -> pd.Series:
            fits = numbers.between(-np.inf if low is None else low, np.inf if high is None else high)
            return fits | np.isinf(numbers)

        def whole(numbers: pd.Series) -> pd.Series:
            return numbers == np.trunc(numbers)  # infinity is told of as no number

        def exact(numbers: pd.Series) -> pd.Series:
            return np.isinf(numbers) | (numbers.abs() <= EXACT)

        checks: dict[str, Callable[[pd.Series], pd.Series]] = {"number": np.isfinite, "range": within}
        if spec["type"] == "integer":
            checks |= {"whole": whole, "exact": exact}
        return [pa.Check(check, error=rule, n_failure_cases=SHOWN) for rule, check in checks.items()]

    def key(self, column: str) -> str:
        if column == self.target:
            return "data.target"
        return "data.id" if column == self.id else f"data.columns.{column}"

    def clean(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Checked rows, numbers as numbers, to what train wants: id, features, target as 0 or 1."""
        frame = features(rows, self.columns)
        frame.insert(0, self.id, rows[self.id].to_numpy())
        frame[self.target] = (rows[self.target] == self.positive).to_numpy().astype("int8")
        return frame


def _one_of(values: list[str], rule: str) -> pa.Check:
    return pa.Check.isin(values, error=rule, n_failure_cases=SHOWN)


def _given(rule: str) -> pa.Check:
    return pa.Check(lambda text: text.notna(), error=rule, ignore_na=False, n_failure_cases=SHOWN)
