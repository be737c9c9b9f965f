"""Customers, read batch by batch and held to the schema as they come."""

import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandas.util import hash_array

from stages.data.schema import SHOWN, Schema, Violation, shorten
from stages.support.errors import UserError


class Customers(ABC):
    """What every reader of customers holds them to; where they are read from, each tells itself.

    Attributes:
        counted: how rows are counted, in words.
        corrected: what to correct where the columns are not those that are declared.
        empty: that there is no customer, and the cure.
    """

    counted: str
    corrected: str
    empty: str

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path, self.schema = path, schema
        self._problems: list[str] = []
        self._violations: dict[tuple[str, str], Violation] = {}
        self._ids: list[pd.Series] = []
        # Of the ids, and of the normalized form of those that have another.
        self._hashes: list[np.ndarray] = []
        self._classes: set[str] = set()

    def batches(self) -> Iterator[pd.DataFrame]:
        """Clean frames, in the order in which they are read.

        Raises UserError at the end, with every violation of all that was read, if there is one: nothing
        that was made of these frames may be kept then.
        """
        rules, read = self.schema.rules(self._columns()), 0
        for text in self._text():
            rows = self.schema.numbers(text)
            self._check(rules, rows, text)
            read += len(text)
            if len(text) and not self._problems and not self._violations:
                yield self.schema.clean(rows)
        self._check_whole()
        self._finish(read)

    @abstractmethod
    def _columns(self) -> Collection[str]:
        """The names of the columns that are there."""

    @abstractmethod
    def _text(self) -> Iterator[pd.DataFrame]:
        """Frames of text, missing values as nulls; the index counts the rows from 0."""

    @abstractmethod
    def _places(self, indices: np.ndarray) -> list[str]:
        """Where the rows stand that these indices count, in words."""

    def _unfit_columns(self, names: Collection[str]) -> list[str]:
        """What is wrong with the names of the columns."""
        wanted = self.schema.names
        counts = Counter(names)
        undeclared = [shorten(name) for name in counts if name not in wanted]
        found = [f"column {name!r} is missing" for name in wanted if name not in counts]
        found += [f"column {name!r} stands there {counts[name]} times" for name in wanted if counts[name] > 1]
        found += [f"column {name!r} is not declared" for name in undeclared[:SHOWN]]
        if len(undeclared) > SHOWN:
            found.append(f"{len(undeclared) - SHOWN} more columns are not declared")
        cure = (
            f"correct {self.corrected}, or declare the columns in params.yaml under data.columns (type:"
            " ignored for one that no model should see)"
        )
        return [f"{problem}; {cure}." for problem in found]

    def _violation(self, column: str, rule: str, key: str) -> Violation:
        return self._violations.setdefault((column, rule), Violation(column, rule, key))

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
        violation.add(count, self._places(first.index), first.tolist())

    def _note_ids(self, ids: pd.Series) -> None:
        written = ids.to_numpy(dtype=object)
        other = [normal for id_ in written if (normal := unicodedata.normalize("NFC", id_)) != id_]
        self._ids.append(ids)
        self._hashes += [
            hash_array(np.array(texts, dtype=object), categorize=False) for texts in (written, other)
        ]

    def _check_whole(self) -> None:
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
            problems.append(self.empty)
        elif len(seen) == 1:
            problems.append(
                f"{self.schema.target}: every customer is {seen.pop()!r}, so there is nothing to learn;"
                " bring a file that holds both classes."
            )
        if problems:
            raise UserError(
                f"{self.path} does not hold what params.yaml declares ({self.counted}):\n"
                + "\n".join(f"  {problem}" for problem in problems)
            )
