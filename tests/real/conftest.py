"""In this tier a command is a process of its own; where it matters only what it writes and says, it is forked
off one that has its libraries, in a fifth of the time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.people.project import top
from tests.people.readme import play_the_readme
from tests.people.s3 import S3, s3_server

# What is stopped or killed in these files is a process of its own all the same (Project.unhurried).
FORKED = {
    *("test_dvc_experiments.py", "test_faults.py", "test_habits.py", "test_history.py", "test_moved_code.py"),
    *("test_promote_at_a_server.py", "test_rebuild.py", "test_tracking.py"),
}


@pytest.fixture
def in_a_hurry(request: pytest.FixtureRequest) -> bool:
    return request.path.name in FORKED


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


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A server that checks whose keys ask, and what they may."""
    with s3_server() as made:
        yield made


@pytest.fixture(scope="session")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project of DVC's whose remote is to be somewhere on S3: to be copied."""
    from tests.people.remote_faults import make_project  # here: the others need not wait for its imports

    top = tmp_path_factory.mktemp("remote")
    make_project(top)
    return top
