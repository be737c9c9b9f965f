"""A file of customers to be scored, batch by batch: Parquet, or a CSV as the model's own params have it."""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from stages.data import csv_text
from stages.data.schema import Schema
from stages.support.errors import UserError
from stages.support.parallel import ahead

BLOCK = 1 << 18  # bytes of CSV parsed at a time; pyarrow reads 32 of them ahead
BATCH = 25_000  # customers worked on at a time
READERS = (".csv", ".parquet")  # the endings of what can be read, and written


@dataclass(frozen=True)
class Batch:
    """Some customers of a file, one a row; the index of both frames counts from 0.

    Attributes:
        rows: where each stands in the file, int64 (n,): the first customer is row 1.
        given: the id and the model's columns as the file has them, those of a CSV as text.
        typed: the same with numbers as numbers; what is none in a CSV is infinite.
        malformed: {row: what is wrong} of rows beside these that could not be cut into fields.
        empty: how many lines were left out because nothing stands in them.
    """

    rows: np.ndarray
    given: pd.DataFrame
    typed: pd.DataFrame
    malformed: dict[int, str]
    empty: int


def read_batches(path: Path, schema: Schema) -> Generator[Batch]:
    """The customers of a file, in its order.

    Args:
        schema: the `data` block that the model was made with.

    Raises UserError where this is no file that it can read, or one without the columns.
    """
    try:
        yield from (_read_parquet if path.suffix.lower() == ".parquet" else _read_csv)(path, schema)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of what the file holds
        if "straddling" in str(error) and path.stat().st_size < BLOCK:
            return  # a header without a line feed
        raise UserError(
            f"{path} cannot be read: {' '.join(str(error).split())}.\nCure: bring the file again, whole."
        ) from error


def _read_parquet(path: Path, schema: Schema) -> Iterator[Batch]:
    names = [schema.id, *schema.columns]
    with pyarrow.parquet.ParquetFile(path) as file:
        _check_names(path, file.schema_arrow.names, names)
        for name in names:
            kind = file.schema_arrow.field(name).type
            if pyarrow.types.is_nested(kind):
                raise UserError(
                    f"{path}: the column {name} holds a {kind} in each row.\nCure: give it one value a row."
                )
        read = 0
        for batch in file.iter_batches(BATCH, columns=names, use_threads=False):
            given = batch.to_pandas(ignore_metadata=True)
            if isinstance(kind := given[schema.id].dtype, pd.CategoricalDtype):
                given[schema.id] = given[schema.id].astype(kind.categories.dtype)
            yield Batch(np.arange(read + 1, read + len(given) + 1), given, given, {}, 0)
            read += len(given)


def _read_csv(path: Path, schema: Schema) -> Iterator[Batch]:
    names = [schema.id, *schema.columns]
    header = _check_text(path, schema)
    _check_names(path, header, names)
    malformed: list[pyarrow.csv.InvalidRow] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        malformed.append(row)
        return "skip"

    read = told = 0
    for table in ahead(_tables(path, schema, header, names, note)):
        given = table.to_pandas()
        noted = malformed.copy()  # the next batch is being read meanwhile
        odd = np.array([row.number - 1 for row in noted], dtype="int64")
        rows = _rows_in_file(np.arange(read + 1, read + len(given) + 1), odd)
        read += len(given)
        new, told = noted[told:], len(noted)
        empty = _is_empty(given, schema.id)
        given, rows = given[~empty].reset_index(drop=True), rows[~empty]
        wrong = {
            row.number - 1: f"it has {row.actual_columns} of {row.expected_columns} fields" for row in new
        }
        typed = schema.numbers(given)
        for name, marked in schema.marked(given, typed).items():  # 1.000 is a thousand to some
            typed[name] = typed[name].mask(marked, np.inf)
        yield Batch(rows, given, typed, wrong, int(empty.sum()))


def _check_text(path: Path, schema: Schema) -> list[str]:
    """The names in a CSV's header. Raises UserError where it is not written as the params say."""
    problem = None
    try:
        quoted, _ = csv_text.scan(path, schema.encoding)
        header = csv_text.header(path, schema.encoding, schema.delimiter, schema.id)
        if quoted:
            problem = csv_text.open_quote(path, schema.encoding, schema.delimiter)
    except UserError as error:  # its cure is that of the file which a model learns from
        problem = str(error).partition("\nCure: ")[0]
    if problem:
        raise UserError(
            f"{path}: {problem.removeprefix(f'{path} ')}\nCure: save it as the file that the model learned"
            f" from: {schema.encoding}, split by {schema.delimiter!r}, its header in the first line."
        )
    return header


def _check_names(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise UserError where a column that the model needs is missing, or stands there more than once."""
    counts = Counter(found)
    problems = [f"the column {name} is missing" for name in wanted if not counts[name]]
    problems += [
        f"the column {name} stands there {counts[name]} times" for name in wanted if counts[name] > 1
    ]
    if problems:
        raise UserError(
            f"{path}: {'; '.join(problems)}.\nCure: give it every column that the model learned from, once,"
            f" and {wanted[0]}, the id; other columns do no harm."
        )


def _tables(
    path: Path, schema: Schema, header: list[str], names: list[str], note: object
) -> Iterator[pyarrow.Table]:
    """The columns of a CSV as text, missing values as nulls, values that repeat held once."""
    repeating = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    # Columns go by their place: other names may stand in the header twice.
    kinds = {
        str(header.index(name)): repeating if name in schema.columns else pyarrow.string() for name in names
    }
    reader = pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(
            block_size=BLOCK,
            use_threads=False,
            encoding=schema.encoding,
            column_names=[str(at) for at in range(len(header))],
            skip_rows_after_names=1,
        ),
        pyarrow.csv.ParseOptions(
            delimiter=schema.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=False,  # they count as rows
            invalid_row_handler=note,
        ),
        pyarrow.csv.ConvertOptions(
            column_types=kinds,
            include_columns=list(kinds),
            strings_can_be_null=True,
            null_values=schema.missing,
        ),
    )
    blocks: list[pyarrow.RecordBatch] = []
    for block in reader:
        blocks.append(block)
        if sum(map(len, blocks)) >= BATCH:
            yield _joined(blocks, names)
            blocks = []
    yield _joined(blocks, names, reader.schema)


def _joined(
    blocks: list[pyarrow.RecordBatch], names: list[str], schema: pyarrow.Schema | None = None
) -> pyarrow.Table:
    return pyarrow.Table.from_batches(blocks, schema).unify_dictionaries().rename_columns(names)


def _rows_in_file(counted: np.ndarray, malformed: np.ndarray) -> np.ndarray:
    """The rows in the file of well-formed ones, which were counted from 1 without the malformed ones."""
    return counted + np.searchsorted(malformed - np.arange(len(malformed)), counted, side="right")


def _is_empty(given: pd.DataFrame, id_column: str) -> np.ndarray:
    """Which rows are an empty line, bool (n,); only those without an id are looked at whole."""
    ids = given[id_column]
    empty = np.array(ids.isna() | (ids == ""))
    nameless = given[empty]
    empty[empty] = (nameless.isna() | (nameless == "")).all(axis=1).to_numpy()
    return empty
