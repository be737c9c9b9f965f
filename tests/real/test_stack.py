"""`make stack`: both servers really run, DVC pushes and pulls, and what was there before comes back."""

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from predictflow.adapters.processes import working_in
from predictflow.adapters.servers import Server
from predictflow.doctor import remote
from predictflow.doctor.check import State
from tests.people.project import Project, copy_repository
from tests.people.remote_faults import examined

LARGE = 60_000_000  # bytes: s3fs brings what is more than 50 MiB in parts
# What a person may have in the environment for buckets elsewhere.
ELSEWHERE = {
    "AWS_PROFILE": "work",
    "AWS_ACCESS_KEY_ID": "elsewhere",
    "AWS_SECRET_ACCESS_KEY": "elsewhere",
    "AWS_SESSION_TOKEN": "elsewhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "RCLONE_ADDR": "127.0.0.1:9",
    "RCLONE_CONFIG": "/nonexistent",
}
OWN = "# mine\n[core]\nremote = own\n['remote \"own\"']\nurl = ../../own\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The code with a file in DVC, whose runs go to a server elsewhere: MLflow's own takes long to start."""
    project = Project(tmp_path / "project", tmp_path / "home").hurry()
    for folder in (project.folder, tmp_path / "home"):
        folder.mkdir()
    copy_repository(project.folder, ("tests/", "docs/", "benchmarks/", "dvc.lock", "dvc.yaml"))
    project.env["MLFLOW_TRACKING_URI"] = "http://ada:secret@127.0.0.1:9"
    project.run("git", "init", "--quiet", "--initial-branch=main")
    (project.folder / "data/large.bin").write_bytes(b"predictflow" * (LARGE // 11))
    project.run("dvc", "add", "--quiet", "data/large.bin")
    (project.folder / ".dvc/config.local").write_text(OWN)
    yield project
    stack(project, "down")


def stack(project: Project, word: str, **env: str) -> str:
    return project.run("python", "-m", "predictflow.stack", word, env=env).stdout


def s3(project: Project) -> Server:
    return Server(project.folder / ".stack/s3")


def test_what_was_pushed_comes_back_whatever_is_set_for_buckets_elsewhere(project: Project):
    said = stack(project, "up", **ELSEWHERE)
    assert f"S3      {s3(project).url}" in said
    assert "MLFLOW_TRACKING_URI names http://…@127.0.0.1:9" in said
    assert "file" in project.run("dvc", "push", env=ELSEWHERE).stdout
    shutil.rmtree(project.folder / ".dvc/cache")
    (project.folder / "data/large.bin").unlink()
    project.run("dvc", "pull", "data/large.bin", env=ELSEWHERE)
    assert (project.folder / "data/large.bin").stat().st_size == LARGE // 11 * 11


def test_it_keeps_to_itself_what_nobody_else_is_to_know(project: Project):
    stack(project, "up")
    key, secret = project.read(".stack/key").split(",")
    for name in (".stack", ".stack/key", ".dvc/config.local"):
        assert (project.folder / name).stat().st_mode & 0o077 == 0, name
    (process,) = working_in(s3(project).folder)
    assert secret not in " ".join(process.cmdline())
    assert requests.get(s3(project).url, auth=(key, "another"), timeout=30).status_code >= 400
    assert not [
        path for path in project.run("git", "status", "--porcelain").stdout.split() if "stack" in path
    ]
    assert not list((project.folder.parent / "home").iterdir())


def test_twice_or_at_once_it_is_the_same_stack_and_after_a_kill_it_heals(project: Project):
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(lambda _: stack(project, "up"), range(2))
    assert first == second
    (before,) = working_in(s3(project).folder)
    settings = project.read(".dvc/config.local")
    assert stack(project, "up") == first
    assert working_in(s3(project).folder) == [before]
    before.kill()
    psutil.wait_procs([before], timeout=30)
    assert stack(project, "up") == first
    assert working_in(s3(project).folder) not in ([], [before])
    assert project.read(".dvc/config.local") == settings


def test_doctor_finds_a_fresh_stack_healthy_and_names_its_cure_once_it_has_ended(project: Project):
    stack(project, "up")
    (project.folder / "data/customers.csv.dvc").unlink()  # whose file is not here
    project.commit("the data")
    project.run("dvc", "push")
    found = examined(project, ELSEWHERE)
    assert {name: check.message for name, check in found.items() if check.state is not State.OK} == {}
    assert found.keys() == remote.GROUP.entries.keys()
    (server,) = working_in(s3(project).folder)
    server.kill()
    psutil.wait_procs([server], timeout=30)
    found = examined(project, ELSEWHERE | {"AWS_MAX_ATTEMPTS": "1"})
    told = {name: check for name, check in found.items() if check.state is State.PROBLEM}
    assert told.keys() == {"remote-list"} and "nothing answers" in told["remote-list"].message
    assert told["remote-list"].cure == "`make stack` starts it again"
    stack(project, "up")
    assert {check.state for check in examined(project, ELSEWHERE).values()} == {State.OK}


def test_down_what_was_there_before_is_there_again_and_what_was_pushed_stays(project: Project):
    stack(project, "up")
    project.run("dvc", "push")
    for what in ("ended", "nothing of it ran"):
        assert f"{what}; DVC's settings are as they were" in stack(project, "down")
        assert project.read(".dvc/config.local") == OWN
        assert not s3(project).is_running
    stack(project, "up")
    assert "up to date" in project.run("dvc", "push").stdout


def test_without_the_folder_the_servers_are_ended_all_the_same(project: Project):
    stack(project, "up")
    shutil.rmtree(project.folder / ".stack")
    assert s3(project).is_running
    stack(project, "down")
    assert not s3(project).is_running
    assert "make-stack" not in project.read(".dvc/config.local")


def test_a_missing_rclone_is_told(project: Project):
    nowhere = "import os, sys; sys.executable, os.environ['PATH'] = '/nonexistent/python', ''"
    code = f"{nowhere}\nfrom predictflow import stack\nstack.errors.run(stack.up)"
    said = project.run(sys.executable, "-c", code, code=1).stderr
    assert said.startswith("ERROR: rclone, which serves DVC's remote on this machine, is not installed.")
    assert "Cure: `make repro` installs it" in said


def test_elsewhere_than_in_a_project_it_says_so(project: Project, tmp_path: Path):
    words = ("sh", "-c", f"cd data && PYTHONPATH=.. {sys.executable} -m predictflow.stack up")
    assert "is not the top folder of a project" in project.run(*words, code=1).stderr
    assert not (project.folder / "data/.stack").exists()
