"""`predictflow status`: where things stand, what to do next, and that asking changes nothing."""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import zc.lockfile

from predictflow.adapters.dvc_status import StageChange
from predictflow.commands.status import _model_line, render
from predictflow.lineage.next_steps import RECORD, next_steps
from predictflow.lineage.standing import GateVerdict, Status
from predictflow.lineage.status import read_status
from tests import templates
from tests.people.history import History, opened
from tests.people.project import Project

MEMBER = "maybe;1;M-9999;2;3;30,00;1,80;true;Köln\n"  # one more row of customers.csv
OWN = ("", "/btime", "/lock", "/rwlock", "/rwlock.lock")  # of .dvc/tmp: what `dvc status` itself writes


def keep(project: Project) -> None:
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "kept", "../kept")


@pytest.fixture
def settled(settled_template: Path, tmp_path: Path) -> History:
    """The history, settled, in another place than where it was made."""
    templates.copy("settled", tmp_path)
    return opened(tmp_path / "project", tmp_path / "home", tmp_path / "made.json")


def everything(project: Project) -> dict[str, tuple[int, int]]:
    """{path: its size and when it was last written} of every file (of a folder: its name) that there is."""
    own = tuple(f"/.dvc/tmp{name}" for name in OWN)
    found = (path for path in project.folder.parent.rglob("*") if not path.as_posix().endswith(own))
    held = {str(path): (path, path.lstat()) for path in found}
    return {
        name: (0, 0) if path.is_dir() else (at.st_size, at.st_mtime_ns) for name, (path, at) in held.items()
    }


class Answer(dict):
    """What `predictflow status --json` says, and the value that it was made of."""

    status: Status


def stand(history: History, *words: str, code: int = 1) -> Answer:
    """What `predictflow status --json` says, having changed nothing."""
    before = everything(history.project)
    kept: list[Status] = []

    def read(*asked) -> Status:
        kept.append(read_status(*asked))
        return kept[-1]

    with mock.patch("predictflow.commands.status.read_status", read):
        answer = Answer(history.answer(*words, "status", code=code))
    (answer.status,) = kept
    assert everything(history.project) == before
    return answer


def commands(answer: dict) -> list[str]:
    return [step["command"] for step in answer["next"]]


def follow(history: History, answer: dict) -> None:
    """Do what is to be done next, word for word."""
    for command in commands(answer):
        history.project.run("sh", "-c", command, env={"GIT_EDITOR": "echo a message >"})


def drawn(answer: Answer, columns: int = 400) -> str:
    """An answer as a person sees it, in a terminal of some width."""
    said = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": str(columns)}), contextlib.redirect_stdout(said):
        render(sorted_by_name(answer.status), next_steps(answer.status))
    return said.getvalue()


def sorted_by_name(status: Status) -> Status:
    """With the changes of the pipeline sorted: DVC's own order is no promise."""
    if status.pipeline is None:
        return status
    changed = {
        name: StageChange(*(dict(sorted(paths.items())) for paths in (stage.inputs, stage.outputs)))
        for name, stage in sorted(status.pipeline.changed.items())
    }
    return replace(status, pipeline=replace(status.pipeline, changed=changed))


def in_store(project: Project, change: str) -> None:
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as connection:
        connection.execute(change)
        connection.commit()


def test_nothing_is_to_be_done_where_all_is_run_committed_and_pushed(settled: History):
    answer = stand(settled, code=0)
    here, staged = settled.made["all at once"], settled.made["never committed"]
    assert answer["next"] == answer["uncommitted"] == answer["conflicts"] == answer["could_not_tell"] == []
    assert answer["pipeline"] == {"in_step": True, "changed": {}, "error": None, "cure": None, "back": None}
    assert answer["storage"] == {"remote": "kept", "not_pushed": [], "nowhere": []}
    assert answer["git"] == {
        "branch": "main",
        "commit": here.commit,
        "upstream": "origin/main",
        "remotes": ["origin"],
        "ahead": 0,
        "behind": 0,
        "rebasing": False,
    }
    model = answer["working_tree"]
    assert (model["content"], model["commit"], model["kind"]) == (here.content, here.commit, "xgboost")
    assert model["versions"] == [f"churn-predictor/{here.version}"]
    assert model["metrics"] == here.metrics
    assert model["runs"] == 1
    assert model["gate"]["passed"] is True
    assert answer["production"] == []
    (version,) = answer["staging"]
    assert (version["name"], version["content"]) == (f"churn-predictor/{staged.version}", staged.content)
    assert version["commit"] is None, "it was never committed"
    assert version["metrics"]["roc_auc"] == staged.metrics["roc_auc"]
    assert answer["experiments"] == {"held": 1, "on_no_branch": 1}
    assert answer["runs"] == {"running": [], "newest": "FINISHED"}


def test_a_version_is_in_production_by_its_stage_or_by_its_alias(settled: History):
    in_store(settled.project, "UPDATE model_versions SET current_stage = 'Production' WHERE version = 1")
    in_store(
        settled.project,
        "INSERT INTO registered_model_aliases (name, version, alias, workspace)"
        " SELECT name, 2, 'production', workspace FROM registered_models",
    )
    answer = stand(settled, code=0)
    made = {f"churn-predictor/{one.version}": one for one in settled.made.values() if one.version}
    held = {version["name"]: version["commit"] for version in answer["production"]}
    assert held == {name: made[name].commit for name in ("churn-predictor/1", "churn-predictor/2")}


def test_an_experiment_is_taken_over_when_a_branch_has_held_its_model(settled: History):
    project, base = settled.project, settled.made["first"].commit
    project.run("git", "branch", "kept", settled.made["shallow"].commit)
    answer = stand(settled, code=0)
    assert answer["experiments"] == {"held": 1, "on_no_branch": 0}
    project.run("git", "checkout", "--quiet", "kept")
    project.run("git", "checkout", "--quiet", base, "--", "dvc.lock", "models/provenance.json")
    project.commit("the branch goes on to another model")
    project.run("git", "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "main")
    assert settled.answer("status", code=1)["experiments"] == {"held": 1, "on_no_branch": 0}


def test_a_team_s_other_models_and_runs_are_left_out(settled: History):
    in_store(settled.project, "UPDATE model_versions SET name = 'prices' WHERE version = 7")
    in_store(settled.project, "DELETE FROM tags WHERE key = 'git.commit'")
    in_store(settled.project, "UPDATE runs SET status = 'RUNNING'")
    answer = stand(settled, code=0)
    assert answer["staging"] == []
    assert answer["runs"] == {"running": [], "newest": None}


def test_what_is_next_can_be_done_word_for_word_until_nothing_is(settled: History):
    settled.project.edit("params.yaml", "roc_auc: 0.6", "roc_auc: 0.61")
    answer = stand(settled)
    assert answer["pipeline"]["changed"] == {
        "register": {"inputs": {"params.yaml:register": "modified"}, "outputs": {}}
    }
    assert answer["uncommitted"] == ["params.yaml"]
    assert commands(answer) == [
        "dvc repro",
        "git add -- dvc.lock metrics models params.yaml && git commit",
        "git push && dvc push",
    ]
    follow(settled, answer)
    assert commands(stand(settled, code=0)) == []


@pytest.mark.slow
def test_a_fresh_clone_is_brought_to_the_same_state(settled: History, tmp_path):
    settled.project.run("git", "clone", "--quiet", "../origin.git", "../clone")
    clone = History(Project(tmp_path / "clone", tmp_path / "home").hurry(), settled.made)
    keep(clone.project)
    answer = stand(clone)
    assert answer["staging"] == answer["working_tree"]["versions"] == []
    assert commands(answer) == ["dvc pull && dvc repro"]
    follow(clone, answer)
    answer = stand(clone, code=0)
    assert answer["working_tree"]["versions"] == ["churn-predictor/1"]


def merging(project: Project) -> None:
    start = project.run("git", "rev-parse", "HEAD").stdout.strip()
    for branch, seed in (("other", "1"), ("main", "2")):
        project.run("git", "checkout", "--quiet", "-B", branch, start)
        lock = project.read("dvc.lock")
        (project.folder / "dvc.lock").write_text(lock.replace("seed: 20261120", f"seed: {seed}"))
        project.run("git", "commit", "--quiet", "--all", "-m", branch)
    project.run("git", "merge", "other", code=1)


@pytest.mark.slow
def test_a_merge_that_stops_at_dvc_lock_is_ended_as_told(settled: History):
    merging(settled.project)
    follow(settled, stand(settled))
    answer = stand(settled)
    assert answer["pipeline"]["in_step"] is True
    assert commands(answer) == ["git push"]


def new_customers(project: Project) -> None:
    path = project.folder / "data/customers.csv"
    path.write_text(path.read_text("utf-16") + MEMBER, "utf-16")


def earlier_customers(project: Project) -> None:
    project.run("git", "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "v1")


def nowhere(project: Project) -> None:
    """Neither the data nor what was made of it is here, in the cache or on the remote."""
    for path in (".dvc/cache", "models/churn-predictor", "../kept"):
        shutil.rmtree(project.folder / path)
    for path in (project.folder / "data").rglob("*"):
        if path.suffix in (".csv", ".parquet", ".index"):
            path.unlink()


def no_output(project: Project) -> None:
    shutil.rmtree(project.folder / "models/churn-predictor")


def no_database(project: Project) -> None:
    (project.folder / "mlflow_data/mlflow.db").unlink()


def no_lock(project: Project) -> None:
    (project.folder / "dvc.lock").unlink()


def no_commit(project: Project) -> None:
    shutil.rmtree(project.folder / ".git")
    project.run("git", "init", "--quiet", "--initial-branch=main")


def not_pushed(project: Project) -> None:
    shutil.rmtree(project.folder.parent / "kept")


def detached(project: Project) -> None:
    project.run("git", "checkout", "--quiet", "--detach")
    project.run("git", "commit", "--quiet", "--allow-empty", "-m", "on no branch")


def branched(project: Project) -> None:
    project.run("git", "checkout", "--quiet", "-b", "next")
    project.run("git", "commit", "--quiet", "--allow-empty", "-m", "for nobody yet")


def diverged(project: Project) -> None:
    project.run("git", "commit", "--quiet", "--allow-empty", "-m", "theirs")
    project.run("git", "push", "--quiet")
    project.run("git", "reset", "--quiet", "--soft", "HEAD^")
    project.run("git", "commit", "--quiet", "--allow-empty", "-m", "ours")


def code_and_another_file(project: Project) -> None:
    (project.folder / "stages/train.py").write_text(project.read("stages/train.py") + "# a change\n")
    (project.folder / "data/more.csv.dvc").write_text("outs: []\n")
    (project.folder / "NOTES.md").write_text("no part of the record\n")


ADD = "git add -- {} && git commit"


@pytest.mark.parametrize(
    ("change", "told", "following"),
    [
        (
            new_customers,
            "out of step: data/customers.csv.dvc (data/customers.csv)",
            [
                "dvc add data/customers.csv && dvc repro",
                ADD.format("data dvc.lock metrics models"),
                "git push && dvc push",
            ],
        ),
        (earlier_customers, "no branch at", ["dvc checkout && dvc repro"]),
        (nowhere, "out of step: not in DVC's cache: data/customers.csv, ", ["make repro"]),
        (nowhere, "neither there nor in the cache: data/", ["make repro"]),
        (no_output, "out of step: not here: models/churn-predictor", ["dvc checkout"]),
        (no_database, "not registered", ["dvc repro --force --single-item register"]),
        (
            no_lock,
            "out of step: evaluate, prepare, register, train (never run)",
            ["dvc repro", ADD.format("dvc.lock metrics models"), "git push && dvc push"],
        ),
        (
            no_commit,
            "main, before its first commit",
            [ADD.format(" ".join(RECORD))],
        ),
        (not_pushed, "not on the remote kept: data/", ["dvc push"]),
        (detached, "1 commit on no branch", ["git switch -c from-"]),
        (branched, "no upstream · 1 commit not in any remote", ["git push -u origin next"]),
        (
            diverged,
            "1 commit not in origin/main · 1 commit of origin/main not here",
            ["git pull && git push"],
        ),
        (
            merging,
            "out of step: dvc.lock is in conflict",
            ["git checkout --ours -- dvc.lock && dvc repro", ADD.format("dvc.lock metrics models")],
        ),
        (
            code_and_another_file,
            "not committed: data/more.csv.dvc, stages/train.py",
            ["dvc repro", ADD.format("data dvc.lock metrics models stages"), "git push && dvc push"],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_next_fits_what_has_happened(settled: History, change, told, following):
    change(settled.project)
    answer = stand(settled)
    assert len(commands(answer)) == len(following)
    for command, expected in zip(commands(answer), following, strict=True):
        assert command == expected or (expected.endswith("-") and command.startswith(expected))
    assert answer["could_not_tell"] == []
    assert told in drawn(answer)


def test_customers_that_were_edited_can_be_given_up_for_the_recorded_ones(settled: History):
    recorded = settled.project.run("dvc", "status").stdout
    new_customers(settled.project)
    answer = stand(settled)
    back = "dvc checkout --force data/customers.csv.dvc"
    assert answer["pipeline"]["back"] == back and f"`{back}` throws the edit away" in drawn(answer)
    settled.project.run(*back.split())
    assert settled.project.run("dvc", "status").stdout == recorded
    assert stand(settled, code=0)["pipeline"]["back"] is None
    new_customers(settled.project)
    shutil.rmtree(settled.project.folder / ".dvc/cache/files/md5")
    assert stand(settled)["pipeline"]["back"] is None, "nothing to take back lies here"


def test_a_commit_that_a_branch_has_is_not_lost_without_one(settled: History):
    branched(settled.project)
    settled.project.run("git", "checkout", "--quiet", "--detach")
    answer = stand(settled, code=0)
    assert (answer["git"]["branch"], answer["git"]["ahead"]) == (None, 0)


def test_a_model_that_the_gate_refused_is_told_so_and_not_to_be_registered(settled: History):
    status = stand(settled, code=0).status
    reasons = ["roc_auc 0.7 misses the minimum 0.8", "brier 0.1 is within the maximum 0.2"]
    model = replace(status.working_tree, versions=[], gate=GateVerdict(False, reasons))
    assert next_steps(replace(status, working_tree=model)) == []
    assert _model_line(model).startswith(f"not registered: {reasons[0]} · ")
    model = replace(model, gate=None)
    assert (
        next_steps(replace(status, working_tree=model))[0].command
        == "dvc repro --force --single-item register"
    )


def test_runs_that_go_on_or_failed_are_told(settled: History):
    in_store(settled.project, "UPDATE runs SET status = 'FAILED'")
    in_store(
        settled.project,
        "UPDATE runs SET status = 'RUNNING', start_time = 1700000000000"
        f" WHERE run_uuid = '{settled.made['first'].run}'",
    )
    answer = stand(settled, code=0)
    assert answer["runs"] == {"running": ["2023-11-14T22:13:20Z"], "newest": "FAILED"}
    said = drawn(answer)
    assert "1 run RUNNING, since " in said and "the newest FAILED" in said


def busy(project: Project) -> None:
    path = str(project.folder / "models/provenance.json")
    held = {"write": {path: {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    (project.folder / ".dvc/tmp/rwlock").write_text(json.dumps(held))


def no_dvc(project: Project) -> None:
    shutil.rmtree(project.folder / ".dvc")


def broken_yaml(project: Project) -> None:
    project.edit("dvc.yaml", "stages:", "stages: [")


def broken_lock(project: Project) -> None:
    project.edit("dvc.lock", "schema:", "<<<<<<< HEAD\nschema:")


def broken_config(project: Project) -> None:
    (project.folder / ".dvc/config").write_text("][")


def broken_store(project: Project) -> None:
    (project.folder / "mlflow_data/mlflow.db").write_bytes(b"no database at all" * 100)


def dead_server(project: Project) -> None:
    project.env["MLFLOW_TRACKING_URI"] = "http://ada:secret@127.0.0.1:9"


@pytest.mark.parametrize(
    ("change", "why", "following"),
    [
        (
            busy,
            f"another DVC process is at work here and holds DVC's lock (PID {os.getpid()}): dvc repro",
            [],
        ),
        (no_dvc, "you are not inside of a DVC repository", ["git checkout -- .dvc || dvc init"]),
        (broken_yaml, "'./dvc.yaml' is invalid", []),
        (broken_lock, "'./dvc.lock' is invalid", ["rm dvc.lock && dvc repro"]),
        (broken_config, "config file error", []),
        (broken_store, "mlflow.db cannot be read: file is not a database", []),
        (dead_server, "http://…@127.0.0.1:9", []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_told_is_told_with_its_reason(settled: History, change, why, following):
    change(settled.project)
    answer = stand(settled, code=2)
    assert [why in reason for reason in answer["could_not_tell"]].count(True) == 1
    assert commands(answer) == following
    assert not {*answer["could_not_tell"]} & {*answer["not_looked_at"]}
    assert "secret" not in json.dumps(answer)
    assert f"could not tell: {answer['could_not_tell'][0]}" in drawn(answer)
    assert "nothing to do" not in drawn(answer)


@pytest.mark.real
def test_a_dvc_that_holds_the_lock_of_the_whole_project_is_told(settled: History):
    lock = zc.lockfile.LockFile(str(settled.project.folder / ".dvc/tmp/lock"))
    try:
        (reason,) = stand(settled, code=2)["could_not_tell"]
    finally:
        lock.close()
    assert reason.startswith("another DVC process is at work here")


def test_a_dvc_that_does_not_answer_is_not_waited_for(settled: History, monkeypatch):
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    begin = subprocess.Popen
    monkeypatch.setattr("predictflow.adapters.dvc_status.Popen", lambda _, **how: begin(silent, **how))
    monkeypatch.setattr("predictflow.adapters.dvc_status.DVC_TIMEOUT", 0.01)
    (reason,) = stand(settled, code=2)["could_not_tell"]
    assert reason == "`dvc status` has not answered in 0.01 seconds"


def test_a_remote_in_a_network_is_asked_only_when_told_to(settled: History):
    project = settled.project
    project.run("dvc", "remote", "modify", "--local", "kept", "url", "http://127.0.0.1:9/data")
    answer = stand(settled, code=0)
    assert answer["storage"] == {"remote": "kept", "not_pushed": None, "nowhere": None}
    assert answer["not_looked_at"] == ["the remote kept, http://127.0.0.1:9/data (--remote asks it)"]
    answer = settled.answer("status", "--remote", code=2)
    (reason,) = answer["could_not_tell"]
    assert reason.startswith("the remote kept, http://127.0.0.1:9/data does not answer: ")
    assert answer["not_looked_at"] == []


def test_a_bare_clone_tells_what_git_holds_and_the_store_if_it_is_named(settled: History, tmp_path):
    settled.project.run("git", "clone", "--quiet", "--bare", "../origin.git", "../bare.git")
    bare = ("--repo", str(tmp_path / "bare.git"))
    here = settled.made["all at once"]
    answer = stand(settled, *bare, code=2)
    assert answer["could_not_tell"] == [f"{tmp_path}/bare.git/mlflow_data/mlflow.db is not there"]
    assert answer["working_tree"]["content"] == here.content
    assert answer["working_tree"]["versions"] is answer["staging"] is answer["pipeline"] is None
    assert answer["git"]["branch"] == "main" and answer["git"]["commit"] == here.commit
    store = f"sqlite:///{settled.project.folder}/mlflow_data/mlflow.db"
    settled.project.env["MLFLOW_TRACKING_URI"] = store
    answer = stand(settled, *bare, code=0)
    assert answer["working_tree"]["versions"] == [f"churn-predictor/{here.version}"]
    assert [version["name"] for version in answer["staging"]] == ["churn-predictor/7"]
    assert drawn(answer).endswith("nothing to do\n")


def test_it_fits_a_terminal_and_every_command_stands_whole_on_a_line(settled: History):
    settled.project.edit("params.yaml", "max_depth: 2", "max_depth: 3")
    answer = stand(settled)
    for columns in (80, 200):
        facts, _, rest = drawn(answer, columns).partition("next:\n")
        lines = facts.splitlines()
        assert max(map(len, lines)) <= columns
        assert len(lines) <= 12
        assert [line.split("  # ")[0].strip() for line in rest.splitlines()] == commands(answer)
        heads = [line.split("  ")[0] for line in lines if not line.startswith(" ")]
        assert heads == ["Production", "Staging", "working tree", "pipeline", "commit", "push", "runs"]
    settled.project.env["COLUMNS"] = "200"
    assert settled.told("status", code=1) == drawn(answer, 200)


@pytest.mark.real
def test_after_a_lost_store_it_tells_who_was_promoted_and_what_brings_the_store_back(promoted: History):
    made = promoted.made["other data"]
    before = promoted.answer("status", code=1)
    assert before["receipts"]["production"]["content"] == made.content
    shutil.rmtree(promoted.project.folder / "mlflow_data")
    for _ in range(2):  # a folder that is there, and holds no store
        answer = promoted.answer("status", code=1)
        assert (answer["production"], answer["staging"], answer["store_is_lost"]) == (None, None, True)
        assert answer["receipts"] == before["receipts"]
        assert commands(answer)[0] == "predictflow restore"
        said = promoted.told("status", code=1)
        receipt = answer["receipts"]["production"]
        assert f"version {receipt['version']} by the receipt {receipt['receipt']}" in " ".join(said.split())
        assert "no version" not in said and "not registered" not in said
        (promoted.project.folder / "mlflow_data").mkdir(exist_ok=True)
    promoted.told("restore")
    answer = promoted.answer("status", code=1)
    assert [version["content"] for version in answer["production"]] == [made.content]
    assert "predictflow restore" not in commands(answer)
