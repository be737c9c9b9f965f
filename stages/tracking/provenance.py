"""models/provenance.json: what a model is and what it was made from. Its md5 is *the content*."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.support import files
from stages.support.hashes import md5
from stages.support.paths import PROVENANCE


def write(md5s: dict[str, str], params: dict[str, Any], path: Path = PROVENANCE) -> None:
    """A list at the top level, which keeps it out of `dvc metrics diff`: the files, then the params."""
    entries = [{"path": name, "md5": digest} for name, digest in sorted(md5s.items())]
    files.write_json(path, [*entries, {"params": params}])


@dataclass(frozen=True)
class Provenance:
    """A recorded model.

    Attributes:
        content: the md5 of provenance.json, the name that tracking, registry and lineage join by.
        md5s: {path: md5} of the model's files and of what it was made from.
        params: those of prepare and train, as params.yaml nests them.
    """

    content: str
    md5s: dict[str, str]
    params: dict[str, Any]


def read(path: Path = PROVENANCE) -> Provenance:
    *entries, last = files.read_json(path)
    return Provenance(md5(path), {entry["path"]: entry["md5"] for entry in entries}, last["params"])
