"""Raw customers in, churn probabilities out.

`train` copies this file into every model folder, so a folder scores customers wherever it lies, with
pandas and the model's own library: neither this project nor MLflow is needed.

    from serving import Model
    Model("models/churn-predictor").predict(pandas.read_csv("customers.csv"))

    python models/churn-predictor/serving.py customers.csv > probabilities.csv

Nothing is guessed: a customer that does not fit `schema.json` is an error that names the row and the
column, never a number.
"""

import json
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

# What a skops file of ours may hold beyond the types that skops itself trusts. The list stands in
# code: one that is read from the model's own folder would let a forged model trust itself.
TRUSTED = [
    "functools.partial",
    "numpy.dtype",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
]
EXACT = 2**24  # float32 holds each whole number up to it, and not the next one


class InvalidRows(ValueError):
    """Customers that cannot be scored; the message says which rows and columns, and why."""


def features(rows: pd.DataFrame, columns: dict[str, dict]) -> pd.DataFrame:
    """Check and convert raw rows to what the models take.

    Args:
        rows: one customer a row; other columns than `columns` are ignored.
        columns: {name: {"type": "number" | "integer" | "category", "categories": […], "min", "max",
            "nullable": bool, "fill": value for a missing one}}, as in params.yaml under data.columns.

    Returns:
        The columns in alphabetical order, numbers as float32 and categories as the declared
        categories in their declared order; the index is 0…n-1.

    Raises:
        InvalidRows: listing every column that is missing or holds a value that does not fit.
    """
    problems, converted = [], {}
    for name in sorted(columns):
        if (times := list(rows.columns).count(name)) != 1:
            problems.append(f"column {name} " + (f"stands there {times} times" if times else "is missing"))
            continue
        spec, raw = columns[name], rows[name].reset_index(drop=True)
        if raw.dtype == object and (odd := raw.map(_is_signaling)).any():
            raw = raw.mask(odd, "sNaN")
        gaps = raw.isna()
        if spec["type"] == "category":
            values = _category(raw, spec)
            problems += _tell(name, raw, values.isna() & ~gaps, f"is none of {', '.join(spec['categories'])}")
        else:
            numbers = _number(raw)
            with np.errstate(over="ignore"):
                values = numbers.astype("float32")
            for unfit, rule in _misfits(numbers, np.isfinite(values), spec):
                problems += _tell(name, raw, unfit & ~gaps, rule)
        if spec.get("fill") is not None:
            values = values.fillna(spec["fill"])
        elif not spec.get("nullable", False):
            problems += _tell(name, raw, gaps, "is missing and may not be")
        converted[name] = values
    if problems:
        raise InvalidRows("these customers cannot be scored: " + "; ".join(problems))
    return pd.DataFrame(converted)


def _number(raw: pd.Series) -> pd.Series:
    """Numbers as precise as they were given, NaN for what is none: no text, bytes or truth value is one."""
    kind = raw.dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) and kind.kind != "c":
        return raw.astype("float32" if kind.kind == "f" and kind.itemsize <= 4 else "float64")
    return raw.astype(object).map(_real).astype("float64")


def _real(value: object) -> float:
    try:
        return np.nan if isinstance(value, bool) or not isinstance(value, Real | Decimal) else float(value)
    except OverflowError:
        return np.nan


def _is_signaling(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_snan()


def _misfits(numbers: pd.Series, finite: pd.Series, spec: dict) -> Iterator[tuple[pd.Series, str]]:
    """(which of the numbers do not fit, why), by the rules that `prepare` holds a customer file to."""
    yield ~finite, "is no finite number"
    if spec["type"] == "integer":
        yield finite & (numbers % 1 != 0), "is no whole number"
        yield finite & (numbers.abs() > EXACT), f"is a whole number beyond {EXACT:,}"
    # A bound is rounded as the numbers were: what `prepare` has written as float32 stays in its range.
    if spec.get("min") is not None:
        yield finite & (numbers < numbers.dtype.type(spec["min"])), f"is below {spec['min']}"
    if spec.get("max") is not None:
        yield finite & (numbers > numbers.dtype.type(spec["max"])), f"is above {spec['max']}"


def _category(raw: pd.Series, spec: dict) -> pd.Series:
    """Declared categories, missing where the raw value is none of them.

    A category that `read_csv` has turned into a number or a truth value is taken for what the file
    wrote: 1.0 for "1", True for "true".
    """
    declared = [str(category) for category in spec["categories"]]
    folded = {category.lower(): category for category in declared}

    def text(value: object) -> str | None:
        spelled = str(value)
        if isinstance(value, bool | np.bool_):
            spelled = folded.get(spelled.lower())
        elif isinstance(value, float | np.floating) and spelled not in declared and value.is_integer():
            spelled = str(int(value))
        return spelled if spelled in declared else None

    plain = raw.astype(object)
    plain = plain.where(plain.map(pd.api.types.is_hashable)) if raw.dtype == object else plain
    meant = {value: text(value) for value in plain.dropna().unique()}
    return pd.Series(pd.Categorical(plain.map(meant), categories=declared))


def _tell(name: str, raw: pd.Series, unfit: pd.Series, rule: str) -> list[str]:
    where = np.flatnonzero(unfit)
    if not len(where):
        return []
    found = [raw[at].item() if isinstance(raw[at], np.generic) else raw[at] for at in where[:3]]
    first = ", ".join(f"row {at + 1} ({value!r})" for at, value in zip(where, found, strict=False))
    more = f" and {len(where) - 3} more" if len(where) > 3 else ""
    return [f"column {name} {rule} in {first}{more}"]


def one_hot(frame: pd.DataFrame) -> np.ndarray:
    """Numbers as they are, a 0/1 column for each category of each category column: float32 (n, k)."""
    return pd.get_dummies(frame, dtype="float32").to_numpy(dtype="float32")


def _xgboost(file: Path) -> Callable[[pd.DataFrame], np.ndarray]:
    import xgboost

    booster = xgboost.Booster(model_file=file)
    return lambda frame: booster.predict(xgboost.DMatrix(frame, enable_categorical=True))


def _skops(file: Path) -> Callable[[pd.DataFrame], np.ndarray]:
    import skops.io

    estimator = skops.io.load(file, trusted=TRUSTED)
    return lambda frame: estimator.predict_proba(one_hot(frame))[:, 1]


LOADERS = {"model.ubj": _xgboost, "model.skops": _skops}


class Model:
    """A model folder, loaded: `predict` takes raw customers."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self.columns = json.loads((folder / "schema.json").read_text(encoding="utf-8"))["columns"]
        file = next(name for name in LOADERS if (folder / name).exists())
        self._probabilities = LOADERS[file](folder / file)

    def score(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities, float64 (n,), of rows that `features` has already converted."""
        if frame.empty:
            return np.empty(0)
        return self._probabilities(frame).astype("float64")

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Probabilities, float64 (n,), of raw customers. Raises InvalidRows."""
        if not isinstance(rows, pd.DataFrame):
            kind = type(rows).__name__
            raise InvalidRows(
                f"predict takes a pandas DataFrame, a raw customer a row, and was given a {kind}"
            )
        return self.score(features(rows, self.columns))


class MLflowModel:
    """What MLflow calls: the same model, its errors in MLflow's own type so that HTTP hands them on."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, rows: pd.DataFrame, params: dict | None = None) -> np.ndarray:
        from mlflow.exceptions import MlflowException

        try:
            return self._model.predict(rows)
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def _read(file: str, columns: dict[str, dict]) -> pd.DataFrame:
    """Raw customers of a Parquet file or a CSV (UTF-8, commas, decimal points, a missing value empty)."""
    if file.endswith(".parquet"):
        return pd.read_parquet(file)
    rows = pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""])
    for name in columns.keys() & set(rows.columns):
        if columns[name]["type"] != "category":
            numbers = pd.to_numeric(rows[name], errors="coerce")
            rows[name] = numbers.astype(object).fillna(rows[name])  # a text that is no number is to be told
    return rows


if __name__ == "__main__":
    try:
        if len(sys.argv) != 2 or not sys.argv[1].endswith((".csv", ".parquet")):
            raise ValueError("name one file of customers, .csv or .parquet")
        model = Model(Path(__file__).parent)
        probabilities = model.predict(_read(sys.argv[1], model.columns))
        print(pd.DataFrame({"churn_probability": probabilities}).to_csv(index=False), end="", flush=True)
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"ERROR: {' '.join(str(error).split())}")
