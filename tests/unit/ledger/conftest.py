"""What the ledger stands on: a Git repository of three commits, each with a model."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from predictflow.adapters.git import Repository
from tests.people.ledger import commit_model, git, put
from tests.people.project import environment


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process works as a person with a home of their own."""
    (tmp_path / "home").mkdir()
    for name, value in environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two repositories of three commits, made once; `chain` has receipts."""
    top = tmp_path_factory.mktemp("receipts")
    (top / "home").mkdir()
    with mock.patch.dict(os.environ, environment(top / "home"), clear=True):
        subprocess.run(
            ["git", "init", "-q", "--template=", "--initial-branch=main", top / "here"], check=True
        )
        for number in (1, 2, 3):
            commit_model(Repository(top / "here"), number)
        shutil.copytree(top / "here", top / "chain")
        repository = Repository(top / "chain")
        put(repository, "registered", 1)
        put(repository, "promoted", 1, "production", why="the first")
        put(repository, "registered", 2)
        put(repository, "promoted", 2, "production")
        put(repository, "promoted", 1, "staging")
        put(repository, "archived", 1, "staging")
    return top


@pytest.fixture
def here(person: Path, templates: Path) -> Repository:
    """A repository of three commits."""
    shutil.copytree(templates / "here", person / "here")
    return Repository(person / "here")


@pytest.fixture
def sign(here: Repository, person: Path) -> Callable[[str], None]:
    """Let Git sign with a key of this name; it is made on the first use."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen to make a key with")
    git(here, "config", "gpg.format", "ssh")

    def use(name: str) -> str:
        key = person / name
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True)
        git(here, "config", "user.signingkey", str(key))
        return key.with_suffix(".pub").read_text()

    return use
