"""A place that does not say of a model what the others say."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mismatch:
    """A place that does not say of a model what the others say.

    Attributes:
        kind: content (the version carries none), run (its run made another), commit (no branch or tag has
            it), git (what was committed), tags (its md5s in the registry), cache (other bytes there), not
            here (none in the cache), files (MLflow's), tree (the working tree's).
        message: a sentence, for people.
        path: the file or folder that is not what it should be; None where it is none.
        md5: what a file should be; None for one that should not be there, and for a folder.
    """

    kind: str
    message: str
    path: Path | None = None
    md5: str | None = None


def differ(path: object, md5: str | None, by: object, other: str | None, at: str) -> str:
    """That a path has one md5 by one source, and another, or none, by another."""
    return f"{path} has {_named(md5)} by {by}, but {_named(other)} by {at}"


def _named(md5: str | None) -> str:
    return f"the md5 {md5}" if md5 else "no md5"
