"""What is written of a scored file: the scores, and apart from them the customers that cannot be scored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from predictflow.scoring.claim import KEY, Claim
from predictflow.scoring.fit import Refusal
from stages.data.schema import Schema
from stages.support import files


class Writer(Protocol):
    def write_table(self, table: pyarrow.Table) -> None: ...


def columns(id_field: pyarrow.Field) -> pyarrow.Schema:
    """The columns of the scores."""
    return pyarrow.schema(
        [
            id_field,
            pyarrow.field("probability", pyarrow.float64()),
            pyarrow.field("decision", pyarrow.bool_()),
            pyarrow.field("decile", pyarrow.int8()),
        ]
    )


@contextmanager
def open_scores(path: Path, kind: str, schema: pyarrow.Schema, claim: Claim) -> Iterator[Writer]:
    """A writer of Parquet, which carries the claim, or of a CSV, by the ending that is its `kind`."""
    if kind.lower() == ".parquet":
        marked = schema.with_metadata({KEY: claim.as_bytes()})
        with pyarrow.parquet.ParquetWriter(path, marked) as writer:
            yield writer
    else:
        options = pyarrow.csv.WriteOptions(quoting_style="needed")
        with pyarrow.csv.CSVWriter(path, schema, write_options=options) as writer:
            yield writer


class BadRows:
    """The customers that cannot be scored, as a CSV of the model's kind: it can be corrected and scored."""

    def __init__(self, file: Any, schema: Schema, names: list[str]) -> None:
        self._file, self._schema, self._names = file, schema, names
        self._write(pd.DataFrame(columns=["row", "reason", *names]), header=True)

    def add(self, given: pd.DataFrame, refusals: list[Refusal]) -> None:
        """Write customers of a batch, and rows beside them that are none, each with all that is wrong."""
        reasons: dict[int, list[str]] = {}
        places: dict[int, int] = {}
        for refusal in refusals:
            reasons.setdefault(refusal.row, []).append(refusal.why)
            if refusal.place is not None:
                places[refusal.row] = refusal.place
        rows = given[self._names].iloc[list(places.values())].astype(object).set_axis(list(places))
        rows = rows.reindex(list(reasons))
        rows.insert(0, "row", rows.index)
        rows.insert(1, "reason", ["; ".join(why) for why in reasons.values()])
        self._write(rows, header=False)

    def _write(self, rows: pd.DataFrame, header: bool) -> None:
        rows.to_csv(
            self._file,
            index=False,
            header=header,
            sep=self._schema.delimiter,
            decimal=self._schema.decimal,
            na_rep=self._schema.missing[0] if self._schema.missing else "",
            lineterminator="\n",
        )


@contextmanager
def open_bad_rows(path: Path, schema: Schema, names: list[str]) -> Iterator[BadRows]:
    """`path` is there only when all is written."""
    with (
        files.atomic_write(path) as temporary,
        temporary.open("w", encoding=schema.encoding, newline="") as file,
    ):
        yield BadRows(file, schema, names)
