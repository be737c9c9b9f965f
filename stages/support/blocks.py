"""Mappings of known keys: what does not fit them is told with what may stand there instead."""

import reprlib
from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

SHORT = reprlib.Repr()  # whatever a file holds, a sentence stays one
SHORT.maxstring = SHORT.maxlong = SHORT.maxother = 60
WORDS = {int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
BOUNDS = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}


class Problem(NamedTuple):
    """A key of params.yaml, what is wrong with it, and the cure."""

    key: str
    wrong: str
    cure: str


def _in_utf_8(text: str) -> str:
    text.encode()  # YAML lets half a character pass ("\\ud800"); its error is a ValueError
    return text


Text = Annotated[str, AfterValidator(_in_utf_8)]


class Block(BaseModel):
    """A mapping of known keys, none of whose values is converted: "1" is no number, and true is none."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="wrap")
    @classmethod
    def _tell_what_may_stand_there(
        cls, value: Any, hold: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        field = cls.model_fields[info.field_name or ""]
        try:
            return hold(value)
        except ValidationError:
            if _is_block(field.annotation):
                raise
            raise PydanticCustomError("unfit", "{it}", {"it": what_may_stand_there(field)}) from None

    @classmethod
    def keys(cls) -> dict[str, FieldInfo]:
        return {field.alias or name: field for name, field in cls.model_fields.items()}


def _is_block(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Block)


def what_may_stand_there(field: FieldInfo) -> str:
    """In words: a field's description, else what its type and its bounds say."""
    if field.description:
        return field.description
    kinds = get_args(field.annotation) if NoneType in get_args(field.annotation) else [field.annotation]
    return " or ".join(_words(kind, field.metadata) for kind in kinds)


def _words(kind: Any, bounds: list[Any]) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    told = [WORDS.get(kind, "a text, in quotes")]
    if kind in (int, float):
        for name, word in BOUNDS.items():
            told += [f"{word} {getattr(bound, name):.10g}" for bound in bounds if hasattr(bound, name)]
    return " ".join(told)


def problems(block: type[Block], value: Any, place: str = "") -> Iterator[Problem]:
    """What does not fit a block of params.yaml; `place` is its dotted name there."""
    try:
        block.model_validate(value)
    except ValidationError as errors:
        for error in errors.errors(include_url=False):
            *above, key = error["loc"] or [""]
            holder: Any = block
            for part in above:
                holder = holder.keys()[part].annotation
            name = ".".join(str(part) for part in (place, *error["loc"]) if part != "")
            yield _problem(name, error, holder, holder.keys().get(key))


def _problem(name: str, error: ErrorDetails, holder: type[Block], field: FieldInfo | None) -> Problem:
    if error["type"] == "missing":
        what = (
            "add it"
            if field is None or _is_block(field.annotation)
            else f"give it {what_may_stand_there(field)}"
        )
        return Problem(name, "is missing", f"{what}; `git log -p params.yaml` shows what it was")
    if error["type"] in ("extra_forbidden", "invalid_key"):
        return Problem(name, "means nothing", f"take it out, or name one of {', '.join(holder.keys())}")
    wrong = f"is {SHORT.repr(error['input'])}"
    if error["type"] == "unfit":
        return Problem(name, wrong, f"give it {error['msg']}")
    block: Any = holder if field is None else field.annotation
    return Problem(name, wrong, f"give it the keys {', '.join(block.keys())}")
