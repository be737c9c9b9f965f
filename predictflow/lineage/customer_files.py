"""Two customer files, compared customer by customer.

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


class MalformedCustomers(Exception):
    """A file that is not what its params say: what is wrong, and where. Rows count as in a spreadsheet."""

    def __init__(self, file: CustomerCsv, wrong: str) -> None:
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


def compare(before: CustomerCsv, after: CustomerCsv, open_binary: Open | None = None) -> CustomerChanges:
    """Compare two files by the names of their columns, wherever these stand.

    Args:
        open_binary: opens a file to read its bytes; one that counts them can show how far the reading is.

    Raises MalformedCustomers for a file that is not what its params say, or that gives an id twice.
    """
    names = [next(_rows(file, None))[1] for file in (before, after)]
    ids = {before.id, after.id}
    shared = [name for name in names[0] if name in names[1] and name not in ids]
    held: dict[str, int | None] = {}
    for customer, values in _customers(before, shared, open_binary):
        if customer in held:
            raise _repeats(before, customer)
        held[customer] = values
    added: dict[str, None] = {}
    changed, unchanged = [], 0
    for customer, values in _customers(after, shared, open_binary):
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


def _repeats(file: CustomerCsv, customer: str) -> MalformedCustomers:
    return MalformedCustomers(
        file, f"the id {customer!r} stands there twice, so which customer is which cannot be told"
    )


def _customers(file: CustomerCsv, columns: list[str], open_binary: Open | None) -> Iterator[tuple[str, int]]:
    """(id, a hash of the values in some columns) of each customer, in the file's order."""
    rows = _rows(file, open_binary)
    names = next(rows)[1]
    place, width = names.index(file.id), len(names)
    # The hash is this process's own: 64 bits, of which no two rows of one customer share all by chance.
    values: Callable[[list[str]], Any] = itemgetter(*map(names.index, columns)) if columns else lambda row: ()
    for number, row in rows:
        if not any(row):
            continue  # an empty line is no customer
        if len(row) != width:
            raise MalformedCustomers(file, f"row {number} has {len(row)} of {width} fields")
        yield row[place], hash(values(row))


def _rows(file: CustomerCsv, open_binary: Open | None) -> Iterator[tuple[int, list[str]]]:
    """(number, fields) of each row, the header first, which is checked."""
    csv.field_size_limit(WIDEST)
    number = 1
    try:
        with (
            open_binary(file.path) if open_binary else file.path.open("rb") as binary,
            io.TextIOWrapper(binary, file.encoding, newline="") as text,
        ):
            first = text.readline().removeprefix("\ufeff")
            reader = csv.reader(chain([first], text), delimiter=file.delimiter)
            header = next(reader, [])
            for name in dict.fromkeys([file.id, *header]):
                if header.count(name) != 1:
                    raise MalformedCustomers(
                        file, f"its header has the column {name!r} {header.count(name)} times"
                    )
            yield 1, header
            for number, row in enumerate(reader, 2):
                yield number, row
    except (csv.Error, UnicodeError, LookupError, TypeError) as error:
        raise MalformedCustomers(
            file, f"after row {number} it cannot be read as {file.encoding}: {error}"
        ) from error
    except OSError as error:
        raise MalformedCustomers(file, str(error)) from error
