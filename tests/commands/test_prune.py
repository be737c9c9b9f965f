"""What nothing refers to goes, and nothing else: every version, receipt and experiment is whole after it."""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from predictflow.adapters import git_worktree
from predictflow.maintenance.garbage import GARBAGE_KINDS
from predictflow.reproduction import environments
from tests.people.history import History, Made
from tests.people.killer import PRUNING, kill
from tests.people.manual import json_keys_of
from tests.people.project import Project

MODEL = "churn-predictor"
GC = ("dvc", "gc", "--dry", "-w", "--all-branches", "--all-tags", "--all-experiments")


def groups(history: History, *words: str, code: int = 0) -> dict[str, list[str]]:
    """{kind: names} of what would go."""
    answer = history.answer("prune", "--dry-run", *words, code=code)
    return {group["kind"]: group["names"] for group in answer["groups"]}


def run_ids(history: History) -> set[str]:
    return {run.info.run_id for run in history.project.runs()}


def log(history: History, status: str, **tags: str) -> str:
    """A run as a stage begins it, and how it ended."""
    store = history.project.store
    experiment = store.get_experiment_by_name("churn-prediction").experiment_id
    run = store.create_run(experiment, tags=tags).info.run_id
    if status != "RUNNING":
        store.set_terminated(run, status)
    return run


def this_process() -> dict[str, str]:
    """What a stage writes of itself."""
    from stages.tracking.store import _this_process

    return _this_process()


def files(history: History) -> dict[str, str]:
    """{path: md5} of all that lies in the project, but for Git's and SQLite's own."""
    found = {}
    for path in history.project.folder.rglob("*"):
        name = path.relative_to(history.project.folder).as_posix()
        if path.is_file() and not re.match(r"\.git/|.*__pycache__|.*mlflow\.db|.*lock$|\.dvc/tmp/", name):
            found[name] = hashlib.md5(path.read_bytes()).hexdigest()
    return found


def litter(history: History) -> dict[str, str]:
    """One thing of each kind that nothing refers to; {kind: its name}."""
    top = history.project.folder
    run = log(history, "KILLED", **this_process())
    places = {
        "runs": top / f"mlflow_data/artifacts/{run}/artifacts/model/model.ubj",
        "artifacts": top / f"mlflow_data/artifacts/{'a' * 32}/artifacts/model.ubj",
        "databases": top / "mlflow_data/mlflow-broken-1/mlflow.db",
        "rebuilds": top / git_worktree.WORKTREES / "0123/project/file",
        "environments": top / environments.ENVIRONMENTS / "4567/bin/python",
        "experiments": top / ".dvc/tmp/exps/standalone/tmpabcd/file",
        "temporary": top / "models/.provenance.json.tmp",
        "cache": top / ".dvc/cache/files/md5/00" / ("f" * 30),
        "run_cache": top / ".dvc/cache/runs/aa" / ("a" * 64) / ("b" * 64),
    }
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"outs: [{path: x, hash: md5, md5: 00ffffffffffffffffffffffffffffff}]")
    return {
        kind: {"runs": run, "cache": "00" + "f" * 30}.get(kind, path.relative_to(top).as_posix())
        for kind, path in places.items()
    }


def other_customers(history: History) -> str:
    """`dvc add` of a file that there never was before; its md5."""
    path = history.project.folder / "data/customers.csv"
    text = path.read_bytes() + os.urandom(8)
    path.unlink()  # it may be a link into the cache
    path.write_bytes(text)
    history.project.run("dvc", "add", "--quiet", "data/customers.csv")
    return hashlib.md5(text).hexdigest()


def is_among(path: str, names: set[str]) -> bool:
    """Whether a file, or a folder that it is in, or an object of the cache, is among the things that go."""
    parts = Path(path).parts
    return "".join(parts[-2:]) in names or any("/".join(parts[:n]) in names for n in range(1, len(parts) + 1))


def loads(history: History, made: Made) -> None:
    folder = history.project.folder / "mlflow_data/artifacts" / made.run / "artifacts/model"
    held = {f"models/{MODEL}/{path.name}": path for path in folder.iterdir()}
    for path, md5 in made.md5s.items():
        if path.startswith(f"models/{MODEL}/"):
            assert hashlib.md5(held[path].read_bytes()).hexdigest() == md5
    assert mlflow.pyfunc.load_model(str(folder)).metadata.flavors


def answers(history: History) -> dict[str, dict]:
    """What lineage says of every handle that a person may have; which files the cache has is in it."""
    handles = [one.run for one in history.made.values()]
    handles += [f"{MODEL}/{one.version}" for one in history.made.values() if one.version]
    handles += [
        history.made["other code"].commit,
        "shallow",
        "main",
        "feature",
        "v1",
        "light",
        f"{MODEL}@production",
        f"{MODEL}@staging",
    ]
    handles += {one.md5s["data/customers.csv"] for one in history.made.values()}
    return {handle: history.answer("lineage", handle) for handle in handles}


@pytest.mark.real
def test_what_nothing_refers_to_goes_and_all_else_answers_as_before(promoted: History):
    before = answers(promoted)
    customer = promoted.answer("find-customer", "M-30")
    kept, runs = files(promoted), run_ids(promoted)
    would_go = promoted.project.run(*GC)
    made = litter(promoted)

    shown = groups(promoted)
    for kind, name in made.items():
        assert any(name.startswith(told) for told in shown[kind]), kind
    assert shown["runs"] == [made["runs"]]
    listed = {
        Path(line.split()[-1])
        for line in (would_go.stdout + would_go.stderr).splitlines()
        if "Removing" in line
    }
    theirs = {path.parent.name + path.name for path in listed}
    assert set(shown["cache"]) - {made["cache"]} < theirs, "nothing goes that DVC would keep"

    answer = promoted.answer("prune", "--yes")
    assert answer["removed"] and {g["kind"]: g["names"] for g in answer["groups"]} == shown
    assert run_ids(promoted) == runs
    gone = kept.keys() - files(promoted).keys()
    assert all(is_among(path, {name for names in shown.values() for name in names}) for path in gone)
    assert not [path for path in made.values() if (promoted.project.folder / path).exists()]
    assert not (promoted.project.folder / f"mlflow_data/artifacts/{made['runs']}").exists()

    assert answers(promoted) == before
    assert promoted.answer("find-customer", "M-30") == customer
    for one in promoted.made.values():
        loads(promoted, one)
    promoted.told("gate", f"{MODEL}@production")
    promoted.told("gate", f"{MODEL}@staging")
    assert promoted.answer("restore")["runs"] == []
    project = promoted.project
    commits = set(project.run("git", "log", "--no-walk", "--tags", "--format=%H").stdout.split())
    of_versions = {one.commit for one in promoted.committed if one.version}
    assert of_versions - commits, "some have neither a tag nor a receipt"
    for commit in commits | of_versions:
        project.run("git", "-c", f"core.hooksPath={os.devnull}", "checkout", "--quiet", commit)
        project.run("dvc", "checkout", "--quiet")
    project.run("git", "checkout", "--quiet", "v1")
    project.run("dvc", "exp", "apply", "shallow")
    model = project.folder / f"models/{MODEL}/model.ubj"
    told = promoted.made["shallow"].md5s[f"models/{MODEL}/model.ubj"]
    assert hashlib.md5(model.read_bytes()).hexdigest() == told


def test_a_second_time_there_is_nothing_to_do(promoted: History):
    litter(promoted)
    promoted.told("prune", "--yes")
    held = files(promoted)
    said = promoted.told("prune", "--yes")
    assert "nothing to do" in said and "done" not in said
    assert files(promoted) == held


def test_a_project_may_be_named_from_another_folder(promoted: History):
    litter(promoted)
    above = Project(promoted.project.folder.parent, promoted.project.folder.parent / "home")
    said = History(above, promoted.made).told("--repo", "project", "prune", "--yes")
    assert said.splitlines()[-1] == "done" and groups(promoted) == {}


def test_nothing_goes_without_a_yes(promoted: History):
    litter(promoted)
    held, runs = files(promoted), run_ids(promoted)
    project = promoted.project
    for words, code in ((["--dry-run"], 0), ([], 1), (["--json"], 1)):
        said = project.run("python", "-m", "predictflow.cli", "prune", *words, code=code).stdout
        assert "objects of DVC's cache" in said or '"removed": false' in said
    assert (files(promoted), run_ids(promoted)) == (held, runs)


def test_a_version_that_was_never_committed_keeps_all_it_names(promoted: History):
    made = promoted.made["never committed"]
    promoted.told("prune", "--yes")
    cache = promoted.project.folder / ".dvc/cache/files/md5"
    named = {path: md5 for path, md5 in made.md5s.items() if not path.endswith("provenance.json")}
    for path, md5 in named.items():
        assert (cache / md5[:2] / md5[2:]).is_file(), path
    loads(promoted, made)
    store = promoted.project.store
    store.delete_model_version(MODEL, str(made.version))
    shown = groups(promoted)
    assert shown["runs"] == [made.run], "once the version is gone, nothing holds it"
    assert made.md5s[f"models/{MODEL}/model.ubj"] in shown["cache"]


def test_an_experiment_that_was_removed_takes_its_run_and_its_objects_along(promoted: History):
    assert "runs" not in groups(promoted)
    promoted.project.run("dvc", "exp", "remove", "--quiet", "shallow")
    made = promoted.made["shallow"]
    shown = groups(promoted)
    assert shown["runs"] == [made.run]
    assert made.md5s[f"models/{MODEL}/model.ubj"] in shown["cache"]
    promoted.told("prune", "--yes")
    assert made.run not in run_ids(promoted)
    with sqlite3.connect(promoted.project.folder / "mlflow_data/mlflow.db") as store:
        for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
            assert store.execute(
                f"SELECT COUNT(*) FROM {table} WHERE run_uuid = ?", [made.run]
            ).fetchone() == (0,)
        counted = "SELECT COUNT(*) FROM inputs WHERE destination_id = ?"
        assert store.execute(counted, [made.run]).fetchone() == (0,)


def test_which_runs_stay(promoted: History):
    mine = this_process()
    living = log(promoted, "RUNNING", **mine)
    of_another_host = log(promoted, "RUNNING", **mine | {"predictflow.host": "elsewhere"})
    by_hand = log(promoted, "FAILED")
    promoted.project.edit("models/provenance.json", '"md5": "', '"md5":  "')
    content = hashlib.md5((promoted.project.folder / "models/provenance.json").read_bytes()).hexdigest()
    not_yet_in_dvc_lock = log(promoted, "FINISHED", **mine | {"predictflow.content": content})
    promoted.project.run("git", "stash", "--quiet")
    dead = log(promoted, "RUNNING", **mine | {"predictflow.began_since_boot": "1.0"})
    failed, killed = (log(promoted, status, **mine) for status in ("FAILED", "KILLED"))
    unheld = log(promoted, "FINISHED", **mine | {"predictflow.content": "0" * 32})
    trashed = log(promoted, "FINISHED", **mine | {"predictflow.content": "1" * 32})
    store = promoted.project.store
    store.delete_run(trashed)
    kept_in_trash = promoted.made["first"].run
    store.delete_run(kept_in_trash)
    promoted.project.run("git", "stash", "pop", "--quiet")
    assert set(groups(promoted)["runs"]) == {dead, failed, killed, unheld, trashed}
    promoted.told("prune", "--yes")
    assert {living, of_another_host, by_hand, not_yet_in_dvc_lock} <= run_ids(promoted)
    store.restore_run(kept_in_trash)
    loads(promoted, promoted.made["first"])


@pytest.mark.real
def test_what_a_stash_and_the_queue_need_stays(promoted: History):
    project = promoted.project
    project.run("dvc", "exp", "remove", "--quiet", "shallow")
    held: list[str] = []
    project.edit("dvc.lock", promoted.made["all at once"].content, "ab" * 16)
    run = log(promoted, "FINISHED", **this_process() | {"predictflow.content": "ab" * 16})
    for how in (["git", "stash", "--quiet"], ["dvc", "exp", "run", "--queue", "--quiet", "-S", "seed=1"]):
        held.append(other_customers(promoted))
        project.run(*how)
        project.run("git", "checkout", "--quiet", "--", ".")
    project.run("dvc", "checkout", "--quiet")
    shown = groups(promoted)
    assert len(set(held)) == 2 and not set(held) & set(shown["cache"])
    assert run not in shown["runs"], "the stash holds its model"
    project.run("git", "stash", "drop", "--quiet")
    project.run("dvc", "queue", "remove", "--all")
    shown = groups(promoted)
    assert set(held) <= set(shown["cache"]) and run in shown["runs"]


def test_every_state_of_the_customers_stays(promoted: History):
    """No stage can make them again, whether or not a tip of a branch still names them."""
    project = promoted.project
    md5 = other_customers(promoted)
    project.commit("other customers")
    project.run("git", "revert", "--no-edit", "HEAD")
    project.run("dvc", "checkout", "--quiet")
    assert md5 not in groups(promoted)["cache"]


def test_an_environment_goes_when_nobody_has_used_it_for_long(promoted: History):
    top = promoted.project.folder / environments.ENVIRONMENTS
    for name in ("used", "old"):
        (top / name).mkdir(parents=True)
        (top / name / environments.INSTALLED).touch()
    os.utime(top / "old" / environments.INSTALLED, (1, 1))
    assert groups(promoted)["environments"] == [f"{environments.ENVIRONMENTS}/old"]
    assert len(groups(promoted, "--unused-days", "0")["environments"]) == 2


def test_a_second_database_keeps_its_versions_and_artifacts(promoted: History):
    """As of a rebuild by hand, `MLFLOW_TRACKING_URI=sqlite:///mlflow_data/rebuild.db`."""
    project = promoted.project
    data = project.folder / "mlflow_data"
    made = promoted.made["never committed"]
    shutil.copyfile(data / "mlflow.db", data / "rebuild.db")
    project.store.delete_model_version(MODEL, str(made.version))
    project.store.delete_run(made.run)
    shown = groups(promoted)
    assert "runs" not in shown and made.md5s[f"models/{MODEL}/model.ubj"] not in shown["cache"]
    (data / "rebuild.db").unlink()
    assert groups(promoted)["runs"] == [made.run]


def test_a_cache_that_others_may_share_is_left_alone(promoted: History, tmp_path):
    project = promoted.project
    (project.folder / ".dvc/cache").rename(tmp_path / "shared")
    project.run("dvc", "cache", "dir", "--local", str(tmp_path / "shared"))
    litter(promoted)
    answer = promoted.answer("prune", "--dry-run")
    assert "cache" not in {group["kind"] for group in answer["groups"]}
    assert "outside this project" in answer["left_alone"][0]


def test_no_remote_is_asked_or_touched(promoted: History, tmp_path):
    project = promoted.project
    project.run("dvc", "remote", "add", "--local", "--default", "shelf", str(tmp_path / "shelf"))
    project.run("dvc", "push", "--quiet", "--all-commits")
    before = sorted(path for path in (tmp_path / "shelf").rglob("*"))
    (tmp_path / "shelf").chmod(0)
    try:
        litter(promoted)
        promoted.told("prune", "--yes")
    finally:
        (tmp_path / "shelf").chmod(0o700)
    assert sorted(path for path in (tmp_path / "shelf").rglob("*")) == before


def damaged(history: History, how: str) -> str:
    top = history.project.folder
    if how == "no store":
        (top / "mlflow_data/mlflow.db").rename(top / "away")
        return "mlflow.db is not there"
    if how == "a broken store":
        (top / "mlflow_data/mlflow.db").write_text("no database")
        return "cannot be read"
    if how == "a conflict":
        (top / "dvc.lock").write_text("<<<<<<< HEAD\nstages: {\n")
        return "dvc.lock or .dvc file cannot be read"
    if how == "no receipts":
        history.project.run("git", "tag", "-d", f"{MODEL}@v1.0.0")
        return "the receipts are broken"
    (top / ".git/refs/heads/main").write_text("0" * 39 + "1\n")
    return ""


@pytest.mark.parametrize("how", ["no store", "a broken store", "a conflict", "no receipts"])
def test_where_it_cannot_tell_nothing_is_removed(promoted: History, how):
    litter(promoted)
    told = damaged(promoted, how)
    held = files(promoted)
    said = " ".join(promoted.told("prune", "--yes", code=2).split())
    assert told in said and "Cure: " in said
    assert files(promoted) == held


def test_a_shallow_clone_does_not_know_what_is_needed(promoted: History, tmp_path):
    project = promoted.project
    clone = tmp_path / "shallow"
    project.run("git", "clone", "--quiet", "--depth", "1", f"file://{project.folder}", str(clone))
    shutil.copytree(project.folder / "mlflow_data", clone / "mlflow_data")
    there = History(Project(clone, project.folder.parent / "home").hurry(), promoted.made)
    assert "this clone is shallow" in " ".join(there.told("prune", "--yes", code=2).split())


def test_nothing_goes_while_somebody_is_at_work(promoted: History):
    project = promoted.project
    litter(promoted)
    held = files(promoted)
    waits = "import time; print('ready', flush=True); time.sleep(600)"
    program = project.folder.parent / "dvc"
    program.write_text(waits)
    pipe = {"stdout": subprocess.PIPE, "text": True}
    with project.begun(sys.executable, str(program), "repro", **pipe) as worker:
        assert worker.stdout.readline() == "ready\n"
        said = " ".join(promoted.told("prune", "--yes", code=1).split())
        assert "commands are at work" in said and f"{worker.pid}: " in said
        assert files(promoted) == held
    promoted.told("prune", "--yes")


@pytest.mark.real
@pytest.mark.parametrize(
    "step", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4, 9, 12, 14, 19, 24, 29))]
)
def test_after_a_kill_the_same_command_ends_what_was_begun(promoted: History, step):
    runs, kept = run_ids(promoted), set(files(promoted))
    going = {path for names in groups(promoted).values() for path in names}
    made = litter(promoted)
    kill(promoted.project, PRUNING, str(step))
    promoted.told("prune", "--yes")
    assert groups(promoted) == {}
    assert run_ids(promoted) == runs
    assert all(is_among(path, going) for path in kept - set(files(promoted)))
    assert not [path for path in made.values() if (promoted.project.folder / path).exists()]
    promoted.told("gate", f"{MODEL}@production")


def test_in_a_store_of_others_runs_go_to_the_trash_and_only_those_of_this_machine(
    promoted: History, tmp_path
):
    """As over HTTP: whose commits are not here may be a colleague's."""
    store = tmp_path / "team.db"
    shutil.copyfile(promoted.project.folder / "mlflow_data/mlflow.db", store)
    mine = this_process() | {"predictflow.content": "0" * 32}
    ids = {}
    uri = f"sqlite:///{store}"
    client = mlflow.MlflowClient(uri)
    for host in (mine["predictflow.host"], "elsewhere"):
        run = client.create_run("1", tags=mine | {"predictflow.host": host})
        ids[host] = run.info.run_id
        client.set_terminated(run.info.run_id, "FINISHED")
    own = ids[mine["predictflow.host"]]
    asked = ("python", "-m", "predictflow.cli", "prune")
    said = promoted.project.run(*asked, "--yes", env={"MLFLOW_TRACKING_URI": uri}).stdout
    assert own in said and ids["elsewhere"] not in said
    assert "trash" in said
    assert client.get_run(own).info.lifecycle_stage == "deleted"
    assert client.get_run(ids["elsewhere"]).info.lifecycle_stage == "active"
    again = promoted.project.run(*asked, env={"MLFLOW_TRACKING_URI": uri}).stdout
    assert "nothing to do" in again


def test_every_key_of_its_json_is_documented(promoted: History):
    section = json_keys_of("prune")
    litter(promoted)
    answer = promoted.answer("prune", "--dry-run")
    for key in {*answer, *answer["groups"][0]} - {"not_looked_at"}:
        assert f"`{key}`" in section, key
    for kind in GARBAGE_KINDS:
        assert f"`{kind}`" in section, kind
    assert json.dumps(answer)
