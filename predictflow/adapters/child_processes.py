"""The processes that a command starts: they end with it, and what they say goes to a file."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# Of the one who calls: they would lead Python, Git, DVC and MLflow to another project than the one at hand.
MISLEADING_VARIABLES = (
    *("PYTHON", "VIRTUAL_ENV", "MLFLOW_", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_", "DVCLIVE_"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"),
)
GRACE_SECONDS = 10  # seconds that a process has to end when it is asked to, before it is killed
POLL_SECONDS = 0.2  # seconds between two looks at a process
LOG_LINES = 25  # lines of a log that are shown


def environ() -> dict[str, str]:
    """The variables of this process, but for those that lead astray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(MISLEADING_VARIABLES)}


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
        self,
        words: list[str],
        folder: Path,
        env: Mapping[str, str],
        log: Path,
        watch: Callable[[], None] = lambda: None,
    ) -> int:
        """The exit code of a command; what it prints is added to `log`.

        It gets a session of its own, so that all that it starts can be ended together. `watch` is called
        while it runs. Raises Stopped.
        """
        with log.open("ab") as file:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            while process.poll() is None:
                if self.stopped.wait(POLL_SECONDS):
                    raise Stopped
                watch()
        finally:
            if process.poll() is None:
                _end(process)
        return process.returncode


def _end(process: subprocess.Popen) -> None:
    """End a process and all that it has started; asked first, so that DVC can put away what it holds."""
    for how, patience in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):  # that is how macOS says that it is gone
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def end_those_in(folder: Path) -> None:
    """Kill the processes that work in a folder, whoever started them: theirs was killed."""
    import psutil

    end = time.monotonic() + GRACE_SECONDS
    while working := [process for process in psutil.process_iter() if _works_in(process, folder)]:
        for process in working:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(working, timeout=1)
        if time.monotonic() > end:
            return


def _works_in(process: "psutil.Process", folder: Path) -> bool:
    import psutil

    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):  # somebody else's, or gone
        return False


def end_of(log: Path) -> str:
    """The last lines of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return "\n".join(f"  | {line}" for line in lines[-LOG_LINES:] if line.strip())
