"""The project in which every accident of the runbook happens."""

from pathlib import Path

import pytest

from tests import templates
from tests.people.project import Project


@pytest.fixture
def standing(succeeded_template: Path, tmp_path: Path) -> Project:
    """Version 2 is in Production after version 1, `apart` is an experiment, all else is pushed; nothing is
    the matter. Its commands are forked off a process that knows their libraries."""
    templates.copy("succeeded", tmp_path)
    templates.relocate(tmp_path)
    return Project(tmp_path / "project", tmp_path / "home").hurry()
