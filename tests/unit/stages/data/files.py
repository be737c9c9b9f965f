"""Customer files to check: small, and broken in one way at a time."""

import copy
import functools
from pathlib import Path
from typing import Any

import pandas as pd

from stages.data.customer_file import CustomerFile
from stages.data.schema import Schema
from stages.support import params
from tests.people.project import REPOSITORY

TELCO = REPOSITORY / "data/customers.csv"


@functools.cache
def settings() -> params.Params:
    return params.load(REPOSITORY / "params.yaml")


def schema(**changes: Any) -> Schema:
    """The telco schema, with some keys of the data block set to something else."""
    tree = copy.deepcopy(settings().tree)
    tree["data"] |= changes
    return Schema(params.Params(tree))


def telco(rows: int = 40) -> pd.DataFrame:
    """The first telco customers as text, as the file holds them; both classes are among them."""
    return pd.read_csv(TELCO, dtype=str, keep_default_na=False, nrows=rows)


def text(frame: pd.DataFrame, **options: Any) -> str:
    return frame.to_csv(index=False, lineterminator="\n", **options)


def read(path: Path, content: str | bytes, against: Schema | None = None) -> pd.DataFrame:
    """What the check lets through of a file of this content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return pd.concat(CustomerFile(path, against or schema()).batches(), ignore_index=True)
