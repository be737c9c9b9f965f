"""The block `tune` of params.yaml: held to what it may hold, and to what the models themselves take."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from stages.support.blocks import SHORT, Block, Problem, Text, problems
from stages.support.model_settings import SETTINGS

Tree = dict[str, Any]  # of params.yaml
Scalar = (str, int, float, bool, type(None))  # what a category may choose from


class Tune(Block):
    metric: Literal["roc_auc", "average_precision", "log_loss", "brier"]
    folds: int = Field(ge=3, le=20)
    space: dict[Any, Any] = Field(description="a mapping from train and models to what is tried of them")


class Integer(Block):
    type: Text
    low: int
    high: int
    step: int = Field(1, ge=1)
    log: bool = False


class Number(Block):
    type: Text
    low: float
    high: float
    step: float | None = Field(None, gt=0)
    log: bool = False


class Category(Block):
    type: Text
    choices: list[Any] = Field(min_length=1, description="a list of values")


RANGES: dict[str, type[Block]] = {"integer": Integer, "number": Number, "category": Category}


def mistakes(tree: Tree) -> list[Problem]:
    """What the block `tune` may not hold, in a params.yaml that is well otherwise."""
    block = tree.get("tune")
    if block is None:
        cure = "add it: `metric`, `folds` and `space`; docs/tuning.md shows one"
        return [Problem("tune", "is missing", cure)]
    return list(problems(Tune, block, "tune")) or list(_of_space(tree, block["space"]))


def _of_space(tree: Tree, space: Tree) -> Iterator[Problem]:
    for key in space.keys() - {"train", "models"}:
        yield Problem(f"tune.space.{key}", "means nothing", "name train or models: no other keys are tried")
    train, models = space.get("train", {}), space.get("models", {})
    for name, block in (("train", train), ("models", models)):
        if not isinstance(block, dict):
            yield Problem(f"tune.space.{name}", f"is {SHORT.repr(block)}", "give it a mapping")
            return
    for key in train.keys() - {"model"}:
        yield Problem(f"tune.space.train.{key}", "cannot be tried", "take it out: of train, only model can")
    if "model" in train:
        yield from _of_model(tree, train["model"])
    for model, block in models.items():
        yield from _of_settings(tree, model, block)
    if "model" not in train and not models.get(tree["train"]["model"]):
        chosen = tree["train"]["model"]
        cure = f"name a setting of it, with the values to try; `tune.space.models.{chosen}` is looked at"
        yield Problem("tune.space", f"tries nothing of train.model, {chosen}", cure)


def _of_model(tree: Tree, declared: Any) -> Iterator[Problem]:
    key = "tune.space.train.model"
    if found := list(_of_range(key, declared)):
        yield from found
    elif declared["type"] != "category":
        yield Problem(f"{key}.type", f"is {declared['type']}", "give it category, and the models as choices")
    else:
        for choice in declared["choices"]:
            if choice not in tree["models"]:
                names = ", ".join(tree["models"])
                yield Problem(f"{key}.choices", f"names {SHORT.repr(choice)}", f"choose among {names}")


def _of_settings(tree: Tree, model: Any, block: Any) -> Iterator[Problem]:
    key = f"tune.space.models.{model}"
    if model not in tree["models"]:
        yield Problem(key, "is no model of this file", f"name one of {', '.join(tree['models'])}")
        return
    if not isinstance(block, dict):
        yield Problem(key, f"is {SHORT.repr(block)}", "give it a mapping from settings to what is tried")
        return
    known = SETTINGS[model].keys()
    for name, declared in block.items():
        place = f"{key}.{name}"
        if name not in known:
            yield Problem(place, "means nothing", f"take it out, or name one of {', '.join(known)}")
        elif name not in tree["models"][model]:
            value = known[name].default
            cure = f"add `{name}: {value}`, which it is today, under models.{model}"
            yield Problem(place, f"stands in no models.{model}", cure)
        elif found := list(_of_range(place, declared)):
            yield from found
        else:
            yield from _beyond_the_model(tree, model, name, declared)


def _of_range(key: str, declared: Any) -> Iterator[Problem]:
    """What is wrong with a declaration by itself."""
    kind = declared.get("type") if isinstance(declared, dict) else declared
    if not isinstance(declared, dict) or not isinstance(kind, str) or kind not in RANGES:
        yield Problem(f"{key}.type", f"is {SHORT.repr(kind)}", f"choose one of {', '.join(RANGES)}")
    elif found := list(problems(RANGES[kind], declared, key)):
        yield from found
    elif kind == "category":
        yield from _of_choices(f"{key}.choices", declared["choices"])
    else:
        yield from _of_bounds(key, declared)


def _of_choices(key: str, choices: list[Any]) -> Iterator[Problem]:
    for at, choice in enumerate(choices):
        if not isinstance(choice, Scalar):
            yield Problem(key, f"holds {SHORT.repr(choice)}", "give it texts, numbers, true, false or null")
        elif choice in choices[:at]:
            yield Problem(key, f"lists {SHORT.repr(choice)} twice", "list each one once")


def _of_bounds(key: str, declared: Tree) -> Iterator[Problem]:
    low, high, step = declared["low"], declared["high"], declared.get("step")
    if low >= high:
        yield Problem(f"{key}.low", f"is {low}", f"give it a number below its high, {high}")
    elif declared.get("log"):
        if step is not None:
            yield Problem(f"{key}.step", "cannot go with log", "take one of the two out")
        if low <= 0:
            yield Problem(f"{key}.low", f"is {low}", "with log, give it a number above 0")
    elif step is not None and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
        yield Problem(
            f"{key}.high", f"is {high}", f"give it a number that steps of {step} lead to from {low}"
        )


def _beyond_the_model(tree: Tree, model: str, name: str, declared: Tree) -> Iterator[Problem]:
    """The values that the model itself does not take."""
    ends = {
        "choices": declared.get("choices", []),
        "low": [declared.get("low")],
        "high": [declared.get("high")],
    }
    category = declared["type"] == "category"
    for end in ("choices",) if category else ("low", "high"):
        for value in ends[end]:
            value = float(value) if declared["type"] == "number" else value
            for problem in problems(SETTINGS[model], tree["models"][model] | {name: value}):
                yield Problem(f"tune.space.models.{model}.{name}.{end}", problem.wrong, problem.cure)
