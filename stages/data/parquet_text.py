"""What a column of a Parquet file holds, as the text that a CSV would hold."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.parquet

READ = 8_192  # rows decoded at a time: a row group may be as large as its file
BUFFER = 1 << 20  # bytes of a column that are read ahead

TEXT, WHOLE, NUMBER, DECIMAL = "text", "whole numbers", "numbers", "decimals"
TRUTH, NOTHING = "truth values", "nothing"
KINDS: dict[str, Callable[[pyarrow.DataType], bool]] = {
    TEXT: lambda kind: (
        pyarrow.types.is_string(kind)
        or pyarrow.types.is_large_string(kind)
        or pyarrow.types.is_string_view(kind)
    ),
    WHOLE: pyarrow.types.is_integer,
    NUMBER: lambda kind: kind in (pyarrow.float32(), pyarrow.float64()),
    DECIMAL: pyarrow.types.is_decimal,
    TRUTH: pyarrow.types.is_boolean,
    NOTHING: pyarrow.types.is_null,
}


def opened(path: Path) -> pyarrow.parquet.ParquetFile:
    return pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER)


def batches_of(file: pyarrow.parquet.ParquetFile, columns: list[str]) -> Iterator[pyarrow.RecordBatch]:
    return file.iter_batches(READ, columns=columns, use_threads=False)


class NotText(Exception):
    """A value that is no text, and the first row, from 0, that holds it."""

    def __init__(self, what: str, index: int) -> None:
        super().__init__(what)
        self.index = index


def kind_of(held: pyarrow.DataType) -> str | None:
    """What a column holds; None where that has no text."""
    if pyarrow.types.is_dictionary(held):
        held = held.value_type
    return next((kind for kind, is_it in KINDS.items() if is_it(held)), None)


def as_text(values: pyarrow.Array, missing: Collection[str], decimal: str) -> pyarrow.DictionaryArray:
    """A column of some kind as a CSV writes it; a missing value, and a text that stands for one, as null.

    Raises NotText for bytes that are no UTF-8, or a zero byte.
    """
    kind = kind_of(values.type)
    if not pyarrow.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    if pyarrow.types.is_null(values.dictionary.type):
        return pyarrow.nulls(len(values), pyarrow.string()).dictionary_encode()
    if kind == TEXT:
        _ensure_text(values)
    text = values.dictionary.cast(pyarrow.string())
    if kind in (NUMBER, DECIMAL) and decimal != ".":
        text = pyarrow.compute.replace_substring(text, ".", decimal)
    stands_for_none = pyarrow.compute.is_in(text, pyarrow.array(list(missing), pyarrow.string()))
    text = pyarrow.compute.if_else(stands_for_none, pyarrow.scalar(None, pyarrow.string()), text)
    once = text.dictionary_encode()  # two values may be written alike
    return pyarrow.DictionaryArray.from_arrays(once.indices.take(values.indices), once.dictionary)


def _ensure_text(values: pyarrow.DictionaryArray) -> None:
    held = values.dictionary.cast(pyarrow.large_string())
    try:
        held.validate(full=True)
        wrong = pyarrow.compute.index(pyarrow.compute.match_substring(held, "\0"), True).as_py()
        what = "it holds a zero byte"
    except pyarrow.ArrowInvalid:
        texts = held.cast(pyarrow.large_binary()).to_pylist()
        wrong = next(place for place, text in enumerate(texts) if text is not None and not _is_utf8(text))
        what = f"{texts[wrong][:30]!r} is no UTF-8"
    if wrong >= 0:
        raise NotText(what, pyarrow.compute.index(values.indices, wrong).as_py())


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
