"""A file of customers becomes a file of scores, batch by batch; twice over, for the whole file is ranked."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from pandas.util import hash_array

from predictflow.scoring import output
from predictflow.scoring.claim import Claim
from predictflow.scoring.customers import BATCH, read_batches
from predictflow.scoring.deciles import deciles
from predictflow.scoring.fit import Refusal, check
from predictflow.scoring.model import DECIMALS, FolderModel
from predictflow.scoring.output import BadRows
from stages.data.schema import Schema
from stages.support import hashes
from stages.support.errors import UserError
from stages.support.files import atomic_write

SHOWN = 3  # rows that are told of each reason
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Scored:
    """What came of a file.

    Attributes:
        called: customers whose decision is to call.
        repeated: rows whose id an earlier row has.
        empty: lines of a CSV in which nothing stands.
    """

    claim: Claim
    called: int
    repeated: int
    empty: int


class Scoring:
    """One file on its way to its scores."""

    def __init__(self, model: FolderModel, schema: Schema, claim: Claim, tell: Tell) -> None:
        """`claim` counts no rows yet."""
        self._model, self._schema, self._claim, self._tell = model, schema, claim, tell
        self._probabilities: list[np.ndarray] = []
        self._hashes: list[np.ndarray] = []  # of the ids
        self._skipped = self._empty = 0

    def run(self, source: Path, path: Path, bad: Path | None) -> Scored:
        """Score `source` into `path`; who cannot be scored goes to `bad`.

        Raises UserError where somebody cannot be scored and there is no `bad`, where nobody can, and where
        the file is another one by the end.
        """
        names = [self._schema.id, *sorted(self._model.columns)]
        # Without a name: whatever ends this process, nothing is left of it.
        with tempfile.TemporaryFile(dir=path.parent) as ids, ExitStack() as apart:
            bad_rows = apart.enter_context(output.open_bad_rows(bad, self._schema, names)) if bad else None
            self._score(source, ids, bad_rows)
            if hashes.md5(source) != self._claim.input:
                raise UserError(
                    f"{source} changed while it was scored.\nCure: let nothing write to it, and ask again."
                )
            repeated = self._count_repeated()
            probabilities = np.concatenate(self._probabilities)
            self._probabilities.clear()
            claim = replace(self._claim, rows=len(probabilities), skipped=self._skipped)
            # Rounded as `evaluate` rounds before it looks for the threshold.
            decisions = probabilities.round(DECIMALS) >= claim.threshold
            with atomic_write(path) as whole:
                self._write(ids, whole, path.suffix, claim, probabilities, decisions)
                apart.close()  # who is missing from the scores is told before there are any
        return Scored(claim, int(decisions.sum()), repeated, self._empty)

    def _score(self, source: Path, ids: Any, bad_rows: BadRows | None) -> None:
        """The first pass: probabilities are kept, the ids of those who have one go to a file."""
        name = self._schema.id
        refused: list[Refusal] = []
        looked, writer = 0, None
        with ExitStack() as stack:
            for batch in stack.enter_context(closing(read_batches(source, self._schema))):
                checked = check(batch, self._model, self._schema.id)
                looked += len(batch.rows) + len(batch.malformed)
                self._empty += batch.empty
                if checked.refusals and bad_rows is None:
                    raise _refused(source, checked.refusals, looked)
                if checked.refusals and bad_rows:
                    bad_rows.add(batch.given, checked.refusals)
                    refused = refused or checked.refusals
                    self._skipped += len({refusal.row for refusal in checked.refusals})
                kept = pyarrow.table({name: pyarrow.array(batch.given[name][checked.fits])})
                writer = writer or stack.enter_context(pyarrow.parquet.ParquetWriter(ids, kept.schema))
                writer.write_table(kept.cast(writer.schema))
                self._hashes.append(hash_array(batch.given[name][checked.fits].to_numpy(), categorize=False))
                self._probabilities.append(self._model.score(checked.features))
                self._tell(f"{looked:,} customers scored")
        if not looked:
            raise UserError(f"{source} holds no customer.\nCure: bring the file again.")
        if not sum(map(len, self._probabilities)):
            raise _refused(source, refused, looked)

    def _write(
        self, ids: Any, path: Path, kind: str, claim: Claim, probabilities: Any, decisions: Any
    ) -> None:
        """The second pass."""
        tenths, start = deciles(probabilities), 0
        with pyarrow.parquet.ParquetFile(ids) as file:
            schema = output.columns(file.schema_arrow.field(0))
            with output.open_scores(path, kind, schema, claim) as writer:
                for batch in file.iter_batches(BATCH, use_threads=False):
                    rows = slice(start, start + len(batch))
                    parts = [batch.column(0), *(part[rows] for part in (probabilities, decisions, tenths))]
                    writer.write_table(pyarrow.table(parts, schema=schema))
                    start += len(batch)
                    self._tell(f"{start:,} scores written")

    def _count_repeated(self) -> int:
        """Rows whose id an earlier row has; ids count as the same if 64 bits of their hashes are."""
        found = np.concatenate(self._hashes)
        self._hashes.clear()
        found.sort()
        return int((found[1:] == found[:-1]).sum())


def _refused(source: Path, refusals: list[Refusal], looked: int) -> UserError:
    """All that is wrong with the customers of a batch, by the reason."""
    reasons: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        reasons.setdefault(refusal.why, []).append(refusal)
    customers = len({refusal.row for refusal in refusals})
    lines = [
        f"{source}: {customers:,} of the first {looked:,} customers cannot be scored (the first is row 1):",
        *(f"  {why} in {_rows(of_it)}" for why, of_it in reasons.items()),
        "Cure: correct them, or `--skip-bad FILE` writes them apart and scores the others.",
    ]
    return UserError("\n".join(lines))


def _rows(refusals: list[Refusal]) -> str:
    told = (
        f"row {refusal.row:,}" + (f" ({refusal.value})" if refusal.value else "")
        for refusal in refusals[:SHOWN]
    )
    more = f" and {len(refusals) - SHOWN:,} more" if len(refusals) > SHOWN else ""
    return ", ".join(told) + more
