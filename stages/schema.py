"""What a customer file must look like, declared in params.yaml, and how far a file is from it."""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.csv

from stages.errors import UserError
from stages.params import Params
from stages.serving import features

BLOCK = 16 << 20  # bytes of CSV read at a time: some 100,000 customers
SHOWN = 5  # rows shown of each violation

TYPES = {
    "number": {"type", "min", "max", "nullable", "fill"},
    "integer": {"type", "min", "max", "nullable", "fill"},
    "category": {"type", "categories", "nullable", "fill"},
    "ignored": {"type"},
}

# rule: (what is wrong with these rows, the cure)
RULES = {
    "given": ("are empty", "fill them in, or set nullable: true or a fill in {key}"),
    "number": (
        "hold no finite number",
        "correct them, add what stands for a missing value to data.missing, or set the right"
        " data.decimal or {key}.type",
    ),
    "whole": ("hold no whole number", "correct them, or set type: number in {key}"),
    "range": ("are out of range", "correct them, or widen min and max in {key}"),
    "known": ("hold an unknown category", "correct them, or add it to {key}.categories"),
    "class": ("hold neither class", "correct them, or set positive and negative in data.target"),
    "unique": ("repeat an id", "keep one row a customer"),
    "fields": (
        "have too few or too many fields",
        "quote values that hold the delimiter; if it is the last row the file was cut short:"
        " bring it again (`dvc checkout`)",
    ),
}


@dataclass
class Violation:
    """Rows of one column that break one rule."""

    column: str
    rule: str
    key: str
    count: int = 0
    rows: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def add(self, rows: list[int], values: list[str]) -> None:
        self.count += len(rows)
        room = SHOWN - len(self.rows)
        self.rows += rows[:room]
        self.values += values[:room]

    def sentence(self) -> str:
        wrong, cure = RULES[self.rule]
        shown = ", ".join(
            f"row {row}" + (f" {value!r}" if self.rule != "given" else "")
            for row, value in zip(self.rows, self.values, strict=True)
        )
        more = f" and {self.count - len(self.rows)} more" if self.count > len(self.rows) else ""
        rows = "1 row" if self.count == 1 else f"{self.count} rows"
        return f"{self.column}: {rows} {wrong} ({shown}{more}); {cure.format(key=self.key)}."


class Schema:
    """The `data` block of params.yaml, checked."""

    def __init__(self, params: Params) -> None:
        """Raises UserError naming each key of the block that cannot be meant."""
        self.id: str = params["data.id"]
        self.target: str = params["data.target.column"]
        self.positive = str(params["data.target.positive"])
        self.classes = {self.positive, str(params["data.target.negative"])}
        self.delimiter: str = params["data.delimiter"]
        self.encoding: str = params["data.encoding"]
        self.decimal: str = params["data.decimal"]
        self.missing: list[str] = params["data.missing"]
        self.all: dict[str, dict] = params["data.columns"]
        problems = [f"data.columns.{at}" for at in self._mistakes()]
        if self.id == self.target or {self.id, self.target} & set(self.all):
            problems.append("data.columns: the id and the target are declared apart, once each")
        if len(self.classes) != 2:
            problems.append("data.target: positive and negative are the same")
        if problems:
            raise UserError(
                "params.yaml does not declare the data well:\n"
                + "\n".join(f"  {problem}" for problem in problems)
                + "\nCure: correct these keys; the comments in params.yaml tell what each may hold."
            )

    def _mistakes(self) -> Iterator[str]:
        for name, spec in self.all.items():
            kind = spec.get("type")
            if kind not in TYPES:
                yield f"{name}.type is {kind!r}: choose one of {', '.join(TYPES)}"
                continue
            for key in sorted(set(spec) - TYPES[kind]):
                yield f"{name}.{key} means nothing for type {kind}: {', '.join(sorted(TYPES[kind]))} do"
            categories = spec.get("categories", [])
            if kind == "category" and len({str(c) for c in categories}) != len(categories or [0, 0]):
                yield f"{name}.categories must list each category, once"
            fill = spec.get("fill")
            if kind == "category" and fill is not None and fill not in categories:
                yield f"{name}.fill is {fill!r}, which is none of its categories"
            if kind in ("number", "integer") and not isinstance(fill, int | float | None):
                yield f"{name}.fill is {fill!r}, which is no number"
            if spec.get("min") is not None and spec.get("max") is not None and spec["min"] > spec["max"]:
                yield f"{name}.min is above its max"

    @property
    def columns(self) -> dict[str, dict]:
        """The columns that a model learns from."""
        return {name: spec for name, spec in self.all.items() if spec["type"] != "ignored"}

    @property
    def names(self) -> list[str]:
        return [self.id, *self.all, self.target]

    def numbers(self, text: pd.Series) -> pd.Series:
        """Text as float64; what is no number becomes NaN."""
        if self.decimal != ".":
            text = text.str.replace(self.decimal, ".", regex=False)
        return pd.to_numeric(text, errors="coerce").astype("float64")

    def rules(self) -> pa.DataFrameSchema:
        """The row rules as a pandera schema over columns of text."""

        def column(checks: list[pa.Check], nullable: bool = False) -> pa.Column:
            return pa.Column(checks=checks, nullable=nullable)

        def one_of(values: list, rule: str) -> pa.Check:
            return pa.Check.isin([str(value) for value in values], error=rule)

        columns = {
            self.id: column([]),
            self.target: column([one_of(sorted(self.classes), "class")]),
        }
        for name, spec in self.columns.items():
            if spec["type"] == "category":
                checks = [one_of(spec["categories"], "known")]
            else:
                checks = self._number_checks(spec)
            nullable = spec.get("nullable", False) or spec.get("fill") is not None
            columns[name] = column(checks, nullable)
        return pa.DataFrameSchema(columns)

    def _number_checks(self, spec: dict) -> list[pa.Check]:
        low, high = spec.get("min"), spec.get("max")

        def finite(text: pd.Series) -> pd.Series:
            return np.isfinite(self.numbers(text))

        def whole(text: pd.Series) -> pd.Series:
            return ~finite(text) | (self.numbers(text) % 1 == 0)

        def within(text: pd.Series) -> pd.Series:
            numbers = self.numbers(text)
            fits = ~np.isfinite(numbers)
            return fits | (
                (numbers >= (-np.inf if low is None else low))
                & (numbers <= (np.inf if high is None else high))
            )

        checks = [pa.Check(finite, error="number"), pa.Check(within, error="range")]
        if spec["type"] == "integer":
            checks.append(pa.Check(whole, error="whole"))
        return checks

    def key(self, column: str) -> str:
        if column == self.target:
            return "data.target"
        return "data.id" if column == self.id else f"data.columns.{column}"

    def clean(self, text: pd.DataFrame) -> pd.DataFrame:
        """Checked text to what train wants: id, float32 numbers and categories, target as 0 or 1."""
        raw = text.assign(
            **{
                name: self.numbers(text[name])
                for name, spec in self.columns.items()
                if spec["type"] != "category"
            }
        )
        frame = features(raw, self.columns)
        frame.insert(0, self.id, text[self.id].to_numpy())
        frame[self.target] = (text[self.target] == self.positive).to_numpy().astype("int8")
        return frame


class CustomerFile:
    """A CSV of customers, read in batches that are checked as they come.

    Rows are numbered as a spreadsheet does: the header is row 1.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        """Raises UserError where the header alone says that this is not the file."""
        self.path, self.schema = path, schema
        self._violations: dict[tuple[str, str], Violation] = {}
        self._odd_rows: list[int] = []
        self._ids: list[pyarrow.Array] = []
        self._classes: set[str] = set()
        self._check_header()

    def batches(self) -> Iterator[pd.DataFrame]:
        """Clean frames, in the file's order.

        Raises UserError at the end, with every violation of the whole file, if there is one: nothing
        that was made of these frames may be kept then.
        """
        rules, read = self.schema.rules(), 0
        for text in self._text():
            self._check(rules, text, read)
            read += len(text)
            if not self._violations:
                yield self.schema.clean(text)
        self._check_ids()
        self._finish(read)

    def _check_header(self) -> None:
        try:
            codecs.lookup(self.schema.encoding)
            with self.path.open(encoding=self.schema.encoding, newline="") as file:
                first = file.readline(1 << 20)
        except FileNotFoundError:
            raise UserError(
                f"{self.path} is not here.\nCure: `dvc pull {self.path}`, or for the telco customers"
                " `python -m predictflow.customers`."
            ) from None
        except LookupError:
            raise UserError(
                f"data.encoding in params.yaml is {self.schema.encoding!r}, which Python does not know."
                "\nCure: utf-8, latin-1, cp1252, utf-16 …"
            ) from None
        except UnicodeError:
            raise self._encoding_error() from None
        first = first.removeprefix("\ufeff")
        if not first.strip():
            raise UserError(f"{self.path} is empty.\nCure: `dvc checkout {self.path}.dvc`.")
        delimiter = self.schema.delimiter
        names = next(csv.reader([first], delimiter=delimiter))
        if self.schema.id not in names:
            for other in ",;\t|":
                if other != delimiter and self.schema.id in next(csv.reader([first], delimiter=other)):
                    raise UserError(
                        f"{self.path} is not split by {delimiter!r} but by {other!r}.\n"
                        f"Cure: set data.delimiter to {other!r} in params.yaml."
                    )
        problems = [f"column {name} is missing" for name in self.schema.names if name not in names]
        problems += [
            f"column {name} stands there {names.count(name)} times"
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]
        problems += [f"column {name} is not declared" for name in names if name not in self.schema.names]
        if problems:
            raise UserError(
                f"{self.path} has not the columns that params.yaml declares:\n"
                + "\n".join(f"  {problem}" for problem in problems)
                + "\nCure: correct the header, or declare the columns in params.yaml under data.columns"
                " (type: ignored for one that no model should see)."
            )

    def _text(self) -> Iterator[pd.DataFrame]:
        """Frames of text, missing values as nulls."""

        def odd(row: pyarrow.csv.InvalidRow) -> str:
            self._odd_rows.append(row.number)
            found = self._violation("the file", "fields", "data")
            found.add([row.number], [f"{row.actual_columns} of {row.expected_columns} fields"])
            return "skip"

        text = dict.fromkeys(self.schema.names, pyarrow.string())
        try:
            reader = pyarrow.csv.open_csv(
                self.path,
                pyarrow.csv.ReadOptions(block_size=BLOCK, use_threads=False, encoding=self.schema.encoding),
                pyarrow.csv.ParseOptions(
                    delimiter=self.schema.delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=odd,
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=text,
                    strings_can_be_null=True,
                    null_values=self.schema.missing,
                ),
            )
            for batch in reader:
                yield batch.to_pandas()
        except (pyarrow.ArrowInvalid, UnicodeError) as error:
            if isinstance(error, UnicodeError) or "UTF8" in str(error):
                raise self._encoding_error() from None
            raise UserError(
                f"{self.path} cannot be read as CSV: {error}.\n"
                "Cure: look for a quote that is never closed, or bring the file again (`dvc checkout`)."
            ) from None

    def _encoding_error(self) -> UserError:
        row, bad = self._undecodable()
        return UserError(
            f"{self.path} is not written in {self.schema.encoding}: row {row} holds {bad!r}.\n"
            "Cure: save it as UTF-8, or name its encoding (latin-1, cp1252, utf-16 …) in params.yaml"
            " under data.encoding."
        )

    def _undecodable(self) -> tuple[int, bytes]:
        """The first row, and the bytes in it, that the encoding cannot mean."""
        with self.path.open("rb") as file:
            for row, line in enumerate(file, 1):
                try:
                    line.decode(self.schema.encoding)
                except UnicodeError as error:
                    return row, line[max(0, error.start - 10) : error.end + 10]
        return 1, b""

    def _violation(self, column: str, rule: str, key: str) -> Violation:
        return self._violations.setdefault((column, rule), Violation(column, rule, key))

    def _row(self, index: int) -> int:
        """The row in the file of the index-th well-formed customer."""
        row = index + 2
        for odd in self._odd_rows:
            row += odd <= row
        return row

    def _check(self, rules: pa.DataFrameSchema, text: pd.DataFrame, offset: int) -> None:
        self._ids.append(pyarrow.array(text[self.schema.id], pyarrow.string()))
        self._classes.update(text[self.schema.target].dropna().unique())
        try:
            rules.validate(text, lazy=True)
        except pa.errors.SchemaErrors as errors:
            found = errors.failure_cases
            for (column, rule), cases in found.groupby(["column", "check"], sort=False):
                rule = "given" if rule == "not_nullable" else rule
                rows = sorted(int(index) for index in cases["index"])
                self._violation(column, rule, self.schema.key(column)).add(
                    [self._row(offset + index) for index in rows[:SHOWN]] + rows[SHOWN:],
                    [text[column][index] for index in rows[:SHOWN]] + rows[SHOWN:],
                )

    def _check_ids(self) -> None:
        ids = pd.Series(pyarrow.chunked_array(self._ids, pyarrow.string()).to_pandas())
        repeated = np.flatnonzero(ids.duplicated(keep=False) & ids.notna())
        if len(repeated):
            self._violation(self.schema.id, "unique", "data.id").add(
                [self._row(index) for index in repeated], list(ids[repeated])
            )

    def _finish(self, read: int) -> None:
        problems = [violation.sentence() for violation in self._violations.values()]
        if not read and not problems:
            problems.append("it has a header but no customer; bring the file again (`dvc checkout`).")
        elif read and len(self._classes & self.schema.classes) == 1:
            (only,) = self._classes & self.schema.classes
            problems.append(
                f"{self.schema.target}: every customer is {only!r}, so there is nothing to learn; bring a"
                " file that holds both classes."
            )
        if problems:
            raise UserError(
                f"{self.path} does not hold what params.yaml declares"
                " (rows are counted as in a spreadsheet, the header is row 1):\n"
                + "\n".join(f"  {problem}" for problem in problems)
            )
