"""A CSV as text, before any of its values is looked at: its encoding, its header, quotes and row ends."""

import codecs
import csv
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.support.errors import UserError

LONGEST = 16 << 20  # characters of a value
OTHER_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # that some programs end a row with, and no reader of CSV


def scan(path: Path, encoding: str) -> tuple[bool, str]:
    """Whether there is a quote, and the last character.

    Raises UserError at the first bytes that the encoding cannot mean.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    row, quoted, last, chunk = 1, False, "", b"x"
    try:
        with path.open("rb") as file:
            while chunk:
                chunk = file.read(1 << 20)
                text = decoder.decode(chunk, final=not chunk)
                if "\0" in text:  # UTF-16 taken for an encoding of bytes, or no text at all
                    row += text[: text.index("\0")].count("\n")
                    raise UnicodeError(f"row {row} holds a zero byte")
                text.encode()  # it is handed on as UTF-8, which holds no half of a character
                row, quoted, last = row + text.count("\n"), quoted or '"' in text, text[-1:] or last
    except UnicodeError as error:
        what = str(error)
        if isinstance(error, UnicodeEncodeError):
            row += error.object[: error.start].count("\n")
            what = f"row {row} holds half a character"
        if isinstance(error, UnicodeDecodeError):
            row += error.object[: error.start].decode(encoding, "ignore").count("\n")
            what = f"row {row} holds {error.object[max(0, error.start - 10) : error.end + 10]!r}"
        raise UserError(
            f"{path} is not written in {encoding}: {what}.\n"
            "Cure: save it as UTF-8, or name its encoding (latin-1, cp1252, utf-16 …) in params.yaml"
            " under data.encoding."
        ) from None
    return quoted, last


def header(path: Path, encoding: str, delimiter: str, wanted: str) -> list[str]:
    """The names in the first row.

    Raises UserError where there is none, or where `wanted` stands in it if it is cut otherwise.
    """
    names = _first_row(path, encoding, delimiter)
    if not names:
        raise UserError(
            f"{path} is empty, or begins with an empty line.\n"
            f"Cure: bring it again (`dvc checkout {path}.dvc`), its header in the first line."
        )
    for end in OTHER_ENDS:
        if any(end in name for name in names):
            raise UserError(
                f"{path} has {end!r} in its first row, where no row ends for a reader of CSV.\n"
                "Cure: save it with a line feed at the end of each row."
            )
    if wanted not in names:
        for other in ",;\t|":
            if other != delimiter and wanted in _first_row(path, encoding, other):
                raise UserError(
                    f"{path} is not split by {delimiter!r} but by {other!r}.\n"
                    f"Cure: set data.delimiter to {other!r} in params.yaml."
                )
    return names


def _first_row(path: Path, encoding: str, delimiter: str) -> list[str]:
    with _rows(path, encoding, delimiter) as rows:
        try:
            return next(rows, [])
        except csv.Error:  # of a quote that is never closed
            return [str(path)]


def open_quote(path: Path, encoding: str, delimiter: str) -> str | None:
    """A sentence on the first quote that is never closed: it swallows the rows below it, whole and unseen."""
    row = 1
    try:
        with _rows(path, encoding, delimiter, strict=True) as rows:
            for _ in rows:
                row += 1
    except csv.Error as error:
        what = f"a quote is not closed in row {row}"
        if "limit" in str(error):
            what = f"a quote in row {row} is not closed, or its value is longer than {LONGEST:,} characters"
        return (
            f"the file: {what}, so where its values end cannot be told;"
            ' close it, or write " that belongs to a value as "" in a quoted value.'
        )
    return None


def not_blank(path: Path, encoding: str, delimiter: str, numbers: Collection[int]) -> list[int]:
    """Those of some rows that are more than an empty line; the header is row 1."""
    with _rows(path, encoding, delimiter) as rows:
        return [number for number, row in enumerate(rows, 1) if row and number in numbers]


@contextmanager
def _rows(path: Path, encoding: str, delimiter: str, **options: Any) -> Iterator[Any]:
    """The rows after the file's byte order mark, if it has one."""
    with path.open(encoding=encoding, newline="") as file:
        if file.read(1) != "\ufeff":
            file.seek(0)
        former = csv.field_size_limit(LONGEST)
        try:
            yield csv.reader(file, delimiter=delimiter, **options)
        finally:
            csv.field_size_limit(former)
