"""What a scored file says of itself: in its own metadata where it is Parquet, and in a small JSON beside it.

It is a claim: whoever can write the file can write it. `lineage/scored.py` holds it against Git.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.support import files

CLAIM_LAYOUT = 1
KEY = b"predictflow.scores"  # in the metadata of a Parquet file's schema
LARGEST = 10_000  # bytes: no JSON of ours is larger


@dataclass(frozen=True)
class Claim:
    """Which model scored which file. Nothing in it changes by itself: the same scores are the same bytes.

    Attributes:
        model: its content.
        commit: where the dvc.lock was recorded whose metrics gave the threshold; None: in the working tree.
        threshold: from this probability on the decision is to call.
        input: the md5 of the file that was scored.
        rows, skipped: customers with a score, and those without one.
    """

    model: str
    commit: str | None
    threshold: float
    input: str
    rows: int
    skipped: int

    def as_bytes(self) -> bytes:
        return json.dumps(asdict(self) | {"layout": CLAIM_LAYOUT}, sort_keys=True).encode()


@dataclass(frozen=True)
class Note:
    """The JSON beside a scored file: its claim, the md5 of the file, and when it was written."""

    claim: Claim
    output: str
    when: str


def place(scores: Path) -> Path:
    """Where the JSON of a scored file lies."""
    return scores.with_name(f"{scores.name}.json")


def write_note(path: Path, note: Note) -> None:
    files.write_json(path, json.loads(note.claim.as_bytes()) | {"output": note.output, "when": note.when})


def read_note(path: Path) -> Note | None:
    """The JSON of a scored file; None for any other file."""
    if not path.is_file() or path.stat().st_size > LARGEST:
        return None
    fields = _fields(path.read_bytes())
    claim, output, when = _claim(fields), fields.get("output"), fields.get("when")
    if claim is None or not isinstance(output, str) or not isinstance(when, str):
        return None
    return Note(claim, output, when)


def find_notes(folder: Path, md5: str) -> list[Note]:
    """What the JSON files of a folder say of a scored file whose md5 begins so."""
    notes = (read_note(path) for path in sorted(folder.glob("*.json")))
    return [note for note in notes if note and note.output.startswith(md5)]


def read_metadata(path: Path) -> Claim | None:
    """What a Parquet file says of itself; None where it says nothing, or is none."""
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
    except (pyarrow.ArrowInvalid, OSError):
        return None
    return _claim(_fields(metadata.get(KEY, b"")))


def _fields(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _claim(fields: dict[str, Any]) -> Claim | None:
    """A claim whose every field is of its kind; None for anything else."""
    kinds: dict[str, Any] = {
        "model": str,
        "commit": str | None,
        "threshold": float | int,
        "input": str,
        "rows": int,
        "skipped": int,
    }
    if fields.get("layout") != CLAIM_LAYOUT or not kinds.keys() <= fields.keys():
        return None
    if not all(isinstance(fields[name], kind) for name, kind in kinds.items()):
        return None
    return Claim(**{name: fields[name] for name in kinds})
