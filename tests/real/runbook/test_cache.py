"""Accidents of DVC's cache and of the disk, from the symptom to health as docs/runbook.md has them."""

import os
import subprocess
import sys

import pytest

from stages.support import hashes
from tests.people.project import REPOSITORY, WAIT, Project
from tests.people.runbook import play
from tests.real.runbook import on_a_full_disk


def test_a_file_is_damaged(standing: Project):
    model = standing.folder / "models/churn-predictor/model.ubj"
    md5 = hashes.md5(model)
    cached = standing.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.chmod(0o644)
    cached.write_bytes(b"rotten")
    cached.chmod(0o444)
    play(standing, "a-file-is-damaged")
    assert hashes.md5(cached) == md5


def test_a_linked_file_was_edited(standing: Project):
    customers = standing.folder / "data/customers.csv"
    right = customers.read_bytes()
    standing.run("dvc", "config", "--local", "cache.type", "hardlink")
    customers.unlink()
    standing.run("dvc", "checkout", "--quiet", "data/customers.csv")
    customers.chmod(0o644)
    with customers.open("ab") as file:
        file.write("a line\n".encode("utf-16-le"))
    play(standing, "a-linked-file-was-edited")
    assert customers.read_bytes() == right and customers.stat().st_nlink == 1
    assert (standing.folder.parent / "edited.csv").read_bytes() != right


def test_a_link_that_cannot_be_made(standing: Project):
    standing.run("dvc", "config", "--local", "cache.type", "reflink")
    (standing.folder / "data/customers.csv").unlink()
    probe = subprocess.run(["dvc", "checkout"], cwd=standing.folder, env=standing.env, capture_output=True)
    if probe.returncode == 0:
        pytest.skip("this file system knows reflinks")
    play(standing, "a-link-that-cannot-be-made")


@pytest.mark.slow
def test_the_disk_is_full(standing: Project):
    words = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("no mounts of one's own are allowed here")
    done = subprocess.run(
        [*words, sys.executable, "-m", on_a_full_disk.__name__, "the-disk-is-full"],
        cwd=standing.folder,
        env=standing.env | {"PYTHONPATH": str(REPOSITORY), **standing.unhurried},
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
