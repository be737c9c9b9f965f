"""The files of the record that DVC and the stages write: where they lie, and what they say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.support import paths
from stages.support.params import flat
from stages.support.paths import PROVENANCE

LIST = ".dir"  # how the md5 of a folder ends: it is that of the list of its files
DVC_LOCK, DVC_YAML = "dvc.lock", "dvc.yaml"
# As dvc.lock writes them:
CUSTOMERS, CUSTOMERS_FOLDER = paths.CUSTOMERS.as_posix(), paths.CUSTOMERS_FOLDER.as_posix()
TRAIN, TEST = paths.TRAIN.as_posix(), paths.TEST.as_posix()
MODEL, REQUIREMENTS = (path.as_posix() for path in (paths.MODEL_FOLDER, paths.REQUIREMENTS))
MEASURED, PREPARED = (path.as_posix() for path in (paths.MEASURED, paths.PREPARED))
# Where customers lie: {path: the file of DVC's that names its md5}.
POINTERS = {path: f"{path}.dvc" for path in (CUSTOMERS, CUSTOMERS_FOLDER)}
RECORDS = (PROVENANCE.as_posix(), MEASURED, PREPARED)


def customers_in(md5s: Mapping[str, str]) -> str | None:
    """The md5 of the customers among {path: md5}, be they a CSV or a folder of parts."""
    return next((md5s[path] for path in POINTERS if path in md5s), None)


def customers_path(md5: str) -> str:
    """Where customers of this md5 lie: that of a folder tells what it is of."""
    return CUSTOMERS_FOLDER if md5.endswith(LIST) else CUSTOMERS


@dataclass(frozen=True)
class Lockfile:
    """One dvc.lock.

    Attributes:
        md5s, sizes: of every file and folder that a stage read or wrote, by path; sizes in bytes.
        inputs: the paths that a stage read and none wrote.
    """

    md5s: dict[str, str]
    sizes: dict[str, int]
    inputs: list[str]

    @property
    def content(self) -> str | None:
        """The model: the md5 of models/provenance.json."""
        return self.md5s.get(PROVENANCE.as_posix())

    @property
    def customers(self) -> str | None:
        """The md5 of the customers."""
        return customers_in(self.md5s)

    @property
    def code(self) -> dict[str, str]:
        """{path: md5} of the Python files that the stages were made of."""
        return {path: self.md5s[path] for path in self.inputs if path.endswith(".py")}


def parse_lock(text: bytes) -> Lockfile:
    """What a dvc.lock names; nothing of one that is no such file (a merge conflict was committed)."""
    import yaml

    try:
        # Of YAML's nodes only what is wanted becomes a value: locks are many, and most of each is params.
        stages = _fields(_fields(yaml.compose(text, yaml.CBaseLoader))["stages"]).values()
        sides = [{key: _entries(stage, key) for key in ("deps", "outs")} for stage in stages]
        model = [md5 for side in sides for path, md5, _ in side["outs"] if path == PROVENANCE.as_posix()]
        # After `dvc repro train` the later stages' entries are still those of the model before.
        sides = [
            side
            for side in sides
            if all(path != PROVENANCE.as_posix() or md5 in model for path, md5, _ in side["deps"])
        ]
        read, written = ([entry for side in sides for entry in side[key]] for key in ("deps", "outs"))
        return Lockfile(
            {path: md5 for path, md5, _ in read + written},
            {path: size for path, _, size in read + written if size is not None},
            sorted({path for path, _, _ in read} - {path for path, _, _ in written}),
        )
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        return Lockfile({}, {}, [])


def _entries(stage: Any, key: str) -> list[tuple[str, str, int | None]]:
    """(path, md5, size in bytes) of what a stage read or wrote; of text, for an md5 is no number."""
    entries, fields = [], _fields(stage)
    for node in fields[key].value if key in fields else ():
        entry = {name: value.value for name, value in _fields(node).items()}
        if "md5" in entry:
            entries.append((entry["path"], entry["md5"], int(entry["size"]) if "size" in entry else None))
    return entries


def _fields(mapping: Any) -> dict[str, Any]:
    """{key: node} of a mapping of YAML's."""
    return {key.value: node for key, node in mapping.value}


def parse_list(text: bytes) -> dict[str, str]:
    """{path in it: md5} of the list that DVC keeps of a folder's files. Raises ValueError for no list."""
    try:
        return {entry["relpath"]: entry["md5"] for entry in json.loads(text)}
    except (KeyError, TypeError) as error:
        raise ValueError("it names no files") from error


def parse_pointer(text: bytes) -> str:
    """The md5 that a .dvc file names; empty for one that names none."""
    import yaml

    try:
        return yaml.load(text, yaml.CBaseLoader)["outs"][0]["md5"]
    except (yaml.YAMLError, IndexError, KeyError, TypeError):
        return ""


def parse_yaml(text: bytes) -> dict[str, Any]:
    """A YAML file as DVC reads it; empty for one that is no mapping.

    Raises ValueError for one that is no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        tree = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(str(error)) from error
    return tree if isinstance(tree, dict) else {}


def parse_params(text: bytes) -> dict[str, Any]:
    """{dotted name: value} of a params.yaml; nothing of one that is no YAML.

    Read as text first: DVC reads YAML 1.2, in which a bare No is no false.
    """
    import yaml

    try:
        params = flat(yaml.load(text, yaml.CBaseLoader) or {})
    except yaml.YAMLError:
        return {}
    return {name: _value(param) for name, param in params.items()}


def _value(param: Any) -> Any:
    """A param as JSON has it: a number, true, false, null (an empty one, too), or text."""
    try:
        return None if param in ("", "~") else json.loads(param)
    except (TypeError, ValueError):
        return param


def parse_record(text: bytes) -> Any:
    """A committed JSON file; None for one that is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None
