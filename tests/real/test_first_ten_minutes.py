"""docs/first-ten-minutes.md, from the clone on, and how long it takes: `pytest -s` prints it."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.people import pages
from tests.people.pages import blocks, lend_the_environment, player, steps, text_of
from tests.people.project import Project, copy_repository

PAGE = "docs/first-ten-minutes.md"
FORK = "https://github.com/YOU/predictflow.git"


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Project]:
    """Somebody with a fork, and nothing cloned yet."""
    (tmp_path / "home").mkdir()
    with_it = Project(tmp_path / "upstream", tmp_path / "home")
    with_it.folder.mkdir()
    copy_repository(with_it.folder)
    with_it.run("git", "init", "--quiet", "--initial-branch=main")
    with_it.commit("the project")
    with_it.run("git", "clone", "--quiet", "--bare", ".", "../fork.git")
    somebody = Project(tmp_path / "predictflow", tmp_path / "home")
    yield somebody
    if somebody.folder.exists():
        somebody.run("python", "-m", "predictflow.stack", "down")


def play(newcomer: Project, own_environment: bool) -> float:
    """How many seconds the page takes."""
    clone, *others = [
        step for block in blocks(text_of(PAGE)) if block.language in pages.PLAYED for step in steps(block)
    ]
    assert FORK in clone.command
    begun = time.monotonic()
    cloned = clone.command.replace(FORK, f"{newcomer.folder.with_name('fork.git')} predictflow")
    subprocess.run(["sh", "-c", cloned], cwd=newcomer.folder.parent, env=newcomer.env, check=True)
    newcomer.run("git", "remote", "set-url", "origin", "../fork.git")  # as short as that of the page
    if not own_environment:
        lend_the_environment(newcomer.folder)
    with player(newcomer) as one:
        for step in others:
            one.do(step)
    return time.monotonic() - begun


def test_a_newcomer_has_a_served_model(newcomer: Project):
    seconds = play(newcomer, own_environment=False)
    print(f"\n{PAGE}: {seconds:.0f} s without the environment, on {os.cpu_count()} cores")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # with all packages from PyPI
def test_a_newcomer_has_a_served_model_and_an_environment(newcomer: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "WAIT", 1500)
    newcomer.env["PATH"] = f"{newcomer.folder / '.venv/bin'}{os.pathsep}{newcomer.env['PATH']}"
    seconds = play(newcomer, own_environment=True)
    print(f"\n{PAGE}: {seconds:.0f} s, on {os.cpu_count()} cores")
