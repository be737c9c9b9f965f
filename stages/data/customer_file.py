"""A customer file, a CSV."""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv

from stages.data import csv_text
from stages.data.customers import Customers
from stages.data.schema import BRING, SHOWN, Schema
from stages.support.parallel import ahead

BLOCK = 4 << 20  # bytes of CSV parsed at a time; pyarrow reads 32 of them ahead
BATCH = 4  # blocks worked on at a time: some 100,000 customers


class CustomerFile(Customers):
    """A CSV of customers, read in batches that are checked as they come.

    Rows are numbered as a spreadsheet does: the header is row 1.
    """

    counted = "rows are counted as in a spreadsheet, the header is row 1"
    corrected = "the header"
    empty = f"it has a header but no customer; bring the file again ({BRING})."

    def __init__(self, path: Path, schema: Schema) -> None:
        """Raises UserError where this is not the file, or not one that the schema can read."""
        super().__init__(path, schema)
        self._odd_rows: list[int] = []
        self._hollow: list[int] = []  # as _text counts them
        quoted, last = csv_text.scan(path, schema.encoding)
        self._may_be_cut = last not in '\r\n"'
        self._names = csv_text.header(path, schema.encoding, schema.delimiter, schema.id)
        self._problems += self._unfit_columns(self._names)
        if not set(schema.names) & set(self._names):
            self._finish(0)
        if quoted and (sentence := csv_text.open_quote(path, schema.encoding, schema.delimiter)):
            self._problems.append(sentence)

    def _columns(self) -> Collection[str]:
        return self._names

    def _text(self) -> Iterator[pd.DataFrame]:
        """Of the well-formed rows."""

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
            what = f"it cannot be read below row {row} ({error}); bring it again ({BRING})."
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
            self._violation("the file", "fields", "data").add(1, [f"row {row.number}"], [fields])

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

    def _rows(self, indices: np.ndarray) -> list[int]:
        """The rows in the file of the well-formed rows that these indices count."""
        odd = np.array(self._odd_rows, dtype="int64")
        rows = np.asarray(indices, dtype="int64") + 2
        return (rows + np.searchsorted(odd - np.arange(len(odd)), rows, side="right")).tolist()

    def _places(self, indices: np.ndarray) -> list[str]:
        return [f"row {row}" for row in self._rows(indices)]

    def _check_end(self, last: pd.DataFrame) -> None:
        """A last row without a line end may be cut inside its last value, and nothing else would show it."""
        column = self._names[-1]
        for row, value in zip(self._rows(last.index), last.get(column, []), strict=False):
            if row > max(self._odd_rows, default=0) and self.schema.may_be_cut(column, value):
                self._problems.append(
                    f"{column}: row {row}, the last one, has no line end, so its value {value!r} may be cut"
                    f" short; bring the file again ({BRING}), or end the row with a line feed."
                )

    def _check_whole(self) -> None:
        """An empty line is no customer; a row of nothing but missing values is none either, but is told."""
        if self._hollow:
            csv = (self.path, self.schema.encoding, self.schema.delimiter)
            rows = csv_text.not_blank(*csv, frozenset(self._rows(np.array(self._hollow))))
            if rows:
                shown = [f"row {row}" for row in rows[:SHOWN]]
                self._violation("the file", "hollow", "data").add(len(rows), shown, [""] * len(shown))
        super()._check_whole()
