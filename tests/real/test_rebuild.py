"""A past model is made again, and the verdict tells the truth; nothing of the user's changes or stays."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from predictflow.adapters import processes
from predictflow.adapters.git import Repository
from predictflow.adapters.git_worktree import WORKTREES
from predictflow.adapters.mlflow_entities import REBUILT_TAG
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.ledger.chain import read_chain
from predictflow.ledger.rebuilds import read_rebuilds
from stages.support.environment import pins
from tests.people import customers
from tests.people.manual import json_keys_of, keys
from tests.people.project import WAIT, Project
from tests.people.waiting import until

MODEL = "churn-predictor"
# The caller's PYTHONPATH, which no process of a rebuild may get.
ASTRAY = "import os\nif '/predictflow/rebuild/' in os.getcwd(): os._exit(7)\n"


def ask(project: Project, *words: str, code: int = 0, **env: str) -> str:
    """What `predictflow rebuild` prints."""
    done = project.run(
        "python", "-m", "predictflow.cli", "rebuild", *words, code=code, env={"COLUMNS": "200"} | env
    )
    return done.stdout + done.stderr


def answer(project: Project, *words: str, code: int = 0, **env: str) -> dict:
    """What it tells of the one model that it was asked for."""
    command = ("python", "-m", "predictflow.cli", "rebuild", *words, "--json")
    (told,) = json.loads(project.run(*command, code=code, env=env).stdout)["rebuilds"]
    return told


def inputs(told: dict) -> list[tuple]:
    return [tuple(one[key] for key in ("kind", "name", "recorded", "found")) for one in told["inputs"]]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def of_the_user(project: Project) -> dict[str, object]:
    """All that a rebuild must leave alone, but for a version's tag and receipt."""
    top = project.folder
    inside = [".git/index", ".git/HEAD", ".git/config", ".dvc/config"]
    held = [path for part in ("data", "metrics", "models", ".dvc/cache") for path in (top / part).rglob("*")]
    files = [path for path in [*held, *(top / name for name in inside)] if path.is_file()]
    with sqlite3.connect(top / "mlflow_data/mlflow.db") as store:
        tables = [row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: store.execute(f"SELECT * FROM {name}").fetchall() for name in sorted(tables)}
    refs = project.run("git", "for-each-ref").stdout.splitlines()
    return {
        "files": {str(path.relative_to(top)): md5(path) for path in files},
        "status": project.run("git", "--no-optional-locks", "status", "--porcelain").stdout,
        "refs": [ref for ref in refs if "/rebuilt/" not in ref],
        "worktrees": project.run("git", "worktree", "list", "--porcelain").stdout,
        "rows": {name: [row for row in told if REBUILT_TAG not in row] for name, told in rows.items()},
    }


def scratch(project: Project) -> list[str]:
    """What is left of rebuilds: folders, and Git's entries for their worktrees."""
    left = [path.name for path in (project.folder / WORKTREES).glob("[!.]*")]
    return left + [path.name for path in (project.folder / ".git/worktrees").glob("*")]


def working_in(project: Project) -> list[psutil.Process]:
    """The processes that work in the folder of a rebuild."""
    return processes.working_in(project.folder / WORKTREES)


def test_a_version_is_the_same_to_the_byte_and_nothing_of_the_users_changes(warm: Project, tmp_path):
    """Its data comes from a remote that only the user's own settings name; a promoted version gets a receipt,
    which origin has as well."""
    warm.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    warm.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    warm.run("dvc", "remote", "add", "--quiet", "--local", "--default", "kept", "../../kept")
    warm.run("dvc", "push", "--quiet", "data/customers.csv.dvc")
    warm.run("python", "-m", "predictflow.cli", "promote", f"{MODEL}/1", "--to", "production")
    customers.write_members(warm.folder / "data/customers.csv", customers.members(300))  # being worked on
    data = re.search("md5: (\\w{32})", warm.read("data/customers.csv.dvc"))[1]
    there = warm.folder / f".dvc/cache/files/md5/{data[:2]}/{data[2:]}"
    held = there.read_bytes()
    before = of_the_user(warm)
    there.unlink()

    (tmp_path / "astray").mkdir()
    (tmp_path / "astray/sitecustomize.py").write_text(ASTRAY)
    hook = warm.folder / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hook-has-run\n")
    hook.chmod(0o755)
    told = answer(warm, f"{MODEL}@production", "--env", "current", PYTHONPATH=str(tmp_path / "astray"))
    assert not (tmp_path / "hook-has-run").exists()

    assert (told["verdict"], told["differs"], told["inputs"]) == ("identical", [], [])
    assert told["entries"] > 100
    assert there.read_bytes() == held, "the customers were fetched into the user's cache"
    assert of_the_user(warm) == before
    assert scratch(warm) == []

    (version,) = warm.versions()
    assert re.fullmatch(r"identical \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", version.tags[REBUILT_TAG])
    repository = Repository(warm.folder)
    (receipt,) = read_rebuilds(repository, read_chain(repository, MODEL))
    assert told["receipt"] == receipt.name == f"{MODEL}/rebuilt/v1.0.0/1"
    assert version.tags[REBUILT_TAG] == f"identical {receipt.body['when']}"
    assert receipt.broken == [] and receipt.body["machine"] == told["machine"]
    assert set(told["machine"]) == {"python", "cpu", "threads"}
    name = f"refs/tags/{receipt.name}"
    there, here = (
        warm.run("git", *where, "rev-parse", name).stdout
        for where in (["-C", str(tmp_path / "origin.git")], [])
    )
    assert there == here
    assert read_chain(Repository(warm.folder), MODEL).damage == []
    told = warm.run("python", "-m", "predictflow.cli", "history").stdout
    assert "version 1 rebuilt · identical" in told and receipt.name in told

    shutil.rmtree(warm.folder / "mlflow_data")
    warm.run("python", "-m", "predictflow.cli", "restore")
    tags = Database(warm.folder / "mlflow_data/mlflow.db").versions()[0].tags
    assert tags[REBUILT_TAG] == f"identical {receipt.body['when']}", "the receipt outlives the database"


@pytest.mark.slow
def test_another_param_gives_another_model_and_the_verdict_names_it(warm: Project):
    before = of_the_user(warm)
    warm.edit("params.yaml", "reg_lambda: 3.0", "reg_lambda: 1.5")
    warm.commit("a param, and no dvc repro")
    told = answer(warm, "HEAD", "--env", "current", "--at-least", "same-predictions", code=1)
    assert told["verdict"] == "different"
    assert inputs(told)[0] == ("param", "models.xgboost.reg_lambda", 3.0, 1.5)
    assert [one[3] is None for one in inputs(told)[1:]] == [False] * 3, "the machine was not recorded"
    assert told["predictions"]["customers"] == 110
    assert 1e-6 < told["predictions"]["largest"] < 1
    assert ("train", "outs", "models/churn-predictor") in {
        (one["stage"], one["of"], one["name"]) for one in told["differs"]
    }
    assert told["versions"] == [] and told["receipt"] is None, "the version's own commit was not tried"
    assert REBUILT_TAG not in warm.versions()[0].tags
    section = json_keys_of("rebuild")
    assert [key for key in keys(told) if f"`{key}`" not in section] == []
    after = of_the_user(warm)
    assert after["rows"] == before["rows"]
    assert {path for path in after["files"] if "cache" in path} == {
        path for path in before["files"] if "cache" in path
    }, "what came out differently is not left in the cache"
    assert scratch(warm) == []


@pytest.mark.slow
def test_a_recorded_model_that_is_damaged_is_not_compared_with(warm: Project):
    recorded = md5(warm.folder / "models/churn-predictor/model.ubj")
    held = warm.folder / f".dvc/cache/files/md5/{recorded[:2]}/{recorded[2:]}"
    held.unlink()
    held.write_bytes(b"no model")
    warm.edit("params.yaml", "reg_lambda: 3.0", "reg_lambda: 1.5")
    warm.commit("a param, and no dvc repro")
    command = ("python", "-m", "predictflow.cli", "rebuild", "HEAD", "--env", "current", "--json")
    told = json.loads(warm.run(*command, code=1).stdout)
    assert told["rebuilds"][0]["verdict"] == "different" and told["rebuilds"][0]["predictions"] is None
    assert any("is damaged in DVC's cache" in reason for reason in told["not_looked_at"])
    warm.run(*command, "--at-least", "same-predictions", code=2)


def test_every_input_that_was_tampered_with_is_named_in_its_order(warm: Project):
    """Also where the stages refuse to run: what is installed is not what the commit's own lock says."""
    old = {name: md5(warm.folder / name) for name in ("data/customers.csv", "stages/data/split.py")}
    customers.write_members(warm.folder / "data/customers.csv", customers.members(500))
    warm.run("dvc", "add", "--quiet", "data/customers.csv")
    warm.edit("params.yaml", "reg_lambda: 3.0", "reg_lambda: 1.5")
    with (warm.folder / "stages/data/split.py").open("a") as helper:
        helper.write("# a word more\n")
    installed = pins(warm.read("requirements.lock"))["xgboost"]
    warm.edit("requirements.lock", f"xgboost=={installed}", "xgboost==1.7.6")
    warm.commit("all at once, and no dvc repro")
    new = {name: md5(warm.folder / name) for name in old}
    told = answer(warm, "HEAD", "--env", "current", code=2)
    assert told["verdict"] is None
    assert f"xgboost: 1.7.6 is locked, {installed} is installed" in told["why_not"]
    assert inputs(told)[:4] == [
        ("data", "data/customers.csv", old["data/customers.csv"], new["data/customers.csv"]),
        ("param", "models.xgboost.reg_lambda", 3.0, 1.5),
        ("code", "stages/data/split.py", old["stages/data/split.py"], new["stages/data/split.py"]),
        ("package", "xgboost", installed, "1.7.6"),
    ]


def test_a_damaged_object_of_the_cache_is_found_out_and_left_alone(warm: Project):
    """DVC itself trusts its cache, and would record the md5 that the object ought to have."""
    data = md5(warm.folder / "data/customers.csv")
    there = warm.folder / f".dvc/cache/files/md5/{data[:2]}/{data[2:]}"
    there.chmod(0o644)  # which lets DVC look at it, and delete it
    there.write_text("member;left\n")
    damaged = md5(there)
    told = answer(warm, f"{MODEL}/1", "--env", "current", code=2)
    assert inputs(told)[0] == ("data", "data/customers.csv", data, damaged)
    assert "Running stage 'prepare'" in told["why_not"] and "Traceback" not in told["why_not"]
    assert md5(there) == damaged


def locked_otherwise(project: Project) -> tuple[str, str]:
    """Let the last commit say that its model was made with another version of a package that no stage
    imports; a later commit has today's lock. The commit and the version."""
    now = project.read("requirements.lock")
    before = {"requirements.lock": md5(project.folder / "requirements.lock")}
    before["models/provenance.json"] = md5(project.folder / "models/provenance.json")
    project.edit("requirements.lock", "tqdm==", "tqdm==1.")
    for path, then in before.items():
        for written in ("models/provenance.json", "dvc.lock"):
            text = project.read(written)
            (project.folder / written).write_text(text.replace(then, md5(project.folder / path)))
    commit = project.commit("made with other packages")
    (project.folder / "requirements.lock").write_text(now)
    project.commit("today's packages")
    return commit, pins(now)["tqdm"]


@pytest.mark.slow
def test_todays_packages_may_give_the_same_predictions_and_the_package_is_named(warm: Project):
    commit, version = locked_otherwise(warm)
    told = answer(warm, commit, "--env", "current", "--at-least", "same-predictions")
    assert told["verdict"] == "same predictions"
    assert told["predictions"] == {"customers": None, "largest": 0.0}
    assert inputs(told)[0] == ("package", "tqdm", f"1.{version}", version)


def test_customers_that_are_nowhere_are_told_with_a_cure(warm: Project):
    (warm.folder / "data/customers.csv").unlink()
    data = re.search("md5: (\\w{32})", warm.read("data/customers.csv.dvc"))[1]
    (warm.folder / f".dvc/cache/files/md5/{data[:2]}/{data[2:]}").unlink()
    warm.run("dvc", "remote", "add", "--quiet", "--local", "--default", "kept", "../../nothing")
    told = ask(warm, "--env", "current", code=2)
    assert f"data/customers.csv (md5 {data}) is neither in DVC's cache nor on its remote" in told
    assert "Cure: `dvc push --all-commits`" in told
    assert "Traceback" not in told
    assert scratch(warm) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--all", "--since", "HEAD"], "exclude each other"),
        (["--since", "nowhere"], "nowhere is no branch, tag or commit"),
        (["--since", "HEAD"], "no commit since HEAD holds a new model"),
        (["data/customers.csv"], "is no model"),
        (["nowhere"], "nowhere is not known here"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_with_its_cure(warm: Project, words, told):
    said = ask(warm, *words, code=1)
    assert told in said and "Cure: " in said


@contextmanager
def begun(project: Project) -> Iterator[subprocess.Popen]:
    """`predictflow rebuild`, as soon as one of its stages is at work."""
    words = (sys.executable, "-m", "predictflow.cli", "rebuild", "--env", "current")
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    logs = (project.folder / WORKTREES).glob
    try:
        with project.begun(*words, **how) as process:
            until(
                lambda: any(b"Running stage 'prepare'" in log.read_bytes() for log in logs("*/log")),
                "a stage",
            )
            yield process
    finally:
        processes.end_those_in(project.folder / WORKTREES)


@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=["Ctrl-C", "SIGTERM"]
)
def test_whoever_ends_it_early_leaves_nothing_behind(warm: Project, how):
    before = of_the_user(warm)
    with begun(warm) as process:
        process.send_signal(how)
        process.communicate(timeout=WAIT)
        assert process.returncode != 0
        assert (scratch(warm), working_in(warm)) == ([], [])
    assert of_the_user(warm) == before


def test_what_a_kill_leaves_behind_the_next_call_clears_up_and_not_what_is_at_work(warm: Project):
    before = of_the_user(warm)
    with begun(warm) as killed:
        killed.kill()
        killed.communicate(timeout=WAIT)
        assert scratch(warm) and working_in(warm), "else there would be nothing to clear up"
        ask(warm, "nowhere", code=1)
        assert (scratch(warm), working_in(warm)) == ([], [])
        assert of_the_user(warm) == before

    with begun(warm) as at_work:
        (group,) = {os.getpgid(process.pid) for process in working_in(warm)}
        os.killpg(group, signal.SIGSTOP)  # it is still at work then, however long the other call takes
        left = scratch(warm)
        ask(warm, "nowhere", code=1)
        assert scratch(warm) == left and working_in(warm)
        os.killpg(group, signal.SIGCONT)
        at_work.terminate()
        at_work.communicate(timeout=WAIT)
        assert scratch(warm) == []
