"""Scored files: what they say of themselves, held against Git as far as that can be done."""

from dataclasses import dataclass
from pathlib import Path

from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.scoring.claim import Claim, Note, find_notes, place, read_metadata, read_note

PARQUET = b"PAR1"  # what such a file begins with


@dataclass(frozen=True)
class ScoredFile:
    """A file of scores.

    Attributes:
        md5: of its bytes; of those that its JSON names where the file itself is not here.
        claim: what it says of itself, or its JSON of it.
        inside: whether the file itself says so.
        note: the JSON beside it; None where there is none.
        is_here: whether the file's own bytes were looked at.
    """

    name: str
    md5: str
    claim: Claim
    inside: bool
    note: Note | None
    is_here: bool = True


def find_scored(path: Path, md5: str, looked: list[str]) -> ScoredFile | None:
    """What a file with this md5 says of itself, or the JSON beside it, or, as it was renamed, another JSON in
    its folder; None where nothing does. `looked` gets the reason where a JSON speaks of other bytes."""
    if note := read_note(path):  # the JSON itself
        return ScoredFile(path.name, note.output, note.claim, inside=False, note=note, is_here=False)
    beside = place(path)
    note = read_note(beside) or next(iter(find_notes(path.parent, md5)), None)
    if claim := _in_parquet(path):
        return ScoredFile(path.name, md5, claim, inside=True, note=note)
    if note and note.output == md5:
        return ScoredFile(path.name, md5, note.claim, inside=False, note=note)
    if note:
        looked.append(f"{beside.name} speaks of the bytes {note.output}, and {path.name} has {md5}")
    return None


def find_named(folder: Path, md5: str) -> list[ScoredFile]:
    """The scored files whose md5 begins so, by the JSON files of a folder."""
    return [
        ScoredFile(f"a file with the md5 {note.output}", note.output, note.claim, False, note, is_here=False)
        for note in find_notes(folder, md5)
    ]


def _in_parquet(path: Path) -> Claim | None:
    with path.open("rb") as file:
        if file.read(len(PARQUET)) != PARQUET:
            return None
    return read_metadata(path)


def describe(project: Project, scored: ScoredFile) -> Json:
    """A scored file: what it says, what of that was held against something else, and what nobody can tell."""
    claim, note = scored.claim, scored.note
    if not scored.is_here:
        project.gaps.note(f"the scores with the md5 {scored.md5}: only a JSON beside them speaks of them")
    named_by = (project.history.named_by, project.in_store(claim.input))
    paths = {path for named in named_by for path in named.get(claim.input, {})}
    return {
        "name": scored.name,
        "md5": scored.md5,
        "rows": claim.rows,
        "skipped": claim.skipped,
        "threshold": claim.threshold,
        "when": note.when if note else None,
        "input": {"md5": claim.input, "paths": sorted(paths)},
        "doubts": _doubts(project, scored),
        "unproven": (
            "that this model gave these scores is what they say of themselves; the file that was scored,"
            " scored again, gives the same bytes if it is true"
        ),
    }


def _doubts(project: Project, scored: ScoredFile) -> list[str]:
    """Where the file, its JSON and Git do not say the same."""
    claim, note, doubts = scored.claim, scored.note, []
    if note and note.output != scored.md5:
        doubts.append(f"its JSON speaks of the bytes {note.output}")
    if note and scored.inside and note.claim != claim:
        doubts.append("its JSON says otherwise than its own metadata")
    is_there = claim.commit and project.repository.commit(claim.commit) == claim.commit
    lock = project.history.lock_at(claim.commit) if claim.commit and is_there else None
    if claim.commit and (lock is None or project.history.locks[lock].content != claim.model):
        doubts.append(f"the commit {claim.commit[:10]} that it names does not hold this model")
        lock = None
    if claim.model in project.history.contents:
        threshold = project.history.model(claim.model, lock).metrics.get("threshold")
        if threshold != claim.threshold:
            doubts.append(f"its threshold is {claim.threshold}, and that of the model {threshold}")
    else:
        doubts.append("no commit holds the model that it names")
    return doubts
