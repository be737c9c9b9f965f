"""In this tier every command is a process of its own."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.people.project import top
from tests.people.readme import play_the_readme


@pytest.fixture
def in_a_hurry() -> bool:
    return False


@pytest.fixture(scope="session")
def after_the_readme() -> Path:
    """Played once for all the processes that the tests run in."""
    folder = top() / "readme"
    done = folder.with_name("readme was played")
    with FileLock(folder.with_name("readme.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            play_the_readme(folder)
            done.touch()
    return folder
