"""params.yaml, read as DVC reads it (YAML 1.2: a bare Yes is text, not true)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.support.errors import UserError
from stages.support.paths import PARAMS

if TYPE_CHECKING:
    from stages.support.blocks import Problem

SEEDS = 2**32 - 1  # the largest seed that every library takes


class Params:
    """The params of the project, asked for by dotted name: `params["train.model"]`."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree

    def __getitem__(self, name: str) -> Any:
        """Raises UserError where params.yaml has no such key."""
        value = self.tree
        for key in name.split("."):
            if not isinstance(value, dict) or key not in value:
                raise UserError(
                    f"params.yaml has no key {name}.\n"
                    "Cure: add it; `git log -p params.yaml` shows what it was."
                )
            value = value[key]
        return value

    def number(self, name: str, low: float, high: float) -> float:
        """A number between `low` and `high`. Raises UserError for anything else."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UserError(
                f"{name} in params.yaml is {value!r}.\nCure: give it a number from {low:g} to {high:g}."
            )
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number between `low` and `high`. Raises UserError for anything else."""
        value = self.number(name, low, high)
        if not isinstance(value, int):
            raise UserError(f"{name} in params.yaml is {value!r}.\nCure: give it a whole number.")
        return value

    def subset(self, *names: str) -> dict[str, Any]:
        """{name: value} of the named keys, for the record."""
        return {name: self[name] for name in names}


def load(path: Path = PARAMS) -> Params:
    """The whole file, held to what it may hold.

    Raises UserError where the file is missing, is no YAML, or holds anything that cannot be meant.
    """
    tree = read(path)
    check(tree)
    return Params(tree)


def read(path: Path = PARAMS) -> dict[str, Any]:
    """The keys of a file. Raises UserError where it is missing, cannot be read or is no YAML."""
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not here.\nCure: run this in the project's top folder.") from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}.\nCure: `git checkout -- {path}`."
        ) from None
    except (RecursionError, ValueError, YAMLError) as error:  # ValueError: no such day, too many digits
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        why = getattr(error, "problem", None) or error
        raise UserError(f"{path} is not YAML{where}: {why}.\nCure: correct that line.") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no keys.\nCure: `git checkout -- {path}`.")
    return tree


def check(tree: dict[str, Any]) -> None:
    """Raise UserError naming each key that cannot be meant, its value, and what may stand there."""
    from stages.support.params_schema import mistakes  # here, for whoever only asks for `flat`

    refuse(mistakes(tree))


def refuse(found: "Sequence[Problem]") -> None:
    """Raise UserError where there are problems, naming each of them."""
    if len(found) == 1:
        raise UserError(f"{found[0].key} in params.yaml {found[0].wrong}.\nCure: {found[0].cure}.")
    if found:
        raise UserError(
            f"params.yaml holds {len(found)} things that cannot be meant:\n"
            + "\n".join(f"  {problem.key} {problem.wrong}: {problem.cure}" for problem in found)
            + "\nCure: correct these keys; the comments in params.yaml tell what each may hold."
        )


def ensure_unchanged(used: Callable[[Params], dict[str, Any]], settings: Params) -> None:
    """Raise UserError where params.yaml by now says something else than the stage has worked with.

    DVC reads the params again after the stage, and would record what was never used.
    """
    now = used(load())
    for name, then in used(settings).items():
        if now[name] != then:
            raise UserError(
                f"{name} in {PARAMS} changed while the stage was running.\nCure: run `dvc repro` again."
            )


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{dotted name: leaf} of nested dicts; the declared columns are left to provenance.json."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}".removeprefix(".")
        if name != "data.columns":
            leaves |= flat(value, name)
    return leaves
