"""Which processes are at work in a project, and which are gone."""

import socket
from collections.abc import Mapping
from pathlib import Path

from stages.tracking.store import BEGAN, HOST, PID

WORKERS = ("dvc", "predictflow")  # commands that read or write the cache and the store
MODULES = ("dvc.", "stages.", "predictflow.")  # the same, as `python -m`


def gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that made a run has ended; False where that cannot be told from here."""
    import psutil

    if tags.get(HOST) != socket.gethostname() or not {PID, BEGAN} <= tags.keys():
        return False
    try:
        began = psutil.Process(int(tags[PID])).create_time()
    except psutil.NoSuchProcess:
        return True
    return str(round(began, 2)) != tags[BEGAN]


def at_work(root: Path) -> list[str]:
    """The commands of DVC, of the stages and of these commands that run in a project, but for this one and
    those that have started it: `123: dvc repro`."""
    import psutil

    me = psutil.Process()
    mine = {me.pid, *(parent.pid for parent in me.parents())}
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if process.pid not in mine and _works(words) and Path(process.cwd()).is_relative_to(root):
                found.append(f"{process.pid}: {' '.join(words)}")
        except psutil.Error:  # it has ended, or is another user's
            continue
    return found


def _works(words: list[str]) -> bool:
    """Whether a command line is one of DVC's, of a stage or of these commands."""
    if words and Path(words[0]).name.startswith("python"):
        words = words[1:]
    if words[:1] == ["-m"]:
        return f"{words[1]}.".startswith(MODULES)
    return bool(words) and Path(words[0]).name in WORKERS
