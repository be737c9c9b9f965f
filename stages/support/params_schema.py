"""What params.yaml may hold: every key, with the type and the range of its value.

Each stage holds the whole file to it before it does anything else, so that no mistake waits behind a
training. A stage works with what the file says: nothing is converted, and no default here is used.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from stages.support.blocks import SHORT, Block, Problem, Text, problems
from stages.support.model_settings import SETTINGS
from stages.support.params import SEEDS

LARGEST = 3.4028234663852886e38  # of float32, which the models' numbers are
EXACT = 2**24  # float32 holds each whole number up to it, and not the next one
UNNAMABLE = "[]<"  # in a column's name, for XGBoost
AS_IN_THE_FILE = "a text, in quotes, as the file writes it"


def _delimiter(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value in '"\r\n\0':
        raise ValueError
    return value


def _encoding(value: str) -> str:
    """One of text, in which a file can be read piece by piece."""
    plain = "".join(map(chr, range(32, 127))) + "\n"
    try:
        decoder = codecs.getincrementaldecoder(value)()
        pieces = [decoder.decode(bytes([byte])) for byte in plain.encode(value)]
    except LookupError as error:
        raise ValueError from error
    if "".join(pieces) != plain:
        raise ValueError
    return value


class Target(Block):
    column: Text = Field(description=AS_IN_THE_FILE)
    positive: Text = Field(description=AS_IN_THE_FILE)
    negative: Text = Field(description=AS_IN_THE_FILE)


class Data(Block):
    """The customer file. Each column is held to the block of its type in COLUMNS."""

    delimiter: Annotated[str, AfterValidator(_delimiter)] = Field(
        description='one plain character that is no quote and no line end: "," ";" "\\t" "|"'
    )
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        description="one that Python knows, such as utf-8, latin-1, cp1252 or utf-16"
    )
    decimal: Literal[".", ","] = Field(description='"." or ","')
    missing: list[Text] = Field(description="a list of texts, each in quotes, as the file writes them")
    id: Text = Field(description=AS_IN_THE_FILE)
    target: Target
    columns: dict[Any, Any] = Field(min_length=1, description="a mapping from each column to its declaration")


class NumberColumn(Block):
    type: Text
    min: float | None = Field(None, ge=-LARGEST, le=LARGEST)
    max: float | None = Field(None, ge=-LARGEST, le=LARGEST)
    nullable: bool = False
    fill: float | None = Field(None, ge=-LARGEST, le=LARGEST)


class IntegerColumn(NumberColumn):
    fill: int | None = Field(None, ge=-EXACT, le=EXACT)


class CategoryColumn(Block):
    type: Text
    categories: list[Text] = Field(
        min_length=1, description="a list of texts, each in quotes, as the file writes it"
    )
    nullable: bool = False
    fill: Text | None = None


class IgnoredColumn(Block):
    type: Text


COLUMNS: dict[str, type[Block]] = {
    "number": NumberColumn,
    "integer": IntegerColumn,
    "category": CategoryColumn,
    "ignored": IgnoredColumn,
}


class Prepare(Block):
    test_share: float = Field(ge=0.01, le=0.99)
    split_salt: Text
    id_salt: Text = Field(min_length=1, description="a text that is not empty, in quotes")


class Train(Block):
    model: Literal["xgboost", "logistic_regression", "random_forest", "hist_gradient_boosting"]
    validation_share: float = Field(ge=0.01, le=0.99)
    engine: Literal["local", "dask"]
    workers: int = Field(ge=1, le=10_000)
    partitions: int = Field(ge=1, le=1_000_000)
    device: Literal["cpu", "cuda"]


class Evaluate(Block):
    confidence: float = Field(ge=0.5, le=0.9999)
    calibration_bins: int = Field(ge=2, le=1000)
    contact_cost: float = Field(ge=0, le=1e9)
    customer_value: float = Field(ge=0, le=1e9)
    success_rate: float = Field(ge=0, le=1)


class Gate(Block):
    minimum: dict[Text, float] | None = Field(None, description="a number for each metric")
    maximum: dict[Text, float] | None = Field(None, description="a number for each metric")


class Register(Block):
    gate: Gate


class Promote(Block):
    """No stage reads it: `predictflow promote` looks at the values."""

    gate: Any = None
    margin: Any = None
    confidence: Any = None
    resamples: Any = None
    remote: Any = None
    rebuilt_within_days: Any = None
    signers: Any = None


class Tune(Block):
    """No stage reads it: `predictflow tune` looks at the values."""

    metric: Any = None
    folds: Any = None
    space: Any = None


class Tracking(Block):
    experiment: Text = Field(
        pattern=r"\S", max_length=500, description="a text that is not empty, of at most 500 characters"
    )
    model: Text = Field(
        pattern="^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$",
        description="a name of letters, digits, - and _, for it becomes part of a Git tag",
    )


class Document(Block):
    """params.yaml. Each model's settings are held to its block in SETTINGS."""

    seed: int = Field(ge=0, le=SEEDS)
    customers: Literal["data/customers.csv", "data/customers"]
    data: Data
    prepare: Prepare
    train: Train
    models: dict[Any, Any] = Field(description="a block of settings for each model")
    evaluate: Evaluate
    register_: Register = Field(alias="register")  # BaseModel has a method of that name
    promote: Promote = Promote()
    tune: Tune = Tune()
    tracking: Tracking


def mistakes(tree: dict[str, Any]) -> list[Problem]:
    """What params.yaml may not hold."""
    found = list(problems(Document, tree))
    data, models = tree.get("data"), tree.get("models")
    if isinstance(models, dict):
        found += _models(models, tree.get("train"))
    if isinstance(data, dict) and isinstance(data.get("columns"), dict):
        for name, column in data["columns"].items():
            found += _column(name, column)
    return found or [*_at_odds(tree["data"]), *_no_engine(tree["train"])]


def _models(models: dict[Any, Any], train: Any) -> Iterator[Problem]:
    names = ", ".join(SETTINGS)
    for name, settings in models.items():
        if name in SETTINGS:
            yield from problems(SETTINGS[name], settings, f"models.{name}")
        else:
            yield Problem(f"models.{name}", "means nothing", f"take it out, or name one of {names}")
    chosen = train.get("model") if isinstance(train, dict) else None
    if isinstance(chosen, str) and chosen in SETTINGS and chosen not in models:
        yield Problem(
            f"models.{chosen}", "is missing", "add the settings of the model that train.model names"
        )


def _column(name: Any, column: Any) -> Iterator[Problem]:
    """What is wrong with the declaration of a column, by itself."""
    key = f"data.columns.{name}"
    if not isinstance(name, str):
        yield Problem(key, "has a name that is no text", "put it in quotes, as the file writes it")
    elif set(UNNAMABLE) & set(name):
        yield Problem(key, f"holds one of {' '.join(UNNAMABLE)}", "rename the column: XGBoost refuses these")
    kind = column.get("type") if isinstance(column, dict) else column
    if isinstance(column, dict) and isinstance(kind, str) and kind in COLUMNS:
        yield from problems(COLUMNS[kind], column, key)
    else:
        yield Problem(f"{key}.type", f"is {SHORT.repr(kind)}", f"choose one of {', '.join(COLUMNS)}")


def _no_engine(train: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong with where a model learns, of values that are well by themselves."""
    engine, device, workers = train["engine"], train["device"], train["workers"]
    if train["model"] != "xgboost":
        for key, value, plain in (("engine", engine, "local"), ("device", device, "cpu")):
            if value != plain:
                cure = f"set it to {plain}, or train.model to xgboost"
                yield Problem(f"train.{key}", f"is {value}, which learns xgboost alone", cure)
    if engine == "local":
        for key in ("workers", "partitions"):
            if train[key] != 1:
                yield Problem(
                    f"train.{key}",
                    f"is {train[key]}, with train.engine local",
                    "set it to 1, or the engine to dask",
                )
    elif train["partitions"] < workers:
        cure = f"give each worker one: {workers} or more"
        yield Problem("train.partitions", f"is {train['partitions']}, for {workers} workers", cure)
    if (engine, device) == ("dask", "cuda"):
        yield Problem("train.device", "is cuda, with train.engine dask", "set one of them: cpu, or local")


def _at_odds(data: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong with values of the block data that are well by themselves, but not together."""
    target, columns = data["target"], data["columns"]
    listed = {"data.target": [target["positive"], target["negative"]]}
    if target["positive"] == target["negative"]:
        yield Problem("data.target.negative", "is the same as positive", "give it the other class")
    if len({data["id"], target["column"], *columns}) < len(columns) + 2:
        yield Problem("data.columns", "holds the id or the target", "declare these two apart, once each")
    if all(column["type"] == "ignored" for column in columns.values()):
        yield Problem("data.columns", "leaves no column to learn from", "declare one that is not ignored")
    for name, column in columns.items():
        key = f"data.columns.{name}"
        low, high, fill = (column.get(bound) for bound in ("min", "max", "fill"))
        if low is not None and high is not None and low > high:
            yield Problem(f"{key}.min", f"is {low}", f"give it a number up to its max, {high}")
        for bound, outside in ((low, min), (high, max)):
            if None not in (bound, fill) and outside(bound, fill) == fill != bound:
                yield Problem(f"{key}.fill", f"is {fill}", "give it a number in the column's own range")
        if column["type"] == "category":
            listed[f"{key}.categories"] = categories = column["categories"]
            if fill is not None and fill not in categories:
                yield Problem(f"{key}.fill", f"is {fill!r}", f"give it one of {', '.join(categories)}")
            for value, times in Counter(categories).items():
                if times > 1:
                    yield Problem(f"{key}.categories", f"lists {value!r} {times} times", "list each one once")
    for key, values in listed.items():
        for value in set(values) & set(data["missing"]):
            yield Problem(key, f"holds {value!r}, as does data.missing", "take it out of one of the two")
