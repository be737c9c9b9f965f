"""Without any command of ours: Git, make and DVC alone give back the bytes of an old commit."""

import os
from pathlib import Path

import pytest

from tests.people.project import Project

INDEX = ("PIP_", "UV_", "SSL_", "REQUESTS_")  # how this machine reaches its package index


@pytest.mark.slow
def test_make_repro_from_a_tag_three_commits_back_gives_its_lock_to_the_byte(
    project: Project, tmp_path: Path
):
    project.run("git", "tag", "then")
    project.edit("params.yaml", "model: xgboost", "model: logistic_regression")
    project.repro()
    project.commit("another model")
    project.edit("params.yaml", "test_share: 0.2", "test_share: 0.3")
    project.repro()
    project.commit("another split")
    (project.folder / "NOTES.md").write_text("words\n")
    project.commit("words")
    assert project.run("git", "rev-list", "--count", "then..HEAD").stdout.strip() == "3"

    project.run("git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", tmp_path / "home")
    clone.env |= {name: value for name, value in os.environ.items() if name.startswith(INDEX)}
    clone.env["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow_data/rebuild.db"
    clone.run("git", "checkout", "--quiet", "then")
    said = clone.run("make", "repro").stdout
    assert "Running stage 'train'" in said
    clone.run("git", "diff", "--exit-code")
    assert clone.read("dvc.lock") == project.run("git", "show", "then:dvc.lock").stdout
