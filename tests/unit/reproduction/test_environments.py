"""The environment of a commit is made whole or not at all, once, and used again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from predictflow.adapters.processes import Children, Stopped
from predictflow.errors import CouldNotTell
from predictflow.reproduction import environments
from tests.people.project import WAIT
from tests.people.waiting import until


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose locks ask for nothing."""
    (tmp_path / "project").mkdir()
    for name in environments.LOCK_FILES:
        (tmp_path / "project" / name).write_text("# nothing\n")
    return tmp_path / "project"


def made(project: Path, running: Children | None = None) -> Path:
    return environments.make(project.parent, project, running or Children(), project.parent / "log")


def test_one_is_made_once_for_the_same_locks_and_anew_for_others(project: Path):
    one = made(project)
    assert (one / "bin/python").exists() and (one / environments.INSTALLED).exists()
    (one / "mark").touch()
    assert made(project) == one and (one / "mark").exists()
    (project / "requirements-dev.lock").write_text("# nothing else\n")
    assert made(project) != one


def test_one_that_was_not_finished_is_made_anew(project: Path):
    one = made(project)
    (one / environments.INSTALLED).unlink()  # as a kill leaves it
    (one / "half").touch()
    assert made(project) == one
    assert (one / environments.INSTALLED).exists() and not (one / "half").exists()


def test_what_cannot_be_installed_leaves_nothing_and_is_told(project: Path):
    (project / "requirements.lock").write_text("./nowhere\n")
    with pytest.raises(CouldNotTell, match=r"cannot be made:\n(.|\n)*nowhere(.|\n)*Cure: .*--env current"):
        made(project)
    assert [path.suffix for path in (project.parent / environments.ENVIRONMENTS).iterdir()] == [".lock"]


def test_a_commit_without_locks_is_told(project: Path):
    (project / "requirements-dev.lock").unlink()
    with pytest.raises(CouldNotTell, match=r"no requirements-dev.lock(.|\n)*Cure: `--env current`"):
        made(project)


def test_of_two_at_the_same_time_one_makes_it_and_the_other_waits(project: Path):
    running = Children()
    with ThreadPoolExecutor(2) as pool:
        one, other = (future.result(WAIT) for future in [pool.submit(made, project, running) for _ in "12"])
    assert one == other
    assert (project.parent / "log").read_text().count("Creating virtual environment") == 1


def test_whoever_waits_for_one_stops_when_told(project: Path):
    from filelock import FileLock

    one = made(project)
    running, ended = Children(), threading.Event()

    def wait() -> None:
        with pytest.raises(Stopped):
            made(project, running)
        ended.set()

    with FileLock(one.with_suffix(".lock")):
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        running.stopped.set()
        until(ended.is_set, "the end of the wait")
