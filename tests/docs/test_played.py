"""The README's commands, and then those of each page, work in their order and print what it says.

A page begins where the README ends.
"""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import Project, clone, once
from tests.docs.pages import (
    EXCUSED,
    HELD_OTHERWISE,
    PAGES,
    PLAYED,
    README,
    blocks,
    lend_the_environment,
    player,
    steps,
    text_of,
)


def make(top: Path) -> None:
    """The project with an origin, after all that the README does; in project/."""
    for folder in (top / "project", top / "home"):
        folder.mkdir()
    project = Project(top / "project", top / "home")
    clone(project.folder)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit("the project")
    lend_the_environment(project.folder)
    project.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "../origin.git")
    project.run("git", "remote", "add", "origin", "../origin.git")
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    with player(project) as one:
        one.play(README, EXCUSED)


@pytest.fixture(scope="session")
def after_the_readme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "readme", make)


def test_the_readme_does_what_it_says(after_the_readme: Path):
    assert (after_the_readme / "project/mlflow_data/mlflow.db").exists()
    assert sum(len(steps(block)) for block in blocks(text_of(README)) if block.language in PLAYED) > 5


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES[1:]
        if page not in HELD_OTHERWISE and any(block.language in PLAYED for block in blocks(text_of(page)))
    ],
)
def test_a_page_does_what_it_says(page: str, after_the_readme: Path, tmp_path: Path):
    shutil.copytree(after_the_readme, tmp_path / "top", symlinks=True)
    with player(Project(tmp_path / "top/project", tmp_path / "top/home")) as one:
        one.play(page, EXCUSED)


# --- Who notices ----------------------------------------------------------------------------------------


def tampering() -> list[tuple[str, list[str]]]:
    """(what somebody does, the commands that notice) of each row of the table in docs/guarantee.md."""
    text = text_of("docs/guarantee.md").replace("\\|", "¦")
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| ([^|]+) \|$", text, re.MULTILINE)
    return [(does.strip("`").replace("¦", "|"), re.findall("`([^`]+)`", notice)) for does, notice in rows]


@pytest.mark.parametrize(("does", "notice"), tampering(), ids=lambda value: str(value)[:60])
def test_who_notices_that_somebody_tampers(
    does: str, notice: list[str], after_the_readme: Path, tmp_path: Path
):
    shutil.copytree(after_the_readme, tmp_path / "top", symlinks=True)
    project = Project(tmp_path / "top/project", tmp_path / "top/home")
    project.run("sh", "-c", does)
    assert notice
    for command in notice:
        project.run("sh", "-c", command, code=1)


def test_nobody_notices_anything_where_nobody_tampers(after_the_readme: Path):
    project = Project(after_the_readme / "project", after_the_readme / "home")
    commands = {command for _, notice in tampering() for command in notice}
    assert len(commands) >= 4 <= len(tampering())
    for command in sorted(commands):
        project.run("sh", "-c", command)
