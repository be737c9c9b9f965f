"""Environments made from the locks of a commit, kept in .dvc/tmp/predictflow/environments/ and used again."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from predictflow.adapters import processes
from predictflow.adapters.dvc_files import REQUIREMENTS
from predictflow.adapters.processes import Children, Stopped
from predictflow.errors import CouldNotTell

ENVIRONMENTS = Path(".dvc/tmp/predictflow/environments")
LOCK_FILES = (REQUIREMENTS, "requirements-dev.lock")
INSTALLED = "installed"  # a file in an environment that has everything, as in the Makefile's


def make(root: Path, project: Path, running: Children, log: Path) -> Path:
    """The environment of the locks in `project`, made where it is not there yet; its folder.

    Raises CouldNotTell where it cannot be made (nothing is kept then), and Stopped.
    """
    if missing := [name for name in LOCK_FILES if not (project / name).is_file()]:
        raise CouldNotTell(
            f"the commit has no {' and no '.join(missing)}, so what it ran in is not known.\n"
            "Cure: `--env current` runs it in today's environment."
        )
    folder = root / ENVIRONMENTS / _key(project)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"))
    while not lock.is_locked:
        try:
            lock.acquire(timeout=processes.POLL_SECONDS)
        except Timeout:  # somebody else is making it
            if running.stopped.is_set():
                raise Stopped from None
    try:
        if not (folder / INSTALLED).exists():
            _install(folder, project, running, log)
        (folder / INSTALLED).touch()  # each time: `prune` asks when it was used last
    finally:
        lock.release()
    return folder


def _key(project: Path) -> str:
    """What an environment is made of: the locks and the Python."""
    made_of = [sys.version.encode(), *((project / name).read_bytes() for name in LOCK_FILES)]
    return hashlib.md5(b"".join(hashlib.md5(part).digest() for part in made_of)).hexdigest()


def _install(folder: Path, project: Path, running: Children, log: Path) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise CouldNotTell(
            "uv, which makes environments, is not installed.\n"
            "Cure: `make repro` installs it; or `--env current`."
        )
    shutil.rmtree(folder, ignore_errors=True)
    python = ["--python", str(folder / "bin/python")]
    locks = [word for name in LOCK_FILES for word in ("-r", str(project / name))]
    env = processes.environ() | processes.package_index()
    for words in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--system-certs", *python, "--require-hashes", "--no-deps", *locks],
    ):
        if running.run([uv, *words], folder.parent, env, log):
            shutil.rmtree(folder, ignore_errors=True)
            wrong = processes.end_of(log)
            raise CouldNotTell(
                f"the environment of {' and '.join(LOCK_FILES)} cannot be made:\n{wrong}\n"
                "Cure: the package index must be in reach and have these versions for this Python"
                f" ({sys.version.split()[0]}); or `--env current`."
            )
