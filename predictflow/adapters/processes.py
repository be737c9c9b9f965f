"""Processes: those that a command starts, which end with it, and those at work in a project."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired, run
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# Of the one who calls: they would lead Python, Git, DVC and MLflow to another project than the one at hand.
MISLEADING_VARIABLES = (
    *("PYTHON", "VIRTUAL_ENV", "MLFLOW_", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_", "DVCLIVE_"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"),
)
WORKERS = ("dvc", "predictflow")  # commands that read or write the cache and the store
MODULES = ("dvc.", "stages.", "predictflow.")  # the same, as `python -m`
GRACE_SECONDS = 10  # seconds that a process has to end when it is asked to, before it is killed
POLL_SECONDS = 0.2  # seconds between two looks at a process
LOG_LINES = 25  # lines of a log that are shown


def environ() -> dict[str, str]:
    """The variables of this process, but for those that lead astray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(MISLEADING_VARIABLES)}


def package_index() -> dict[str, str]:
    """pip's own package index as the variable of uv, which does not read pip's settings; nothing where pip
    has none, or uv was told one already."""
    if "UV_DEFAULT_INDEX" in os.environ:
        return {}
    words = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    url = run(words, capture_output=True, text=True).stdout.strip()
    return {"UV_DEFAULT_INDEX": url} if url else {}


class Stopped(Exception):
    """The command is ending, and so is what it has begun."""


class Children:
    """The processes that some threads have started and wait for.

    Attributes:
        stopped: set when the command ends early: whoever waits for something is to give up.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def run(
        self, words: list[str], folder: Path, env: Mapping[str, str], log: Path, watch: Callable | None = None
    ) -> int:
        """The exit code of a command; what it prints is added to `log`.

        It gets a session of its own, so that all that it starts can be ended together. `watch` is called
        while it runs. Raises Stopped.
        """
        with log.open("ab") as out:
            process = Popen(
                words, cwd=folder, env=env, stdin=DEVNULL, stdout=out, stderr=STDOUT, start_new_session=True
            )
        try:
            while process.poll() is None:
                if self.stopped.wait(POLL_SECONDS):
                    raise Stopped
                if watch:
                    watch()
        finally:
            if process.poll() is None:
                _end(process)
        return process.returncode


def _end(process: Popen) -> None:
    """End a process and all that it has started; asked first, so that DVC can put away what it holds."""
    for how, patience in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):  # that is how macOS says that it is gone
            os.killpg(process.pid, how)
        with suppress(TimeoutExpired):
            process.wait(patience)


def end_of(log: Path) -> str:
    """The last lines of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return "\n".join(f"  | {line}" for line in lines[-LOG_LINES:] if line.strip())


def working_in(folder: Path) -> list["psutil.Process"]:
    """The processes that work in a folder, whoever started them."""
    import psutil

    return [process for process in psutil.process_iter() if _is_in(process, folder)]


def end_those_in(folder: Path) -> None:
    """Kill the processes that work in a folder, whoever started them: theirs was killed."""
    import psutil

    end = time.monotonic() + GRACE_SECONDS
    while working := working_in(folder):
        for process in working:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(working, timeout=1)
        if time.monotonic() > end:
            return


def at_work(root: Path) -> list[str]:
    """The commands of DVC, of the stages and of these commands that run in a project, but for this one and
    those that have started it: `123: dvc repro`."""
    import psutil

    me = psutil.Process()
    mine = {me.pid, *(parent.pid for parent in me.parents())}
    commands = []
    for process in psutil.process_iter():
        if process.pid not in mine and is_worker(process) and _is_in(process, root):
            commands.append(told(process))
    return commands


def look_up(pid: int) -> "psutil.Process | None":
    """A process; None of one that has ended, also where nobody has taken note of that yet."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def is_stopped(process: "psutil.Process") -> bool:
    """Whether somebody has stopped it, as Ctrl-Z does: it goes on when it is told to."""
    import psutil

    with suppress(psutil.Error):
        return process.status() == psutil.STATUS_STOPPED
    return False


def words_of(process: "psutil.Process") -> list[str]:
    """The command line; nothing where the process has ended, or is another user's."""
    import psutil

    try:
        return process.cmdline()
    except psutil.Error:
        return []


def told(process: "psutil.Process") -> str:
    """A process in one line, whatever its words hold: `123: dvc repro`."""
    return f"{process.pid}: {' '.join(' '.join(words_of(process)).split()) or 'not yours'}"


def is_worker(process: "psutil.Process") -> bool:
    """Whether it is one of DVC's commands, of a stage or of these commands."""
    return _works(words_of(process))


def holding(*files: Path) -> list[str]:
    """The processes that have one of these files open, but for this one, as far as this user may see: `12:
    mlflow ui`."""
    import psutil

    commands, paths = [], set(map(str, files))
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is another user's
            if process.pid != os.getpid() and any(one.path in paths for one in process.open_files()):
                commands.append(told(process))
    return commands


def named(folder: Path, name: str) -> list[str]:
    """The processes of a program, as `git`, that work in a folder: `123: git gc`."""
    import psutil

    found = [process for process in psutil.process_iter(["name"]) if process.info["name"] == name]
    return [told(one) for one in found if _is_in(one, folder)]


def file_system(folder: Path) -> str | None:
    """The kind of the disk that a folder lies on, as `ext4` or `nfs4`; None where nobody tells."""
    import psutil

    above = [folder.resolve(), *folder.resolve().parents]
    mounts = {
        Path(disk.mountpoint): disk.fstype for disk in psutil.disk_partitions(all=True)
    }  # the last counts
    return next((mounts[place] or None for place in above if place in mounts), None)


def _is_in(process: "psutil.Process", folder: Path) -> bool:
    import psutil

    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):  # somebody else's, or gone
        return False


def _works(words: list[str]) -> bool:
    """Whether a command line is one of DVC's, of a stage or of these commands."""
    if words and Path(words[0]).name.startswith("python"):
        words = words[1:]
    if words[:1] == ["-m"]:
        return f"{words[1]}.".startswith(MODULES)
    return bool(words) and Path(words[0]).name in WORKERS
