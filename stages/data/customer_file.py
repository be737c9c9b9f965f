"""A customer file, read batch by batch and held to the schema."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow.csv
from pandas.util import hash_array

from stages.data import csv_text
from stages.data.schema import SHOWN, Schema, Violation, shorten
from stages.support.errors import UserError
from stages.support.parallel import ahead

BLOCK = 4 << 20  # bytes of CSV parsed at a time; pyarrow reads 32 of them ahead
BATCH = 4  # blocks worked on at a time: some 100,000 customers


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
        # Of the ids, and of the normalized form of those that have another.
        self._hashes: list[np.ndarray] = []
        self._classes: set[str] = set()
        self._hollow: list[int] = []  # as _text counts them
        quoted, last = csv_text.scan(path, schema.encoding)
        self._may_be_cut = last not in '\r\n"'
        self._names = self._check_header()
        if quoted and (sentence := csv_text.open_quote(path, schema.encoding, schema.delimiter)):
            self._problems.append(sentence)

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
        self._check_hollow()
        self._check_ids()
        self._finish(read)

    def _check_header(self) -> list[str]:
        """The names in the header, each at its place."""
        wanted = self.schema.names
        names = csv_text.header(self.path, self.schema.encoding, self.schema.delimiter, self.schema.id)
        counts = Counter(names)
        undeclared = [shorten(name) for name in counts if name not in wanted]
        found = [f"column {name!r} is missing" for name in wanted if name not in counts]
        found += [f"column {name!r} stands there {counts[name]} times" for name in wanted if counts[name] > 1]
        found += [f"column {name!r} is not declared" for name in undeclared[:SHOWN]]
        if len(undeclared) > SHOWN:
            found.append(f"{len(undeclared) - SHOWN} more columns are not declared")
        cure = (
            "correct the header, or declare the columns in params.yaml under data.columns (type: ignored"
            " for one that no model should see)"
        )
        self._problems += [f"{problem}; {cure}." for problem in found]
        if not set(wanted) & set(names):
            self._finish(0)
        return names

    def _text(self) -> Iterator[pd.DataFrame]:
        """Frames of text, missing values as nulls; the index counts the well-formed rows from 0."""

        odd: list[pyarrow.csv.InvalidRow] = []  # since the last batch

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            odd.append(row)
            return "skip"

        def parsed(reader: pyarrow.csv.CSVStreamingReader) -> Iterator[tuple[pyarrow.Table, list]]:
            blocks: list[pyarrow.RecordBatch] = []
            try:
                for block in reader:
                    blocks.append(block)
                    if len(blocks) == BATCH:
                        yield joined(blocks)
                        blocks = []
            except pyarrow.ArrowInvalid:
                if blocks:
                    yield joined(blocks)
                raise
            if blocks:
                yield joined(blocks)

        def joined(blocks: list[pyarrow.RecordBatch]) -> tuple[pyarrow.Table, list[pyarrow.csv.InvalidRow]]:
            new, odd[:] = odd[:], []
            return pyarrow.Table.from_batches(blocks).unify_dictionaries(), new

        read, last = 0, pd.DataFrame()
        # Columns go by their place: a name may stand in the header twice.
        wanted = {name: str(self._names.index(name)) for name in self.schema.names if name in self._names}
        repeating = {
            name: pyarrow.dictionary(pyarrow.int32(), pyarrow.string()) for name in self.schema.repeating
        }
        kinds = {place: repeating.get(name, pyarrow.string()) for name, place in wanted.items()}
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
                    invalid_row_handler=skip,
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=kinds,
                    include_columns=list(wanted.values()),
                    strings_can_be_null=True,
                    null_values=self.schema.missing,
                ),
            )
            for batch, before in ahead(parsed(reader)):
                self._add_odd(before)
                text = batch.rename_columns(list(wanted)).to_pandas()
                text.index += read
                read += len(text)
                last = text.tail(1) if len(text) else last
                yield self._without_hollow(text)
            self._add_odd(odd)
            if self._may_be_cut:
                self._check_end(last)
        except pyarrow.ArrowInvalid as error:
            self._add_odd(odd)
            # pyarrow finds no block in a header without a line feed: no customer, told of at the end.
            alone = "straddling" in str(error) and self.path.stat().st_size < BLOCK
            if alone or self._problems:  # a quote that is never closed has been told of
                return
            row = self._rows(np.array([read - 1]))[0] if read else 1
            what = f"it cannot be read below row {row} ({error}); bring it again (`dvc checkout`)."
            if "straddling" in str(error):
                what = (
                    f"a row below row {row} is longer than {BLOCK:,} bytes; look for a quote that is never"
                    " closed, or for rows that do not end in a line feed."
                )
            self._problems.append(f"the file: {what}")

    def _add_odd(self, rows: list[pyarrow.csv.InvalidRow]) -> None:
        for row in rows:
            self._odd_rows.append(row.number)
            fields = f"{row.actual_columns} of {row.expected_columns} fields"
            self._violation("the file", "fields", "data").add(1, [row.number], [fields])

    def _without_hollow(self, text: pd.DataFrame) -> pd.DataFrame:
        """The rows that hold a value; most rows hold an id, so only the others are looked at whole."""
        nameless = text
        if self.schema.id in text:
            ids = text[self.schema.id]
            nameless = text[ids.isna() | (ids == "")]
        hollow = nameless.index[(nameless.isna() | (nameless == "")).all(axis=1)]
        if hollow.empty:
            return text
        self._hollow += hollow.tolist()
        kept = text.drop(hollow)
        shared = [name for name in self.schema.repeating if name in kept]
        return kept.assign(**{name: kept[name].cat.remove_unused_categories() for name in shared})

    def _violation(self, column: str, rule: str, key: str) -> Violation:
        return self._violations.setdefault((column, rule), Violation(column, rule, key))

    def _rows(self, indices: np.ndarray) -> list[int]:
        """The rows in the file of the well-formed rows that these indices count."""
        odd = np.array(self._odd_rows, dtype="int64")
        rows = np.asarray(indices, dtype="int64") + 2
        return (rows + np.searchsorted(odd - np.arange(len(odd)), rows, side="right")).tolist()

    def _check(self, rules: pa.DataFrameSchema, rows: pd.DataFrame, text: pd.DataFrame) -> None:
        if self.schema.id in text:
            self._note_ids(text[self.schema.id].dropna())
        if self.schema.target in text:
            self._classes.update(text[self.schema.target].dropna().unique())
        for column, unfit in self.schema.marked(text, rows).items():
            if unfit.any():
                self._add(column, "whole", unfit.sum(), text[column][unfit][:SHOWN])
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

    def _check_end(self, last: pd.DataFrame) -> None:
        """A last row without a line end may be cut inside its last value, and nothing else would show it."""
        column = self._names[-1]
        for row, value in zip(self._rows(last.index), last.get(column, []), strict=False):
            if row > max(self._odd_rows, default=0) and self.schema.may_be_cut(column, value):
                self._problems.append(
                    f"{column}: row {row}, the last one, has no line end, so its value {value!r} may be cut"
                    " short; bring the file again (`dvc checkout`), or end the row with a line feed."
                )

    def _check_hollow(self) -> None:
        """An empty line is no customer; a row of nothing but missing values is none either, but is told."""
        if self._hollow:
            csv = (self.path, self.schema.encoding, self.schema.delimiter)
            rows = csv_text.not_blank(*csv, frozenset(self._rows(np.array(self._hollow))))
            if rows:
                shown = rows[:SHOWN]
                self._violation("the file", "hollow", "data").add(len(rows), shown, [""] * len(shown))

    def _note_ids(self, ids: pd.Series) -> None:
        written = ids.to_numpy(dtype=object)
        other = [normal for id_ in written if (normal := unicodedata.normalize("NFC", id_)) != id_]
        self._ids.append(ids)
        self._hashes += [
            hash_array(np.array(texts, dtype=object), categorize=False) for texts in (written, other)
        ]

    def _check_ids(self) -> None:
        """No customer twice. Equal ids have equal hashes: only of those is an id looked at."""
        hashes = np.concatenate([np.empty(0, "uint64"), *self._hashes])
        hashes.sort()
        if not (hashes[1:] == hashes[:-1]).any():
            return
        ids = pd.concat(self._ids)
        repeated = ids.duplicated(keep=False)
        alike = ids.str.normalize("NFC").duplicated(keep=False) & ~repeated
        for rule, unfit in {"unique": repeated, "alike": alike}.items():
            if unfit.any():
                self._add(self.schema.id, rule, unfit.sum(), ids[unfit][:SHOWN])

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
