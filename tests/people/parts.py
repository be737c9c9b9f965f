"""The members as Parquet parts, each column with the type that a program would give it."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = "data/customers"
TYPES = {"visits": pa.int32(), "plan": pa.int64(), "left": pa.int8(), "fee": pa.float64()}


def as_table(frame: pd.DataFrame) -> pa.Table:
    """Members, written as text, as a program holds them."""
    columns: dict[str, pa.Array] = {}
    for name, texts in frame.items():
        values = [None if text == "n/a" else text for text in texts]
        if name in ("fee", "Größe (m)"):
            numbers = [None if value is None else float(value.replace(",", ".")) for value in values]
            columns[name] = pa.array(numbers, pa.float64())
        elif name in TYPES:
            columns[name] = pa.array(list(map(int, values)), TYPES[name])
        elif name == "trainer":
            columns[name] = pa.array([None if value is None else value == "true" for value in values])
        else:
            columns[name] = pa.array(values, pa.string())
    columns["city"] = columns["city"].dictionary_encode()
    return pa.table(columns)


def write_parts(folder: Path, frame: pd.DataFrame, count: int = 3) -> None:
    """Write members as so many parts, of about the same size."""
    folder.mkdir(parents=True, exist_ok=True)
    held, size = as_table(frame), -(-len(frame) // count)
    for number in range(count):
        part = held.slice(number * size, size)
        pq.write_table(part, folder / f"part-{number}.parquet", row_group_size=70)
