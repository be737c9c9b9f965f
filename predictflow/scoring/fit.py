"""Which customers a model can score: each value is looked at once, by the folder's own serving code."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from predictflow.scoring.customers import Batch
from predictflow.scoring.model import FolderModel, Unscorable


@dataclass(frozen=True)
class Refusal:
    """Why a customer cannot be scored.

    Attributes:
        place: in the batch; None for a row that could not be cut into fields.
        value: what the file has there; empty for one that says nothing.
    """

    row: int
    why: str
    value: str = ""
    place: int | None = None


@dataclass(frozen=True)
class Checked:
    """The customers of a batch that fit, and why the others do not.

    Attributes:
        fits: which of the batch's customers, bool (n,).
        features: of those, as the model takes them.
    """

    fits: np.ndarray
    features: pd.DataFrame
    refusals: list[Refusal]


def check(batch: Batch, model: FolderModel, id_column: str) -> Checked:
    """Hold the customers of a batch against the schema in the model's folder."""
    refusals = [Refusal(row, why) for row, why in batch.malformed.items()]
    fits = np.ones(len(batch.rows), dtype=bool)

    def refuse(column: str, unfit: np.ndarray, why: str) -> None:
        fits[unfit] = False
        for place in np.flatnonzero(unfit):
            value = batch.given[column].iloc[place]
            told = "" if pd.isna(value) else repr(value.item() if isinstance(value, np.generic) else value)
            refusals.append(Refusal(int(batch.rows[place]), why, told, int(place)))

    ids = batch.given[id_column]
    refuse(id_column, (ids.isna() | (ids == "")).to_numpy(), f"column {id_column} is missing, and is the id")
    converted: dict[str, tuple[pd.Series, np.ndarray]] = {}
    for name in sorted(model.columns):
        values, codes = _distinct(batch.typed[name])
        why_not = _misfits(values, partial(model.features, name))
        kept = np.array([place not in why_not for place in range(len(values))], dtype=bool)
        for place, why in why_not.items():
            refuse(name, codes == place, why)
        # The place of each value among those that fit; of one that does not, any.
        converted[name] = model.features(name, values[kept]), (np.cumsum(kept) - 1)[codes]
    features = pd.DataFrame({name: values.array.take(at[fits]) for name, (values, at) in converted.items()})
    return Checked(fits, features, sorted(refusals, key=lambda refusal: refusal.row))


def _distinct(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """The values that stand in a column, each once, and which of them stands in each row, int (n,)."""
    codes, distinct = pd.factorize(column)
    values = pd.Series(distinct)
    if (codes < 0).any():
        values = pd.concat([values, pd.Series([None], dtype=values.dtype)], ignore_index=True)
        codes = np.where(codes < 0, len(values) - 1, codes)
    return values, codes


def _misfits(values: pd.Series, convert: "partial[pd.Series]", start: int = 0) -> dict[int, str]:
    """{place: why} of the values that a model refuses, found by halves: few of many are found quickly."""
    try:
        convert(values)
    except Unscorable as error:
        if len(values) == 1:
            return {start: _reason(str(error))}
        half = len(values) // 2
        return _misfits(values[:half], convert, start) | _misfits(values[half:], convert, start + half)
    return {}


def _reason(message: str) -> str:
    """What serving.py says of a single value, without the row, which it counts from 1 in what it is given."""
    return message.removeprefix("these customers cannot be scored: ").partition(" in row 1")[0]
