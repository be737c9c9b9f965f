"""The README's commands, and then those of each page, work in their order and print what it says.

A page begins where the README ends.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.people.pages import EXCUSED, PAGES, PLAYED, README, blocks, need_tools_of, player, steps, text_of
from tests.people.project import REPOSITORY, Project
from tests.people.readme import copy

HELD_OTHERWISE = {
    "docs/first-ten-minutes.md": "tests/real/test_first_ten_minutes.py plays it, from the clone on",
    "docs/team.md": "test_team.py plays it, at a server on PostgreSQL",
    "docs/reference/commands.md": "tests/contract/test_reference.py holds it to the commands' own help",
    "docs/runbook.md": "tests/real/runbook plays each entry, in a project where that has happened",
}


def begin(after_the_readme: Path, top: Path) -> Project:
    """A project of the test's own, at the end of the README, which was played in processes of their own; from
    here on they are forked off one that knows their libraries."""
    copy(after_the_readme, top / "top")
    return Project(top / "top/project", top / "top/home").hurry()


def test_the_readme_does_what_it_says(after_the_readme: Path):
    assert (after_the_readme / "project/mlflow_data/mlflow.db").exists()
    assert sum(len(steps(block)) for block in blocks(text_of(README)) if block.language in PLAYED) > 5


def test_the_first_question_is_answered_on_the_history_as_it_is(after_the_readme: Path, tmp_path: Path):
    project = begin(after_the_readme, tmp_path)
    for words in (
        ("remote", "remove", "origin"),  # and with it the receipt: the model is where the README has it then
        ("tag", "-d", *project.run("git", "tag", "--list").stdout.split()),
        ("fetch", "--quiet", "--no-tags", str(REPOSITORY), "HEAD"),
        ("reset", "--quiet", "--soft", "FETCH_HEAD"),
    ):
        project.run("git", *words)
    project.commit("the project")
    shutil.rmtree(project.folder / "mlflow_data")
    project.run("dvc", "repro", "--quiet")
    (block,) = [block for block in blocks(text_of(README)) if "found.ubj" in block.text]
    with player(project) as one:
        for step in steps(block):
            one.do(step)


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES[1:]
        if page not in HELD_OTHERWISE and any(block.language in PLAYED for block in blocks(text_of(page)))
    ],
)
def test_a_page_does_what_it_says(page: str, after_the_readme: Path, tmp_path: Path):
    with player(begin(after_the_readme, tmp_path)) as one:
        one.play(page, EXCUSED)


def test_make_help_lists_every_target(project: Project):
    listed = project.run("make", "help").stdout
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"repro", "test", "test-slow", "lock"} <= set(targets)
    for target in targets:
        assert f"make {target} " in listed, target


# --- Who notices ----------------------------------------------------------------------------------------


def tampering() -> list[tuple[str, list[str]]]:
    """(what somebody does, the commands that notice) of each row of the table in docs/guarantee.md."""
    text = text_of("docs/guarantee.md").replace("\\|", "¦")
    rows = re.findall(r"^\|[^|]+\|[^|]+\| (`[^|]+`) \| ([^|]+) \|$", text, re.MULTILINE)
    return [(does.strip("`").replace("¦", "|"), re.findall("`([^`]+)`", notice)) for does, notice in rows]


@pytest.mark.parametrize(("does", "notice"), tampering(), ids=lambda value: str(value)[:60])
def test_who_notices_that_somebody_tampers(
    does: str, notice: list[str], after_the_readme: Path, tmp_path: Path
):
    project = begin(after_the_readme, tmp_path)
    need_tools_of(does)
    project.run("sh", "-c", does)
    assert notice
    for command in notice:
        done = subprocess.run(["sh", "-c", command], cwd=project.folder, env=project.env, capture_output=True)
        assert done.returncode in (1, 2), (command, done.stdout, done.stderr)
        assert b"Traceback" not in done.stderr


def test_nobody_notices_anything_where_nobody_tampers(after_the_readme: Path):
    project = Project(after_the_readme / "project", after_the_readme / "home").hurry()
    commands = {command for _, notice in tampering() for command in notice}
    assert len(commands) >= 4 <= len(tampering())
    for command in sorted(commands):
        project.run("sh", "-c", command)
