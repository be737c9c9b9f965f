"""Accidents of MLflow's database and files, from the symptom to health as docs/runbook.md has them."""

import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.people.older import make_older, rows
from tests.people.project import Project
from tests.people.runbook import Person, play


def broken(project: Project) -> None:
    (project.folder / "mlflow_data/mlflow.db").write_bytes(b"broken")


def test_the_store_is_lost_or_broken(standing: Project):
    broken(standing)
    play(standing, "the-store-is-lost-or-broken")
    (aside,) = (standing.folder / "mlflow_data").glob("mlflow-broken-*")
    assert any(path.read_bytes() == b"broken" for path in [aside, *aside.rglob("*")] if path.is_file())


@pytest.mark.parametrize("lost", ["mlflow_data", "mlflow_data/mlflow.db"])
def test_the_store_is_gone(standing: Project, lost: str):
    path = standing.folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    play(standing, "the-store-is-gone")


def test_the_store_is_locked(standing: Project):
    person = Person(standing, "the-store-is-locked")
    with closing(sqlite3.connect(standing.folder / "mlflow_data/mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        person.sees()
    person.is_cured()


def test_the_store_is_of_another_mlflow(standing: Project, tmp_path: Path):
    database, artifacts = (standing.folder / "mlflow_data" / name for name in ("mlflow.db", "artifacts"))
    for path in database.parent.glob("mlflow.db*"):
        path.unlink()
    with closing(sqlite3.connect(make_older(database))) as store, store:
        store.execute("UPDATE experiments SET artifact_location = ?", [artifacts.as_uri()])
    play(standing, "the-store-is-of-another-mlflow")
    assert rows(database, "runs") and rows(database, "model_versions"), "what was in it is in it still"


ON_NFS = """
import sys
from pathlib import Path
from predictflow import cli
from predictflow.adapters import processes
there, look = Path("mlflow_data").resolve(), processes.file_system
processes.file_system = lambda folder: "nfs4" if folder.resolve() == there else look(folder)
sys.exit(cli.run(sys.argv[1:]))
"""


def test_the_store_lies_on_a_network_disk(standing: Project):
    """Its kind alone is pretended."""
    program = standing.folder.parent / "bin/predictflow"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec python -c {shlex.quote(ON_NFS)} "$@"\n')
    program.chmod(0o755)
    standing.env["PATH"] = f"{program.parent}:{standing.env['PATH']}"
    play(standing, "the-store-lies-on-a-network-disk")


def test_mlflows_files_are_gone(standing: Project):
    shutil.rmtree(standing.folder / "mlflow_data/artifacts")
    play(standing, "mlflows-files-are-gone")


def test_something_does_not_agree(standing: Project):
    with closing(sqlite3.connect(standing.folder / "mlflow_data/mlflow.db")) as store, store:
        store.execute("UPDATE model_versions SET current_stage = 'Archived'")
    play(standing, "something-does-not-agree")
