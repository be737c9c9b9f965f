"""The project as it is after all that the README does: there each page begins."""

import shutil
from pathlib import Path

from tests import templates
from tests.people.pages import EXCUSED, README, lend_the_environment, player
from tests.people.project import Project, copy_repository


def play_the_readme(top: Path) -> None:
    """The project with an origin, after all that the README does; in project/."""
    for folder in (top / "project", top / "home"):
        folder.mkdir()
    project = Project(top / "project", top / "home")
    copy_repository(project.folder)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit("the project")
    lend_the_environment(project.folder)
    project.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "../origin.git")
    project.run("git", "remote", "add", "origin", "../origin.git")
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    with player(project) as one:
        one.play(README, EXCUSED)


def copy(project: Path, top: Path) -> None:
    """A copy whose store names its own files: what is thrown away in one copy stays in all others."""
    shutil.copytree(project, top, symlinks=True)
    templates.relocate(top)
