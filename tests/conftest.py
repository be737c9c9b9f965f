"""What happens around the tests: their folder, the templates that are begun before they are needed, and who
belongs to which tier. The fixtures are in fixtures.py, the people who act in tests in people/."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.people.project import REPOSITORY
from tests.real.witnesses import WITNESSES

pytest_plugins = ["tests.fixtures"]

REAL = REPOSITORY / "tests/real"
MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30  # bytes: several times what the tests of a tier hold at once
# Each line is made by a process of its own, while the tests that need none are run.
BEGUN = (
    ("history", "audited", "promoted", "settled", "restored"),
    ("warm", "served", "published", "released"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Give all processes of this run one folder, and let Ctrl-C reach those that a test starts: begun in the
    background, they would ignore it."""
    if not hasattr(config, "workerinput"):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if has_room(MEMORY):
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
        where = os.environ.get("PYTEST_DEBUG_TEMPROOT")
        top = Path(tempfile.mkdtemp(prefix="predictflow-tests-", dir=where))
        (top / "owner").write_text(str(os.getpid()))
        os.environ["PREDICTFLOW_TESTS"] = str(top)
        config.add_cleanup(lambda: shutil.rmtree(top, ignore_errors=True))


def has_room(memory: Path) -> bool:
    """Whether projects can be made in memory, and their commands started there: a disk takes twice the time
    for the thousands of small files."""
    if not os.access(memory, os.W_OK):
        return False
    told = os.statvfs(memory)
    return (
        not told.f_flag & os.ST_NOEXEC
        and told.f_bavail * told.f_frsize > ROOM
        and psutil.virtual_memory().available > 2 * ROOM
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say who belongs to the real tier, and who of it is a witness."""
    for item in items:
        if item.path.is_relative_to(REAL):
            item.add_marker("real")
            if item.nodeid.removeprefix("tests/real/") in WITNESSES.values():
                item.add_marker("witness")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin what these tests will need."""
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0" or session.config.option.collectonly:
        return
    needed = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for line in BEGUN:
        names = [name for name in line if f"{name}_template" in needed]
        if names:
            builder = subprocess.Popen(
                [sys.executable, "-m", "tests.templates", *names],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            session.config.add_cleanup(builder.wait)
