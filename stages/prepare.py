"""The customers → data/prepared/{train,test}.{parquet,index} and metrics/prepare/."""

from stages.support import environment, errors

if __name__ == "__main__":
    errors.run(environment.check)  # before the imports below: they are what it checks

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from stages.data import customer_index
from stages.data.customer_file import CustomerFile
from stages.data.customers import Customers
from stages.data.schema import Schema
from stages.data.split import held_out
from stages.support import files, params
from stages.support.hashes import md5, unchanged
from stages.support.paths import CUSTOMERS_FOLDER, PREPARED, TEST, TEST_INDEX, TRAIN, TRAIN_INDEX
from stages.support.progress import progress

GROUP = 100_000  # customers of a row group
INDEXES = {TRAIN: TRAIN_INDEX, TEST: TEST_INDEX}


class SplitSide:
    """One side of the split, written in row groups of GROUP: how its customers came is not seen in it.

    Attributes:
        digests: of its customers, for its index; those of a batch are joined.
    """

    def __init__(self, path: Path, schema: Schema, id_salt: str) -> None:
        self.path, self.schema, self.id_salt = path, schema, id_salt
        self.digests: list[bytes] = []
        self.rows = self.positives = 0
        self._waiting: list[pyarrow.Table] = []
        self._writer: pyarrow.parquet.ParquetWriter | None = None

    def write(self, frame: pd.DataFrame) -> None:
        if frame.empty:
            return
        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self.path, table.schema)
        self._waiting.append(table)
        if sum(map(len, self._waiting)) >= GROUP:
            self._write(leave=GROUP)
        self.rows += len(frame)
        self.positives += int(frame[self.schema.target].sum())
        ids = frame[self.schema.id].tolist()
        self.digests.append(b"".join(customer_index.digests(ids, self.id_salt)))

    def _write(self, leave: int) -> None:
        """Write what is waiting, but for the last rows that are fewer than `leave`."""
        assert self._writer
        table = pyarrow.concat_tables(self._waiting).combine_chunks()
        end = len(table) - len(table) % leave
        self._writer.write_table(table[:end], row_group_size=GROUP)
        self._waiting = [table[end:]]

    def finish(self) -> None:
        """Write the rest. Without it, nothing of the file is to be used."""
        if self._waiting:
            self._write(leave=1)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def counts(self) -> dict[str, int]:
        return {"rows": self.rows, "positives": self.positives}


def used(settings: params.Params) -> dict[str, Any]:
    """The params that decide this stage's outputs."""
    return settings.subset("data", "prepare.id_salt", "prepare.split_salt", "prepare.test_share")


@contextmanager
def opened(path: Path, schema: Schema) -> Iterator[tuple[Customers, dict[str, str]]]:
    """The customers, a CSV or a folder of parts, held still; and {path: md5} of them.

    Raises UserError where they are not there.
    """
    if path == CUSTOMERS_FOLDER:
        from stages.data.customer_parts import CustomerParts, unchanged_parts  # here: of a CSV nobody waits

        with unchanged_parts(path) as inputs:
            yield CustomerParts(path, schema), inputs
        return
    if not path.exists():
        raise errors.UserError(
            f"{path} is not here.\nCure: `dvc pull {path}`, or for the telco customers"
            " `python -m predictflow.telco`."
        )
    files.ensure_file(path)
    with unchanged(path) as inputs:
        yield CustomerFile(path, schema), inputs


def main() -> None:
    settings = params.load()
    share = settings["prepare.test_share"]
    salt, id_salt = settings["prepare.split_salt"], settings["prepare.id_salt"]
    schema = Schema(settings)
    with (
        progress("checking the customers") as tell,
        opened(Path(settings["customers"]), schema) as (customers, inputs),
        ExitStack() as stack,
    ):
        sides = {
            path: SplitSide(stack.enter_context(files.atomic_write(path)), schema, id_salt)
            for path in INDEXES
        }
        for side in sides.values():
            stack.callback(side.close)
        for frame in customers.batches():
            test = held_out(frame[schema.id], salt, share)
            sides[TEST].write(frame[test])
            sides[TRAIN].write(frame[~test])
            tell(f"{sum(side.rows for side in sides.values()):,} customers checked")
        for side in sides.values():
            side.finish()
        for path, side in sides.items():
            if not 0 < side.positives < side.rows:
                raise errors.UserError(
                    f"{path.name} would hold {side.positives} positives in {side.rows} rows: nothing can"
                    " be learned or measured.\nCure: more customers, or another prepare.test_share"
                    " or prepare.split_salt in params.yaml."
                )
        for path, side in sides.items():
            customer_index.write(INDEXES[path], side.digests)
    params.ensure_unchanged(lambda settings: used(settings) | settings.subset("customers"), settings)
    counts = {path.stem: side.counts() for path, side in sides.items()}
    written = {path.as_posix(): md5(path) for path in (*INDEXES, *INDEXES.values())}
    files.write_json(PREPARED, counts | {"md5": inputs | written})
    print(f"{sides[TRAIN].rows} customers to learn from, {sides[TEST].rows} held out to test on")


if __name__ == "__main__":
    errors.run(main)
