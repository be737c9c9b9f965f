"""What a customer file must look like, declared in params.yaml."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from stages.model.serving import features
from stages.support.errors import UserError
from stages.support.params import Params

SHOWN = 5  # rows shown of each violation
WIDEST = 60  # characters shown of a value
LARGEST = float(np.finfo("float32").max)  # what the models' numbers can hold

KEYS = {"delimiter", "encoding", "decimal", "missing", "id", "target", "columns"}

TYPES = {
    "number": {"type", "min", "max", "nullable", "fill"},
    "integer": {"type", "min", "max", "nullable", "fill"},
    "category": {"type", "categories", "nullable", "fill"},
    "ignored": {"type"},
}

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
    "whole": ("hold no whole number", "correct them, or set type: number in {key}"),
    "range": ("are out of range", "correct them, or widen min and max in {key}"),
    "known": ("hold an unknown category", "correct them, or add it to {key}.categories"),
    "class": ("hold neither class", "correct them, or set positive and negative in data.target"),
    "trimmed": ("have spaces around the id", "take them away: they would make one customer two"),
    "unique": ("repeat an id", "keep one row a customer"),
    "fields": (
        "have too few or too many fields",
        "quote values that hold the delimiter; if it is the last row the file was cut short:"
        " bring it again (`dvc checkout`)",
    ),
}
SINGULAR = {"are": "is", "have": "has", "hold": "holds", "repeat": "repeats"}
BARE = ("given", "named", "labelled")  # rules whose values say nothing


@dataclass
class Violation:
    """Rows of one column that break one rule."""

    column: str
    rule: str
    key: str
    count: int = 0
    rows: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def add(self, count: int, rows: list[int], values: list[str]) -> None:
        """Count rows in; `rows` and `values` are the first SHOWN of them."""
        self.count += count
        room = SHOWN - len(self.rows)
        self.rows += rows[:room]
        self.values += values[:room]

    def sentence(self) -> str:
        wrong, cure = RULES[self.rule]
        verb, rest = wrong.split(" ", 1)
        shown = ", ".join(
            f"row {row}" if self.rule in BARE else f"row {row} {shorten(value)!r}"
            for row, value in zip(self.rows, self.values, strict=True)
        )
        more = f" and {self.count - len(self.rows)} more" if self.count > len(self.rows) else ""
        rows = f"1 row {SINGULAR[verb]}" if self.count == 1 else f"{self.count} rows {verb}"
        return f"{self.column}: {rows} {rest} ({shown}{more}); {cure.format(key=self.key)}."


def shorten(value: str) -> str:
    return value if len(value) <= WIDEST else f"{value[:WIDEST]}…"


class Schema:
    """The `data` block of params.yaml, checked."""

    def __init__(self, params: Params) -> None:
        """Raises UserError naming each key of the block that cannot be meant."""
        data = params["data"]
        self.id: str = params["data.id"]
        self.target: str = params["data.target.column"]
        self.positive: str = params["data.target.positive"]
        self.negative: str = params["data.target.negative"]
        self.delimiter: str = params["data.delimiter"]
        self.encoding: str = params["data.encoding"]
        self.decimal: str = params["data.decimal"]
        self.missing: list[str] = params["data.missing"]
        self.all: dict[str, dict] = params["data.columns"]
        problems = [*self._mistakes(), *(f"data.{key} means nothing" for key in sorted(set(data) - KEYS))]
        if problems:
            raise UserError(
                "params.yaml does not declare the data well:\n"
                + "\n".join(f"  {problem}" for problem in problems)
                + "\nCure: correct these keys; the comments in params.yaml tell what each may hold."
            )

    def _mistakes(self) -> Iterator[str]:
        texts = {
            "data.id": self.id,
            "data.target.column": self.target,
            "data.target.positive": self.positive,
            "data.target.negative": self.negative,
        }
        for key, value in texts.items():
            yield from _no_text(key, value)
        if not (isinstance(self.delimiter, str) and self.delimiter.isascii() and len(self.delimiter) == 1):
            yield f"data.delimiter is {self.delimiter!r}, which is not one plain character"
        elif self.delimiter in '"\r\n':
            yield f"data.delimiter is {self.delimiter!r}, which has a meaning of its own in a CSV"
        try:
            "".encode(self.encoding)
        except (LookupError, TypeError):
            yield f"data.encoding is {self.encoding!r}, which Python does not know: utf-8, latin-1, utf-16 …"
        if self.decimal not in (".", ","):
            yield f'data.decimal is {self.decimal!r}: "." or ","'
        missing = self.missing if isinstance(self.missing, list) else []
        if missing is not self.missing:
            yield f"data.missing is {self.missing!r}: a list of texts"
        for value in missing:
            yield from _no_text("data.missing", value)
        if self.positive == self.negative:
            yield "data.target: positive and negative are the same"
        for value in (self.positive, self.negative):
            if value in missing:
                yield f"data.target: {value!r} stands for a missing value in data.missing"
        if not isinstance(self.all, dict):
            yield f"data.columns is {self.all!r}: a mapping from each column to its declaration"
            return
        if self.id == self.target or self.id in list(self.all) or self.target in list(self.all):
            yield "data.columns: the id and the target are declared apart, once each"
        if all(isinstance(spec, dict) and spec.get("type") == "ignored" for spec in self.all.values()):
            yield "data.columns leaves no column to learn from"
        for name, spec in self.all.items():
            yield from _no_text("data.columns", name)
            if set("[]<") & set(str(name)):
                yield f"data.columns: {name!r} holds [, ] or <, which XGBoost refuses in a column's name"
            for at in self._column_mistakes(spec, missing):
                yield f"data.columns.{name}{at}"

    def _column_mistakes(self, spec: Any, missing: list) -> Iterator[str]:
        kind = spec.get("type") if isinstance(spec, dict) else spec
        if not isinstance(spec, dict) or not isinstance(kind, str) or kind not in TYPES:
            yield f".type is {kind!r}: choose one of {', '.join(TYPES)}"
            return
        for key in sorted(set(spec) - TYPES[kind]):
            yield f".{key} means nothing for type {kind}: {', '.join(sorted(TYPES[kind]))} do"
        if not isinstance(spec.get("nullable", False), bool):
            yield f".nullable is {spec['nullable']!r}: true or false"
        if kind == "category":
            yield from self._category_mistakes(spec, missing)
        elif kind in ("number", "integer"):
            numbers = {key: spec[key] for key in ("min", "max", "fill") if spec.get(key) is not None}
            wrong = {key: value for key, value in numbers.items() if not is_number(value)}
            for key, value in wrong.items():
                yield f".{key} is {value!r}, which is no number"
            if not wrong and numbers.get("min", -LARGEST) > numbers.get("max", LARGEST):
                yield ".min is above its max"

    def _category_mistakes(self, spec: dict, missing: list) -> Iterator[str]:
        categories, fill = spec.get("categories"), spec.get("fill")
        if not isinstance(categories, list) or not categories:
            yield ".categories must list each category"
            return
        for value in categories:
            yield from _no_text(".categories", value)
            if categories.count(value) > 1:
                yield f".categories lists {value!r} {categories.count(value)} times"
            if value in missing:
                yield f".categories: {value!r} stands for a missing value in data.missing"
        if fill is not None and fill not in categories:
            yield f".fill is {fill!r}, which is none of its categories"

    @property
    def columns(self) -> dict[str, dict]:
        """The columns that a model learns from."""
        return {name: spec for name, spec in self.all.items() if spec["type"] != "ignored"}

    @property
    def names(self) -> list[str]:
        return [self.id, *self.all, self.target]

    def numbers(self, text: pd.DataFrame) -> pd.DataFrame:
        """The frame with its number columns as float64: NaN where missing, infinity where no number."""
        kinds = {name: spec["type"] for name, spec in self.columns.items() if name in text}
        return text.assign(
            **{name: self._numbers(text[name]) for name, kind in kinds.items() if kind != "category"}
        )

    def _numbers(self, text: pd.Series) -> pd.Series:
        spelled = text
        if self.decimal != ".":
            # A point that is not the decimal mark would silently make 1.234 of 1234.
            pointed = text.str.contains(".", regex=False, na=False)
            spelled = text.mask(pointed, "").str.replace(self.decimal, ".", regex=False)
        numbers = pd.to_numeric(spelled, errors="coerce").astype("float64")
        return numbers.mask(text.notna() & ~(numbers.abs() <= LARGEST), np.inf)

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
            return np.isinf(numbers) | (numbers % 1 == 0)

        checks: dict[str, Callable[[pd.Series], pd.Series]] = {"number": np.isfinite, "range": within}
        if spec["type"] == "integer":
            checks["whole"] = whole
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


def _no_text(key: str, value: Any) -> Iterator[str]:
    """What YAML reads as a number or a truth value could be written in several ways: 1.0 or 1.00."""
    if not isinstance(value, str):
        yield f"{key}: {value!r} is no text; put it in quotes, as the file writes it"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
