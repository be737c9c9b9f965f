"""A finding: what does not agree, its cure, and the fixes that mend it without a decision."""

from collections.abc import Iterable
from dataclasses import dataclass

from predictflow.audit.fixes import Fix

FIX = "`predictflow audit --fix`"
RESTORE = "`predictflow restore`"
FIRST_RECEIPTS = "the receipts first: they must be whole, and the same on origin"
# In the order in which they are told.
FINDING_KINDS = {
    "receipt": "receipts",
    "origin": "receipts that origin and this clone do not share",
    "foreign tag": "tags that GTO and DVC believe, and that are no receipts",
    "content": "versions that say another content, or none",
    "address": "addresses at which MLflow seeks files",
    "stage": "stages",
    "alias": "aliases",
    "tag": "tags of versions",
    "number": "numbers of versions",
    "told": "what the store tells of runs and versions",
    "version": "versions that the registry does not have",
    "run": "versions without a run",
    "model": "runs without their model",
    "running": "runs left RUNNING",
    "duplicate": "duplicates",
    "git": "what was committed",
    "index": "the index of Git's history",
    "cache": "files in DVC's cache",
    "files": "files in MLflow's store",
    "tree": "files of the working tree",
    "not promoted": "not promoted",
    "not committed": "not committed",
    "not here": "not on this machine",
}
# What is mended before anything else is looked at again: what receipts and contents say decides the rest.
FIRST = ("receipt", "origin"), ("content", "address")


@dataclass(frozen=True)
class Finding:
    """A disagreement; or a note, of what is as it may be.

    Attributes:
        kind: one of FINDING_KINDS.
        about: the tag, version, run or stage.
        message: what is the matter, a sentence.
        cure: a command or what to do, for people; None where there is nothing to do.
        fixes: what mends it; empty where that takes a decision.
    """

    kind: str
    about: str
    message: str
    cure: str | None
    fixes: tuple[Fix, ...] = ()
    note: bool = False

    @property
    def fixable(self) -> bool:
        return bool(self.fixes)


def new_finding(kind: str, about: str, message: str, cure: str, fixes: Iterable[Fix] = ()) -> Finding:
    """A finding whose cure, where there are fixes, is to let them be applied."""
    fixes = tuple(fixes)
    return Finding(kind, about, message, FIX if fixes else cure, fixes)
