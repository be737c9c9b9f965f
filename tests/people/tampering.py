"""Somebody tampers with a project, at a place and in a way that are drawn at random, the same each time."""

import hashlib
import json
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.people.history import History

MODEL = "churn-predictor"
STANDING = f"{MODEL}@production"
# What is asked of a project, before and after; an answer counts without what could not be looked at.
ASKED = (
    ("lineage", STANDING),
    ("lineage", "HEAD"),
    ("lineage", "data/customers.csv", "--down"),
    ("diff", "v1", STANDING),
    ("find-customer", "M-30"),
    ("experiments",),
    ("history",),
    ("gate", STANDING),
)
# Who is to notice.
WATCHERS = (("audit",), ("gate", STANDING), ("history",), ("status",))
VERDICTS = ("seen", "unseen and harmless", "unseen and harmful", "blessed", "damaged")


# --- Where, and how --------------------------------------------------------------------------------------


def in_tree(top: Path) -> list[Path]:
    project = top / "project"
    named = ("params.yaml", "dvc.lock", "dvc.yaml", "data/customers.csv", "data/customers.csv.dvc")
    folders = ("models", "metrics", "data/prepared")
    inside = (path for folder in folders for path in (project / folder).rglob("*") if path.is_file())
    return sorted([*(project / name for name in named), *inside])


def in_cache(top: Path) -> list[Path]:
    return sorted(path for path in (top / "project/.dvc/cache/files").rglob("*") if path.is_file())


def in_store(top: Path) -> list[Path]:
    return sorted(path for path in (top / "project/mlflow_data/artifacts").rglob("*") if path.is_file())


def in_index(top: Path) -> list[Path]:
    return sorted(path for path in (top / "project/.dvc/tmp/predictflow").rglob("*") if path.is_file())


def flip(path: Path, draw: random.Random, others: list[Path]) -> None:
    text = bytearray(path.read_bytes())
    if text:
        text[draw.randrange(len(text))] ^= 1 << draw.randrange(8)
    path.write_bytes(text or b"\0")


def digit(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Another digit in place of one, as somebody does who wants a better number."""
    text = bytearray(path.read_bytes())
    places = [at for at, byte in enumerate(text) if chr(byte) in "0123456789"]
    if places:
        at = draw.choice(places)
        text[at] = ord("0") + (text[at] - ord("0") + draw.randrange(1, 10)) % 10
    path.write_bytes(text or b"0")


def append(path: Path, draw: random.Random, others: list[Path]) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def cut(path: Path, draw: random.Random, others: list[Path]) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path, draw: random.Random, others: list[Path]) -> None:
    path.write_bytes(b"")


def delete(path: Path, draw: random.Random, others: list[Path]) -> None:
    path.unlink()


def swap(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Another file's bytes, of the same name where there is one."""
    alike = [other for other in others if other.name == path.name and other != path] or others
    path.write_bytes(draw.choice(alike).read_bytes())


def link(path: Path, draw: random.Random, others: list[Path]) -> None:
    """A link to another file of its kind."""
    alike = [other for other in others if other.name == path.name and other != path] or others
    target = draw.choice(alike)
    path.unlink()
    path.symlink_to(target)


def beside(path: Path, draw: random.Random, others: list[Path]) -> None:
    """A file that nobody has asked for."""
    name = draw.choice(["__pycache__/serving.cpython-311.pyc", ".hidden", "sitecustomize.py", "more.bin"])
    planted = path.parent / name
    planted.parent.mkdir(exist_ok=True)
    planted.write_bytes(b"planted")


FILES: dict[str, Callable[[Path], list[Path]]] = {
    "the working tree": in_tree,
    "DVC's cache": in_cache,
    "MLflow's files": in_store,
    "the index of Git's history": in_index,
}
FILE_EDITS = (flip, digit, append, cut, empty, delete, swap, link, beside)

# What the store says of runs and versions; keys of rows are left alone, or the row is another one.
COLUMNS = (
    ("runs", "status"),
    ("runs", "artifact_uri"),
    ("runs", "lifecycle_stage"),
    ("runs", "experiment_id"),
    ("tags", "value"),
    ("params", "value"),
    ("latest_metrics", "value"),
    ("model_versions", "current_stage"),
    ("model_versions", "run_id"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("model_versions", "description"),
    ("model_version_tags", "value"),
    ("registered_model_aliases", "version"),
    ("registered_model_aliases", "alias"),
)
ROW_EDITS = ("another row's", "text", "the row is deleted")


def tamper_with_the_database(top: Path, draw: random.Random) -> str:
    """Where SQLite lets it: of some columns it knows the values."""
    with closing(sqlite3.connect(top / "project/mlflow_data/mlflow.db")) as store:
        while True:
            (table, column), how = draw.choice(COLUMNS), draw.choice(ROW_EDITS)
            row = draw.choice(store.execute(f"SELECT rowid FROM {table} ORDER BY rowid").fetchall())[0]
            (now,) = store.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", [row]).fetchone()
            values = store.execute(f"SELECT DISTINCT {column} FROM {table} ORDER BY 1").fetchall()
            others = [value for (value,) in values if value != now]
            value = draw.choice(others) if how == ROW_EDITS[0] and others else "forged"
            with suppress(sqlite3.IntegrityError), store:
                if how == ROW_EDITS[2]:
                    store.execute(f"DELETE FROM {table} WHERE rowid = ?", [row])
                else:
                    store.execute(f"UPDATE OR REPLACE {table} SET {column} = ? WHERE rowid = ?", [value, row])
                return f"{table}.{column}, row {row}: {how}"


TAG_EDITS = ("is deleted", "is at another commit", "has another body", "has a copy", "is another's object")


def tamper_with_tags(made: History, folder: Path, draw: random.Random) -> str:
    """With receipts, in a clone or in origin."""

    def git(*words: str) -> str:
        return made.project.run("git", "-C", str(folder), *words).stdout.strip()

    names = git("tag", "--list", f"{MODEL}*").splitlines()
    name, how = draw.choice(names), draw.choice(TAG_EDITS)
    if how == TAG_EDITS[0]:
        git("update-ref", "-d", f"refs/tags/{name}")
    elif how == TAG_EDITS[1]:
        git("update-ref", f"refs/tags/{name}", git("rev-parse", draw.choice(["v1", "light", "feature"])))
    elif how == TAG_EDITS[4]:
        other = draw.choice([other for other in names if other != name])
        git("update-ref", f"refs/tags/{name}", git("rev-parse", f"refs/tags/{other}"))
    else:
        text = git("cat-file", "tag", name) + "\n"
        copied = f"{MODEL}#production#{draw.choice([7, 8, 9])}"
        if how == TAG_EDITS[2]:
            old, new = draw.choice([('"version":', '"version":1'), ("roc_auc", "roc_auc_"), ("T1", "T0")])
            text, copied = text.replace(old, new), name
        written = folder.parent / "forged"
        written.write_text(text.replace(f"\ntag {name}\n", f"\ntag {copied}\n"))
        forged = git("hash-object", "-t", "tag", "--literally", "-w", str(written))
        git("update-ref", f"refs/tags/{copied}", forged)
    return f"{name} {how}"


PLACES = (*FILES, "MLflow's database", "the tags", "origin's tags")


def tamper(made: History, top: Path, draw: random.Random) -> str:
    """Do one of all that can be done; what it was."""
    place = draw.choice(PLACES)
    if place in FILES:
        files = FILES[place](top)
        path, edit = draw.choice(files), draw.choice(FILE_EDITS)
        path.chmod(0o644)
        edit(path, draw, files)
        return f"{place}: {edit.__name__} {path.relative_to(top / 'project')}"
    if place == "MLflow's database":
        return f"{place}: {tamper_with_the_database(top, draw)}"
    folder = top / ("project" if place == "the tags" else "origin.git")
    return f"{place}: {tamper_with_tags(made, folder, draw)}"


# --- What comes of it ------------------------------------------------------------------------------------


def answers(made: History) -> dict[str, str]:
    """{what was asked: its exit code and answer}, whatever could not be looked at, wherever it lies, and
    whether or not DVC's cache has it still."""
    top = str(made.project.folder.parent)
    told = {}
    for words in ASKED:
        code, out, errors = made.said(*words, "--json")
        assert not errors, errors
        out = re.sub(r'"cached": (true|false|null)', "", out)
        told[" ".join(words)] = f"{code} {out.partition('not_looked_at')[0].replace(top, '')}"
    return told


def bytes_of(top: Path, made: History) -> dict[str, str]:
    """{file or ref: its md5 or object} of all that is held to; of the database, answers tell."""
    places = (in_tree, in_cache, in_store)
    held = {
        str(path.relative_to(top)): hashlib.md5(path.read_bytes()).hexdigest()
        for place in places
        for path in place(top)
        if path.exists()
    }
    for folder in ("project", "origin.git"):
        words = ("-C", str(top / folder), "for-each-ref", "--format=%(refname) %(objectname)")
        listed = made.project.run("git", *words).stdout.splitlines()
        held |= {f"{folder} {name}": object for name, object in map(str.split, listed)}
    return held


def watched(made: History) -> list[object]:
    """What those say who are to notice: exit codes, findings, and what status tells of the files."""
    said: list[object] = []
    for words in WATCHERS:
        code, out, errors = made.said(*words, "--json")
        assert not errors, errors
        answer = json.loads(out)
        told = [answer.get(key) for key in ("pipeline", "conflicts", "uncommitted", "next")]
        said += [code, out.count('"told":'), told]
    return said


@dataclass(frozen=True)
class Sound:
    """A project that nobody has touched."""

    answers: dict[str, str]
    bytes: dict[str, str]
    watched: list[object]

    @classmethod
    def look(cls, made: History, top: Path) -> "Sound":
        return cls(answers(made), bytes_of(top, made), watched(made))


def verdict(made: History, top: Path, sound: Sound) -> str:
    """One of VERDICTS on a project that somebody has tampered with."""
    before = bytes_of(top, made)
    if watched(made) == sound.watched:
        same = answers(made) == sound.answers and _served(before) == _served(sound.bytes)
        return "unseen and harmless" if same else "unseen and harmful"
    code, _, errors = made.said("audit", "--fix", "--json")
    assert not errors, errors
    after = bytes_of(top, made)
    moved = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    there = {name.replace("origin.git ", "project "): object for name, object in before.items()}
    fetched = {name for name in moved if after.get(name) == there.get(name)}
    if any(before.get(name) == sound.bytes.get(name) for name in moved - fetched):  # what was whole
        return "damaged"
    if code == 0 and (
        _says_otherwise(answers(made), sound.answers) or _served(after) != _served(sound.bytes)
    ):
        return "blessed"
    return "seen"


def _says_otherwise(now: dict[str, str], sound: dict[str, str]) -> bool:
    """Whether an answer says what it did not say before; one that cannot be given any more is not wrong."""
    said = {line for words in now for line in set(now[words].splitlines()) - set(sound[words].splitlines())}
    return any(": null" not in line and '"why_not": "' not in line for line in said)


def _served(held: dict[str, str]) -> dict[str, str]:
    """The files of models that MLflow would serve."""
    return {name: md5 for name, md5 in held.items() if "/artifacts/model/" in name}


def told(verdicts: Counter[str]) -> str:
    return " · ".join(f"{name} {verdicts[name]}" for name in VERDICTS)
