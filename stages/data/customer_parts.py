"""Customers in a folder of Parquet parts: the same checks as of a CSV, and what comes out is the same.

Each value is looked at as the text that a CSV of these customers would hold, so that a column may be of any
type that has one.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet

from stages.data.customers import Customers
from stages.data.parquet_text import (
    DECIMAL,
    NOTHING,
    NUMBER,
    TRUTH,
    NotText,
    as_text,
    batches_of,
    kind_of,
    opened,
)
from stages.data.schema import SHOWN, Schema
from stages.support.errors import UserError
from stages.support.hashes import ensure_unchanged, folder_md5, md5s
from stages.support.parallel import ahead

BATCH = 65_536  # customers worked on at a time


def bring(folder: Path) -> str:
    return f"`dvc checkout {folder}.dvc`, or `dvc pull {folder}.dvc`"


def parts(folder: Path) -> list[Path]:
    """Its parts, which follow one another by name.

    Raises UserError where there is none, and for anything else: it would be part of the md5 that DVC knows
    the customers by, and of no model.
    """
    if not folder.is_dir():
        what = "is a file, and no folder of Parquet parts" if folder.exists() else "is not here"
        raise UserError(
            f"{folder} {what}.\nCure: {bring(folder)}; or set customers to {folder}.csv in params.yaml."
        )
    found = sorted(folder.iterdir(), key=lambda path: path.name)
    for path in found:
        if path.is_dir():
            raise UserError(
                f"{path} is a folder: what the names of folders say of customers (`plan=basic/`) stands in"
                f" no column of theirs.\nCure: write the parts side by side into {folder}, every column in"
                " each of them (Spark: without partitionBy)."
            )
    strays = [path for path in found if path.suffix != ".parquet" or path.name.startswith((".", "_"))]
    if strays:
        more = f" and {len(strays) - SHOWN} more" if len(strays) > SHOWN else ""
        raise UserError(
            f"{folder} holds what is no part: {', '.join(path.name for path in strays[:SHOWN])}{more}. Parts"
            " are named *.parquet, and do not begin with . or _.\n"
            f"Cure: take it out of {folder}, then `dvc add {folder}`: DVC would count it into the md5."
        )
    for path in found:
        if not path.is_file():
            raise UserError(
                f"{path} is a link to nothing, a pipe or a device, not a file.\nCure: {bring(folder)}."
            )
    if not found:
        raise UserError(f"{folder} is empty.\nCure: {bring(folder)}.")
    return found


@contextmanager
def unchanged_parts(folder: Path) -> Iterator[dict[str, str]]:
    """Hold the parts still: {folder: its md5, as DVC counts it} before the work, compared again after it."""
    before = md5s(*parts(folder))
    yield {folder.as_posix(): folder_md5({Path(path).name: md5 for path, md5 in before.items()})}
    now = [path.as_posix() for path in parts(folder)]
    if moved := sorted({*before} ^ {*now}):
        raise UserError(
            f"{moved[0]} {'came' if moved[0] in now else 'went'} while the stage was running.\n"
            "Cure: let nothing write to it, then run `dvc repro` again."
        )
    ensure_unchanged(before)


class CustomerParts(Customers):
    """Parquet parts of customers, read in batches that are checked as they come.

    Rows are counted from 1 in each part. What cannot be read ends it at once.
    """

    counted = "rows are counted from 1 in each part"
    corrected = "the parts"
    empty = "its parts hold no customer; write them again."

    def __init__(self, folder: Path, schema: Schema) -> None:
        """Raises UserError where a part is none, or has not the columns of the schema."""
        super().__init__(folder, schema)
        self._parts = parts(folder)
        self._read = 0
        self._begun: list[tuple[int, Path]] = []  # how many rows were read before each part
        self._kinds = self._check_columns()

    def _columns(self) -> Collection[str]:
        return self._kinds

    def _check_columns(self) -> dict[str, str | None]:
        """{column: its kind} of what is read."""
        found: dict[str, str | None] = {}
        for part in self._parts:
            with self._opened(part) as file:
                held = file.schema_arrow
            problems = self._unfit_columns(held.names)
            read = [*self.schema.columns, self.schema.id, self.schema.target]
            for name in [] if problems else read:
                held_as = held.field(name).type
                kind = kind_of(held_as)
                if unfit := self._unfit_kind(name, kind, held_as):
                    problems.append(unfit)
                elif found.setdefault(name, kind) == NOTHING:
                    found[name] = kind
                elif kind not in (found[name], NOTHING):
                    problems.append(
                        f"{name}: it holds {kind}, and in a part before it {found[name]}; write all parts"
                        " with the same types."
                    )
            self._problems += [f"{part.name}: {problem}" for problem in problems]
            if self._problems:
                self._finish(0)
        return found

    def _unfit_kind(self, name: str, kind: str | None, held: pyarrow.DataType) -> str | None:
        if kind is None:
            return (
                f"{name}: it is of the type {held}, which no CSV could hold; write it as text or as a number,"
                f" or set type: ignored in {self.schema.key(name)}."
            )
        if name == self.schema.id and kind in (NUMBER, DECIMAL, TRUTH):
            return f"{name}: {kind} ({held}) name no customer; write it as text or as a whole number."
        return None

    @contextmanager
    def _opened(self, part: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
        """Raises UserError for what pyarrow cannot read, also while it is being read."""
        try:
            with opened(part) as file:
                yield file
        except (OSError, pyarrow.ArrowException) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            below = f" below row {self._last_row(part)}" if self._last_row(part) else ""
            raise UserError(
                f"{part} cannot be read as Parquet{below}: {' '.join(str(error).split())}\n"
                f"Cure: {bring(self.path)}; or write it again, then `dvc add {self.path}`."
            ) from error

    def _last_row(self, part: Path) -> int:
        return self._read - self._begun[-1][0] if self._begun and self._begun[-1][1] == part else 0

    def _text(self) -> Iterator[pd.DataFrame]:
        worked_on = 0
        for table in ahead(self._tables()):
            text = table.to_pandas()
            text.index += worked_on
            worked_on += len(text)
            yield text

    def _tables(self) -> Iterator[pyarrow.Table]:
        """Of BATCH rows, across parts: many small ones are worked on together."""
        waiting: list[pyarrow.RecordBatch] = []
        for part in self._parts:
            self._begun.append((self._read, part))
            with self._opened(part) as file:
                for batch in batches_of(file, list(self._kinds)):
                    waiting.append(self._as_text(part, batch))
                    self._read += len(batch)
                    if sum(map(len, waiting)) >= BATCH:
                        yield pyarrow.Table.from_batches(waiting).unify_dictionaries()
                        waiting = []
        if waiting:
            yield pyarrow.Table.from_batches(waiting).unify_dictionaries()

    def _as_text(self, part: Path, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        columns = {}
        for name in self._kinds:
            values = batch.column(name)
            try:
                column = as_text(values, self.schema.missing, self.schema.decimal)
            except NotText as error:
                row = self._last_row(part) + error.index + 1
                raise UserError(
                    f"{part}: row {row}, column {name}: {error}.\nCure: correct it, then `dvc add"
                    f" {self.path}`."
                ) from None
            columns[name] = column if name in self.schema.repeating else column.dictionary_decode()
        return pyarrow.RecordBatch.from_pydict(columns)

    def _places(self, indices: np.ndarray) -> list[str]:
        firsts = np.array([first for first, _ in self._begun])
        places = np.searchsorted(firsts, indices, side="right") - 1
        return [
            f"{self._begun[place][1].name} row {index - self._begun[place][0] + 1}"
            for index, place in zip(indices, places, strict=True)
        ]
