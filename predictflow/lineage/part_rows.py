"""Rows of Parquet parts as text, to compare customers by: in a room of its own, for it imports pyarrow."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow

from stages.data.parquet_text import DECIMAL, NUMBER, WHOLE, NotText, as_text, batches_of, kind_of, opened

NUMBERS = (WHOLE, NUMBER, DECIMAL)


def numbers_in(parts: Iterable[Path]) -> set[str]:
    """The columns that some part holds as numbers."""
    found = set()
    for part in parts:
        with opened(part) as file:
            found |= {field.name for field in file.schema_arrow if kind_of(field.type) in NUMBERS}
    return found


def text_rows(parts: Iterable[tuple[str, Path]], missing: Iterable[str], decimal: str) -> Iterator[list[str]]:
    """The fields of each row, the header first; a missing value is an empty text.

    Raises ValueError where the parts cannot be read, or have not the same columns.
    """
    header: list[str] = []
    for name, part in parts:
        try:
            with opened(part) as file:
                names = file.schema_arrow.names
                if not header:
                    header = names
                    yield header
                if sorted(names) != sorted(header):
                    raise ValueError(f"{name} has other columns than the part before it")
                for batch in batches_of(file, header):
                    columns = [_texts(batch.column(column), list(missing), decimal) for column in header]
                    yield from map(list, zip(*columns, strict=True))
        except (OSError, pyarrow.ArrowException, NotText) as error:
            raise ValueError(f"{name} cannot be read as Parquet: {' '.join(str(error).split())}") from error


def _texts(values: pyarrow.Array, missing: list[str], decimal: str) -> list[str]:
    if kind_of(values.type):
        values = as_text(values, missing, decimal)
    return ["" if value is None else str(value) for value in values.to_pylist()]
