"""A skops file with the same bytes for the same estimator: skops's own differ at every dump.

skops names what it stores by `id(object)` (a memory address), dates the members of its zip and packs
them with whatever zlib is there. Here the ids are numbered in the order of their first appearance in
the file's schema, the members are stored plainly, sorted and undated. `skops.io.load` reads it as ever.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import skops.io

UNDATED = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


def write(path: Path, estimator: Any) -> None:
    """Write a fitted estimator."""
    dumped = zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator)))
    numbers: dict[int, int] = {}
    schema = _renumber(json.loads(dumped.read("schema.json")), numbers)
    members = {"schema.json": json.dumps(schema, indent=1).encode()}
    for name in dumped.namelist():
        if name != "schema.json":
            members[_rename(name, numbers)] = dumped.read(name)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, UNDATED), members[name])


def _renumber(node: Any, numbers: dict[int, int]) -> Any:
    """The schema with every id, and every member named by one, numbered by first appearance."""
    if isinstance(node, list):
        return [_renumber(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    if "__id__" in node:
        numbers.setdefault(node["__id__"], len(numbers))
    node = {key: _renumber(value, numbers) for key, value in node.items()}
    if "__id__" in node:
        node["__id__"] = numbers[node["__id__"]]
    if "file" in node:
        node["file"] = _rename(node["file"], numbers)
    return node


def _rename(member: str, numbers: dict[int, int]) -> str:
    stem, dot, suffix = member.partition(".")
    return f"{numbers.setdefault(int(stem), len(numbers))}{dot}{suffix}"
