"""Two states of the customers, each a CSV or Parquet parts, compared customer by customer.

Each is read once, row by row; what is kept are the ids, and of the first file a hash of each row.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

WIDEST = 16 << 20  # characters of a value: as many as prepare reads at a time

Open = Callable[[Path], BinaryIO]


@dataclass(frozen=True)
class CustomerCsv:
    """A CSV of customers, and what the `data` block of params.yaml says of it."""

    path: Path
    delimiter: str
    encoding: str
    id: str
    missing: tuple[str, ...] = ("",)
    decimal: str = "."

    @property
    def size(self) -> int:
        """Bytes that are read."""
        return self.path.stat().st_size


@dataclass(frozen=True)
class CustomerParts:
    """Parquet parts of customers, each with its name; how a CSV of them would be written, the params say."""

    parts: tuple[tuple[str, Path], ...]
    id: str
    missing: tuple[str, ...] = ("",)
    decimal: str = "."

    @property
    def size(self) -> int:
        """Bytes of which the reading is shown: of parts none."""
        return 0


CustomerSource = CustomerCsv | CustomerParts


class MalformedCustomers(Exception):
    """A file that is not what its params say: what is wrong, and where. Rows count as in a spreadsheet."""

    def __init__(self, file: CustomerSource, wrong: str) -> None:
        super().__init__(wrong)
        self.file = file


@dataclass(frozen=True)
class CustomerChanges:
    """What became of the customers between two files.

    Attributes:
        removed, added: the ids that only the first, or only the second file has, in its order.
        changed: the ids in both of which a value differs, as text, in a column that both files have; in
            the second file's order.
        unchanged: how many others are in both.
    """

    removed: list[str]
    added: list[str]
    changed: list[str]
    unchanged: int
    columns_removed: list[str]
    columns_added: list[str]


def compare(
    before: CustomerSource, after: CustomerSource, open_binary: Open | None = None
) -> CustomerChanges:
    """Compare two files by the names of their columns, wherever these stand.

    Values are compared as text; where one side is of Parquet, what that holds as numbers is compared as
    numbers, and each missing value is the same.

    Args:
        open_binary: opens a file to read its bytes; one that counts them can show how far the reading is.

    Raises MalformedCustomers for a file that is not what its params say, or that gives an id twice.
    """
    names = [next(_rows(file, None))[1] for file in (before, after)]
    ids = {before.id, after.id}
    shared = [name for name in names[0] if name in names[1] and name not in ids]
    held: dict[str, int | None] = {}
    numbers = _numbers(before, after)
    for customer, values in _customers(before, shared, numbers, open_binary):
        if customer in held:
            raise _repeats(before, customer)
        held[customer] = values
    added: dict[str, None] = {}
    changed, unchanged = [], 0
    for customer, values in _customers(after, shared, numbers, open_binary):
        if customer in added or held.get(customer, values) is None:
            raise _repeats(after, customer)
        if customer not in held:
            added[customer] = None
            continue
        if held[customer] == values:
            unchanged += 1
        else:
            changed.append(customer)
        held[customer] = None  # met
    return CustomerChanges(
        [customer for customer, values in held.items() if values is not None],
        list(added),
        changed,
        unchanged,
        [name for name in names[0] if name not in names[1]],
        [name for name in names[1] if name not in names[0]],
    )


def _repeats(file: CustomerSource, customer: str) -> MalformedCustomers:
    return MalformedCustomers(
        file, f"the id {customer!r} stands there twice, so which customer is which cannot be told"
    )


def _numbers(*files: CustomerSource) -> set[str] | None:
    """The columns that are numbers by their type; None of two CSVs, which have no types."""
    parts = [file for file in files if isinstance(file, CustomerParts)]
    if not parts:
        return None
    from predictflow.lineage.part_rows import numbers_in  # here: of two CSVs nobody waits for pyarrow

    try:
        return set().union(*(numbers_in(path for _, path in file.parts) for file in parts))
    except ValueError as error:
        raise MalformedCustomers(parts[0], str(error)) from error


def _customers(
    file: CustomerSource, columns: list[str], numbers: set[str] | None, open_binary: Open | None
) -> Iterator[tuple[str, int]]:
    """(id, a hash of the values in some columns) of each customer, in the file's order."""
    rows = _rows(file, open_binary)
    names = next(rows)[1]
    place, width = names.index(file.id), len(names)
    # The hash is this process's own: 64 bits, of which no two rows of one customer share all by chance.
    values: Callable[[list[str]], Any] = itemgetter(*map(names.index, columns)) if columns else lambda row: ()
    if numbers is not None:
        values = _plain_values(file, [(names.index(name), name in numbers) for name in columns])
    for number, row in rows:
        if not any(row):
            continue  # an empty line is no customer
        if len(row) != width:
            raise MalformedCustomers(file, f"row {number} has {len(row)} of {width} fields")
        yield row[place], hash(values(row))


def _plain_values(file: CustomerSource, places: list[tuple[int, bool]]) -> Callable[[list[str]], Any]:
    """The values at some places of a row, (place, whether it is a number), whoever has written them."""
    missing, decimal = frozenset(file.missing), file.decimal

    def plain(text: str, is_number: bool) -> str | float:
        if text in missing:
            return ""
        try:
            return float(text.replace(decimal, ".")) if is_number else text
        except ValueError:
            return text

    return lambda row: tuple(plain(row[place], is_number) for place, is_number in places)


def _rows(file: CustomerSource, open_binary: Open | None) -> Iterator[tuple[int, list[str]]]:
    """(number, fields) of each row, the header first, which is checked."""
    rows = _of_parts(file) if isinstance(file, CustomerParts) else _of_csv(file, open_binary)
    number, header = next(rows)
    for name in dict.fromkeys([file.id, *header]):
        if header.count(name) != 1:
            raise MalformedCustomers(file, f"its header has the column {name!r} {header.count(name)} times")
    yield number, header
    yield from rows


def _of_parts(file: CustomerParts) -> Iterator[tuple[int, list[str]]]:
    from predictflow.lineage.part_rows import text_rows  # here: of two CSVs nobody waits for pyarrow

    try:
        yield from enumerate(text_rows(file.parts, file.missing, file.decimal))
    except ValueError as error:
        raise MalformedCustomers(file, str(error)) from error


def _of_csv(file: CustomerCsv, open_binary: Open | None) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(WIDEST)
    number = 1
    try:
        with (
            open_binary(file.path) if open_binary else file.path.open("rb") as binary,
            io.TextIOWrapper(binary, file.encoding, newline="") as text,
        ):
            first = text.readline().removeprefix("\ufeff")
            reader = csv.reader(chain([first], text), delimiter=file.delimiter)
            yield 1, next(reader, [])
            for number, row in enumerate(reader, 2):
                yield number, row
    except (csv.Error, UnicodeError, LookupError, TypeError) as error:
        raise MalformedCustomers(
            file, f"after row {number} it cannot be read as {file.encoding}: {error}"
        ) from error
    except OSError as error:
        raise MalformedCustomers(file, str(error)) from error
