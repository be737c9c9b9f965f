"""Environments of their own, of packages whose pins and this project's differ: made once, and kept."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from predictflow.adapters.processes import package_index
from stages.support.paths import MODEL_FOLDER
from tests.people.project import BIN

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "predictflow"
OUT_OF_REACH = re.compile(
    r"error sending request|dns error|Failed to fetch|Could not connect|timed out", re.I
)


def kept_environment(name: str, commands: str, requirements: Path) -> Path:
    """The environment ../`name` that some commands make beside a project with these requirements.

    It is kept in the user's cache; the test is skipped where it is not there yet and PyPI is out of reach.
    """
    made_of = f"{sys.version} {commands} {requirements.read_text()}"
    folder = CACHE / f"{name}-{hashlib.md5(made_of.encode()).hexdigest()}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not (folder / "made").exists():
            for other in CACHE.glob(f"{name}-*"):
                shutil.rmtree(other)
            project = folder / "project"
            (project / MODEL_FOLDER).mkdir(parents=True)
            shutil.copy(requirements, project / MODEL_FOLDER)
            env = os.environ | package_index() | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
            done = subprocess.run(
                ["sh", "-ec", commands], cwd=project, env=env, capture_output=True, text=True
            )
            if done.returncode and OUT_OF_REACH.search(done.stderr):
                pytest.skip(f"PyPI is out of reach: {done.stderr[-300:]}")
            assert done.returncode == 0, done.stderr
            (folder / "made").touch()
    return folder / name
