"""Prepared customers, converted as serving converts them; no more than a part of them is held as text."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from stages.model import serving

Columns = dict[str, dict]  # {name: its declaration in params.yaml}


def read(
    path: Path, columns: Columns, others: Collection[str]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """(features, other columns) of the customers of a prepared file, row group by row group.

    The index of both counts from 0 in each row group.
    """
    with pyarrow.parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            frame = file.read_row_group(group, [*others, *columns], use_threads=False).to_pandas()
            yield features(frame, columns), frame[list(others)]


def features(rows: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """What `serving.features` makes of rows, their columns of categories being of dtype category."""
    return pd.DataFrame({name: _feature(rows[name], columns[name]) for name in sorted(columns)})


def _feature(column: pd.Series, spec: dict) -> pd.Series:
    def convert(values: pd.Series) -> pd.Series:
        return serving.features(values.to_frame(), {values.name: spec})[values.name]

    plain = column.reset_index(drop=True)
    return by_value(plain, convert) if spec["type"] == "category" else convert(plain)


def by_value(column: pd.Series, convert: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """What `convert` makes of a column of values that repeat (dtype category): each is worked on once."""
    codes = column.cat.codes.to_numpy()
    values = pd.Series(column.cat.categories, name=column.name)
    if (codes < 0).any():
        values = pd.concat([values, pd.Series([None], dtype=values.dtype)]).rename(column.name)
    return convert(values).take(codes).set_axis(column.index)  # the last, -1, is the missing one
