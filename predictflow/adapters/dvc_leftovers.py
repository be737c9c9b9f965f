"""What DVC leaves where it was killed: half-written files, locks, tasks of the queue that nobody works on."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from predictflow.adapters.git import Repository
from predictflow.adapters.processes import is_stopped, is_worker, look_up, told

if TYPE_CHECKING:
    import psutil

TEMPORARY = re.compile(r".*\.[\w-]{22}\.tmp", re.ASCII)  # as DVC names what it writes before it is whole
TMP = Path(".dvc/tmp")
EXPERIMENTS_FOLDER = TMP / "exps"
KILLED_EXPERIMENTS = ("tmp*/", "standalone/tmp*/", "standalone/run/*/")  # in there, while none is at work
LOCK = TMP / "lock"
RWLOCKS = (TMP / "rwlock", EXPERIMENTS_FOLDER / "rwlock")
CLOCK_TICK = 1  # second by which the time of a process and of a file may differ
STASH = "refs/exps/stash"  # in Git: where DVC notes an experiment down before it begins
UNFINISHED = (1, 2)  # PREPARING and RUNNING among DVC's numbers of what an experiment is at


class Holder(StrEnum):
    """Who holds a lock: a command at work, one that was stopped (Ctrl-Z), nobody any more, or somebody of
    whom that cannot be told."""

    AT_WORK = "at work"
    STOPPED = "stopped"
    GONE = "gone"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Held:
    """A lock that lets a command of DVC's wait, or give up; `by` is a process, `123: dvc repro`, if one is
    known."""

    path: Path
    holder: Holder
    by: str


def held_locks(root: Path) -> list[Held]:
    """The locks of a project; not those of processes that are gone, which DVC takes back by itself."""
    return [*_lock(root), *(held for path in RWLOCKS for held in _rwlock(root, path))]


def _lock(root: Path) -> Iterator[Held]:
    path = root / LOCK
    if not path.is_file():
        return
    with path.open("rb") as file:
        claim = file.read().decode(errors="replace").strip()
        if claim.endswith(".lock"):  # under `core.hardlink_lock` it names no process, and outlives it
            yield Held(LOCK, Holder.UNSURE, "a DVC command, perhaps on another machine")
            return
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            process = look_up(int(claim)) if claim.isdigit() else None
            yield Held(LOCK, _at_work(process), told(process) if process else "a process")


def _rwlock(root: Path, path: Path) -> Iterator[Held]:
    """Each entry was written before the file was last changed: what began after that, and is no command of
    DVC's, is another process."""
    try:
        text, changed = (root / path).read_text(encoding="utf-8"), (root / path).stat().st_mtime
    except FileNotFoundError:
        return
    try:
        locked = json.loads(text)
        infos = [*locked.get("write", {}).values(), *chain(*locked.get("read", {}).values())]
        pids = sorted({int(info["pid"]) for info in infos})
    except (ValueError, AttributeError, KeyError, TypeError):
        yield Held(path, Holder.GONE, "half written")
        return
    for process in filter(None, map(look_up, pids)):
        if is_worker(process):  # whenever it began: a clock that was set forward lets all seem to begin later
            holder = _at_work(process)
        else:
            holder = Holder.GONE if process.create_time() > changed + CLOCK_TICK else Holder.UNSURE
        yield Held(path, holder, told(process))


def _at_work(process: "psutil.Process | None") -> Holder:
    return Holder.STOPPED if process and is_stopped(process) else Holder.AT_WORK


def dead_tasks(root: Path) -> list[str]:
    """The names of the queue's experiments that say they run, and whose process is gone."""
    dead = []
    for about in sorted((root / EXPERIMENTS_FOLDER / "run").glob("*/*.run")):
        try:
            task = json.loads(about.read_bytes())
            process = json.loads(about.with_suffix(".json").read_bytes())
            gone = process["returncode"] is None and look_up(process["pid"]) is None
            if task["status"] in UNFINISHED and gone:
                dead.append(task["name"] or about.stem[:7])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # it begins, or ends, just now
            continue
    return dead


def waiting_experiments(repository: Repository) -> list[str]:
    """The experiments of `dvc exp run`, not of the queue, that DVC has noted down and not begun yet."""
    if repository.git("rev-parse", "--verify", "--quiet", STASH).returncode:
        return []
    noted = repository.git("log", "--walk-reflogs", "--format=%gs", STASH, "--").stdout.decode().splitlines()
    return [note.rpartition(":")[2] or "one without a name" for note in noted] or ["one without a name"]


def killed_experiments(root: Path) -> list[Path]:
    """The folders that killed experiments have left; those of one at work are among them."""
    return [path for pattern in KILLED_EXPERIMENTS for path in (root / EXPERIMENTS_FOLDER).glob(pattern)]


def unfinished_experiments(root: Path) -> list[Path]:
    """The same without the notes that DVC keeps of those that have ended."""
    return [path for path in killed_experiments(root) if not _has_ended(path)]


def _has_ended(folder: Path) -> bool:
    try:
        return json.loads((folder / f"{folder.name}.run").read_bytes())["status"] not in UNFINISHED
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # it is the experiment's own folder, or half
        return False


def half_written(folder: Path) -> list[Path]:
    """What DVC has begun to write into a folder, and not finished."""
    return [
        Path(top, name)
        for top, _, names in os.walk(folder)
        for name in names
        if name.endswith(".tmp") and TEMPORARY.fullmatch(name)
    ]
