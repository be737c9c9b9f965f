"""A customer file, read batch by batch and held to the schema."""

import codecs
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow.csv

from stages.data.schema import SHOWN, Schema, Violation, shorten
from stages.support.errors import UserError

BLOCK = 16 << 20  # bytes of CSV read at a time: some 100,000 customers


class CustomerFile:
    """A CSV of customers, read in batches that are checked as they come.

    Rows are numbered as a spreadsheet does: the header is row 1.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        """Raises UserError where this is not the file, or not one that the schema can read."""
        self.path, self.schema = path, schema
        self._problems: list[str] = []
        self._violations: dict[tuple[str, str], Violation] = {}
        self._odd_rows: list[int] = []
        self._ids: list[pd.Series] = []
        self._classes: set[str] = set()
        quoted = self._check_encoding()
        self._names = self._check_header()
        if quoted:
            self._check_quotes()

    def batches(self) -> Iterator[pd.DataFrame]:
        """Clean frames, in the file's order.

        Raises UserError at the end, with every violation of the whole file, if there is one: nothing
        that was made of these frames may be kept then.
        """
        rules, read = self.schema.rules(self._names), 0
        for text in self._text():
            rows = self.schema.numbers(text)
            self._check(rules, rows, text)
            read += len(text)
            if len(text) and not self._problems and not self._violations:
                yield self.schema.clean(rows)
        self._check_ids()
        self._finish(read)

    def _check_encoding(self) -> bool:
        """Raises UserError at the first bytes that the encoding cannot mean; True if there is a quote."""
        decoder = codecs.getincrementaldecoder(self.schema.encoding)()
        row, quoted, chunk = 1, False, b"x"
        try:
            with self.path.open("rb") as file:
                while chunk:
                    chunk = file.read(1 << 20)
                    text = decoder.decode(chunk, final=not chunk)
                    if "\0" in text:  # UTF-16 taken for an encoding of bytes, or no text at all
                        row += text[: text.index("\0")].count("\n")
                        raise UnicodeError(f"row {row} holds a zero byte")
                    row, quoted = row + text.count("\n"), quoted or '"' in text
        except UnicodeError as error:
            what = str(error)
            if isinstance(error, UnicodeDecodeError):
                row += error.object[: error.start].decode(self.schema.encoding, "ignore").count("\n")
                what = f"row {row} holds {error.object[max(0, error.start - 10) : error.end + 10]!r}"
            raise UserError(
                f"{self.path} is not written in {self.schema.encoding}: {what}.\n"
                "Cure: save it as UTF-8, or name its encoding (latin-1, cp1252, utf-16 …) in params.yaml"
                " under data.encoding."
            ) from None
        return quoted

    def _check_header(self) -> list[str]:
        """The names in the header, each at its place."""
        delimiter, wanted = self.schema.delimiter, self.schema.names
        names = self._first_row(delimiter)
        if not names:
            raise UserError(
                f"{self.path} is empty, or begins with an empty line.\n"
                f"Cure: bring it again (`dvc checkout {self.path}.dvc`), its header in the first line."
            )
        if self.schema.id not in names:
            for other in ",;\t|":
                if other != delimiter and self.schema.id in self._first_row(other):
                    raise UserError(
                        f"{self.path} is not split by {delimiter!r} but by {other!r}.\n"
                        f"Cure: set data.delimiter to {other!r} in params.yaml."
                    )
        counts = Counter(names)
        found = [f"column {name!r} is missing" for name in wanted if name not in counts]
        found += [f"column {name!r} stands there {n} times" for name, n in counts.items() if n > 1]
        found += [f"column {shorten(name)!r} is not declared" for name in counts if name not in wanted]
        cure = (
            "correct the header, or declare the columns in params.yaml under data.columns (type: ignored"
            " for one that no model should see)"
        )
        self._problems += [f"{problem}; {cure}." for problem in found]
        if not set(wanted) & set(names):
            self._finish(0)
        return names

    def _first_row(self, delimiter: str) -> list[str]:
        with self._open() as file:
            try:
                return next(csv.reader(file, delimiter=delimiter), [])
            except csv.Error:  # a quote that is never closed
                return [file.name]

    def _open(self) -> TextIO:
        """The file as text, after its byte order mark if it has one."""
        file = self.path.open(encoding=self.schema.encoding, newline="")
        if file.read(1) != "\ufeff":
            file.seek(0)
        return file

    def _check_quotes(self) -> None:
        """A quote that is never closed swallows the rows below it, whole and unseen: look for it."""
        row = 1
        try:
            with self._open() as file:
                for _ in csv.reader(file, delimiter=self.schema.delimiter, strict=True):
                    row += 1
        except csv.Error:
            self._problems.append(
                f"the file: a quote is not closed in row {row}, so where its values end cannot be told;"
                ' close it, or write " that belongs to a value as "" in a quoted value.'
            )

    def _text(self) -> Iterator[pd.DataFrame]:
        """Frames of text, missing values as nulls; the index counts the well-formed rows from 0."""

        def odd(row: pyarrow.csv.InvalidRow) -> str:
            self._odd_rows.append(row.number)
            fields = f"{row.actual_columns} of {row.expected_columns} fields"
            self._violation("the file", "fields", "data").add(1, [row.number], [fields])
            return "skip"

        # Columns go by their place: a name may stand in the header twice.
        wanted = {name: str(self._names.index(name)) for name in self.schema.names if name in self._names}
        try:
            reader = pyarrow.csv.open_csv(
                self.path,
                pyarrow.csv.ReadOptions(
                    block_size=BLOCK,
                    use_threads=False,
                    encoding=self.schema.encoding,
                    column_names=[str(at) for at in range(len(self._names))],
                    skip_rows_after_names=1,
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=self.schema.delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=False,  # they count as rows
                    invalid_row_handler=odd,
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(wanted.values(), pyarrow.string()),
                    include_columns=list(wanted.values()),
                    strings_can_be_null=True,
                    null_values=self.schema.missing,
                ),
            )
            read = 0
            for batch in reader:
                text = batch.rename_columns(list(wanted)).to_pandas()
                text.index += read
                read += len(text)
                # An empty line is no customer.
                yield text[~(text.isna() | (text == "")).all(axis=1)]
        except pyarrow.ArrowInvalid as error:
            # pyarrow finds no block in a header without a line feed: no customer, told of at the end.
            alone = "straddling" in str(error) and self.path.stat().st_size < BLOCK
            if not alone and not self._problems:  # a quote that is never closed has been told of
                self._problems.append(
                    f"the file: it cannot be read ({error}); bring it again (`dvc checkout`)."
                )

    def _violation(self, column: str, rule: str, key: str) -> Violation:
        return self._violations.setdefault((column, rule), Violation(column, rule, key))

    def _rows(self, indices: np.ndarray) -> list[int]:
        """The rows in the file of the well-formed rows that these indices count."""
        odd = np.array(self._odd_rows, dtype="int64")
        rows = np.asarray(indices, dtype="int64") + 2
        return (rows + np.searchsorted(odd - np.arange(len(odd)), rows, side="right")).tolist()

    def _check(self, rules: pa.DataFrameSchema, rows: pd.DataFrame, text: pd.DataFrame) -> None:
        if self.schema.id in text:
            self._ids.append(text[self.schema.id])
        if self.schema.target in text:
            self._classes.update(text[self.schema.target].dropna().unique())
        try:
            rules.validate(rows, lazy=True)
        except pa.errors.SchemaErrors as errors:
            for error in errors.schema_errors:
                column, rule, fits = error.schema.name, error.check.error, error.check_output
                unfit = fits.index[~fits.astype(bool)]
                self._add(column, rule, len(unfit), text[column][unfit[:SHOWN]])

    def _add(self, column: str, rule: str, count: int, first: pd.Series) -> None:
        """Count rows in; `first` are the first SHOWN of them, as text."""
        violation = self._violation(column, rule, self.schema.key(column))
        violation.add(count, self._rows(first.index), first.tolist())

    def _check_ids(self) -> None:
        if not self._ids:
            return
        ids = pd.concat(self._ids)
        repeated = ids[ids.duplicated(keep=False) & ids.notna()]
        if len(repeated):
            self._add(self.schema.id, "unique", len(repeated), repeated[:SHOWN])

    def _finish(self, read: int) -> None:
        problems = self._problems + [violation.sentence() for violation in self._violations.values()]
        seen = self._classes & {self.schema.positive, self.schema.negative}
        if not read and not problems:
            problems.append("it has a header but no customer; bring the file again (`dvc checkout`).")
        elif len(seen) == 1:
            problems.append(
                f"{self.schema.target}: every customer is {seen.pop()!r}, so there is nothing to learn;"
                " bring a file that holds both classes."
            )
        if problems:
            raise UserError(
                f"{self.path} does not hold what params.yaml declares"
                " (rows are counted as in a spreadsheet, the header is row 1):\n"
                + "\n".join(f"  {problem}" for problem in problems)
            )
