"""The winner's way back into params.yaml: the characters of its values are replaced, and no others."""

import json
import re
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from predictflow.formatting import Json
from stages.support import params
from stages.support.errors import UserError
from stages.support.files import atomic_write
from stages.support.paths import PARAMS

PLAIN = re.compile(r"[A-Za-z_][\w:]*\w")  # a text that needs no quotes


def changes(drawn: Json) -> dict[str, list[Any]]:
    """{dotted name: [value in params.yaml, new value]} of those that differ."""
    today = params.load()
    return {name: [today[name], value] for name, value in drawn.items() if today[name] != value}


def apply(changed: dict[str, list[Any]], path: Path = PARAMS) -> None:
    """Write the new values into params.yaml, whole or not at all.

    Raises UserError, and leaves the file as it is, where it would then say anything else than what is meant.
    """
    new = edited(path.read_bytes().decode(), {name: value for name, (_, value) in changed.items()})
    with atomic_write(path) as temporary:
        temporary.write_bytes(new.encode())
        temporary.chmod(path.stat().st_mode)
        params.load(temporary)


def edited(text: str, changed: Json) -> str:
    """A YAML text with other values at some dotted names: comments, quotes and order stay.

    Raises UserError where the new text, read again, does not differ in these values alone.
    """
    document = _reader().compose(text)
    spans = {name: _node(document, name) for name in changed}
    new = text
    for name, node in sorted(spans.items(), key=lambda span: -span[1].start_mark.index):
        new = new[: node.start_mark.index] + as_yaml(changed[name]) + new[node.end_mark.index :]
    meant = _reader().load(text)
    for name, value in changed.items():
        *way, key = name.split(".")
        reduce(getitem, way, meant)[key] = value
    try:
        is_meant = _told(_reader().load(new)) == _told(meant)
    except YAMLError:  # the value was an anchor, to which another one refers
        is_meant = False
    if not is_meant:
        raise UserError(
            f"{PARAMS} would not say what is meant if {', '.join(changed)} were edited in it.\n"
            "Cure: write the values by hand; `predictflow tune --json` lists them."
        )
    return new


def as_yaml(value: Any) -> str:
    """A value as it stands in params.yaml, also for readers of YAML 1.1: to them a bare Yes is true, and
    1e-05 a text."""
    is_plain = isinstance(value, str) and PLAIN.fullmatch(value)
    if is_plain and value == _reader().load(value) == yaml.safe_load(value):
        return value
    written = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "e" in written and "." not in written:
        return written.replace("e", ".0e")
    return written


def _reader() -> YAML:
    return YAML(typ="safe", pure=True)


def _node(document: Node, name: str) -> Node:
    """What stands at a dotted name. Raises UserError where nothing does."""
    node: Any = document
    for key in name.split("."):
        found = node.value if isinstance(node, MappingNode) else []
        node = next((value for written, value in found if written.value == key), None)
    if node is None:
        raise UserError(f"{PARAMS} has no key {name}.\nCure: add it, with any value; then apply it again.")
    return node


def _told(tree: Any) -> str:
    """A tree as text, in which 1 is not 1.0, and not true."""
    return json.dumps(tree, sort_keys=True, default=repr)


def settings(changed: dict[str, list[Any]]) -> list[str]:
    """The changes as DVC's --set-param takes them."""
    return [f"{name}={as_yaml(value)}" for name, (_, value) in changed.items()]
