"""A lost or broken store comes back as it was, as far as Git, DVC and the receipts know it."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mlflow
import pytest
from mlflow.tracking._tracking_service import utils

from tests.people.history import History
from tests.people.killer import RESTORING, kill
from tests.people.manual import json_keys_of
from tests.people.project import Project

MODEL = "churn-predictor"
PROCESS = ("predictflow.host", "predictflow.pid", "predictflow.began_since_boot")  # which process trained it
RECEIPTED = ("first", "other data", "on a branch", "all at once")


def slow(value: Any) -> Any:
    return pytest.param(value, marks=pytest.mark.slow)


def elsewhere(history: History, store: bool = False) -> History:
    """The project in another folder, as after a move to a new machine, without its store."""
    folder = history.project.folder.parent / "elsewhere"
    ignored = None if store else shutil.ignore_patterns("mlflow_data")
    shutil.copytree(history.project.folder, folder, symlinks=True, ignore=ignored)
    return History(Project(folder, folder.parent / "home").hurry(), history.made)


def versions(history: History) -> dict[int, dict[str, Any]]:
    """What MLflow's client says of every version."""
    client = history.project.store
    aliases = client.get_registered_model(MODEL).aliases
    return {
        int(one.version): {
            "stage": one.current_stage,
            "aliases": sorted(name for name, number in aliases.items() if str(number) == str(one.version)),
            "run": one.run_id,
            "registered": one.creation_timestamp,
            "tags": dict(one.tags),
            "description": one.description,
        }
        for one in history.project.versions()
    }


def runs(history: History) -> dict[str, dict[str, Any]]:
    """{content: what MLflow's client says of its run}."""
    found = {}
    for run in history.project.runs():
        content = run.data.tags["predictflow.content"]
        assert content not in found, "two runs of one content"
        found[content] = {
            "id": run.info.run_id,
            "name": run.info.run_name,
            "status": run.info.status,
            "times": (run.info.start_time, run.info.end_time),
            "tags": {key: value for key, value in run.data.tags.items() if key not in PROCESS},
            "params": dict(run.data.params),
            "metrics": dict(run.data.metrics),
            "datasets": [
                (one.dataset.name, one.dataset.digest, one.dataset.profile, one.tags[0].value)
                for one in run.inputs.dataset_inputs
            ],
        }
    return found


def artifacts(history: History, run: str) -> dict[str, str]:
    """{path: md5} of a run's files."""
    folder = history.project.folder / "mlflow_data/artifacts" / run / "artifacts"
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def told_by_all(history: History, tmp_path: Path) -> dict[str, Any]:
    """What everybody says of versions and stages: MLflow, the receipts at each moment, GTO, DVC, lineage."""
    answer = history.answer("history")
    moments = [receipt["when"] for receipt in answer["receipts"]]
    names = [receipt["tag"] for receipt in answer["receipts"]]
    said = {
        "stages": {n: (one["stage"], one["aliases"]) for n, one in versions(history).items() if n < 7},
        "history": answer,
        "at": {moment: history.answer("history", "--at", moment)["standing"] for moment in moments},
        "gto show": json.loads(history.project.run("gto", "show", "--json").stdout),
        "gto history": json.loads(history.project.run("gto", "history", "--json").stdout),
        "lineage": {name: history.answer("lineage", name)["model"]["content"] for name in names[::4]},
        "gate": {
            stage: history.answer("gate", f"{MODEL}@{stage}")["content"]
            for stage in ("production", "staging")
        },
    }
    for stage in ("production", "staging"):
        out = tmp_path / f"got {stage} of {history.project.folder.name}"
        words = (str(history.project.folder), MODEL, "--stage", stage, "--out", str(out))
        history.project.run("dvc", "artifacts", "get", *words)
        said[f"dvc {stage}"] = hashlib.md5((out / "model.ubj").read_bytes()).hexdigest()
    return said


@pytest.fixture(autouse=True)
def no_store_is_known() -> None:
    """In this process: MLflow remembers where a run's files lie by its id, whichever store that was in."""
    utils._artifact_repos_cache.clear()


@pytest.fixture
def restored(restored_template: Path, promoted: History) -> History:
    """The promoted history without its store, after `predictflow restore`: to be looked at only."""
    return History(Project(restored_template / "project", restored_template / "home").hurry(), promoted.made)


def test_everybody_says_the_same_before_and_after(promoted: History, restored: History, tmp_path):
    before, after = told_by_all(promoted, tmp_path), told_by_all(restored, tmp_path)
    assert after == before
    made = promoted.made
    assert after["stages"][3] == ("Production", ["production"])
    assert after["stages"][6] == ("Staging", ["staging"])
    assert {n for n, (stage, _) in after["stages"].items() if stage == "Archived"} == {1, 2, 4, 5}
    assert after["dvc production"] == made["other data"].md5s["models/churn-predictor/model.ubj"]
    assert after["gate"]["staging"] == made["all at once"].content
    standing = [one["production"] and one["production"]["version"] for one in after["at"].values()]
    assert set(standing) == {None, 1, 3, 4}, "who was in Production changed as it was promoted"


def test_a_version_with_a_receipt_comes_back_whole(promoted: History, restored: History):
    before, after = versions(promoted), versions(restored)
    old, new = runs(promoted), runs(restored)
    for name in RECEIPTED:
        made = promoted.made[name]
        assert after[made.version] == before[made.version]
        assert new[made.content] == old[made.content]
        assert artifacts(restored, made.run) == artifacts(promoted, made.run) != {}
        loaded = mlflow.pyfunc.load_model(
            f"{restored.project.folder}/mlflow_data/artifacts/{made.run}/artifacts/model"
        )
        assert loaded.metadata.flavors


def test_what_has_no_receipt_comes_back_marked_and_with_its_number(promoted: History, restored: History):
    before, after = versions(promoted), versions(restored)
    old, new = runs(promoted), runs(restored)
    for name in ("other params", "other code"):
        made = promoted.made[name]
        run = new[made.content]
        assert run["id"] != old[made.content]["id"]
        assert run["tags"]["predictflow.restored"] == "true"
        assert run["tags"]["git.commit"] == made.commit and run["tags"]["git.dirty"] == "false"
        for key in ("metrics", "datasets", "status", "name"):
            assert run[key] == old[made.content][key]
        assert run["params"]["models.xgboost.rounds"] == "25"
        assert run["params"].keys() < old[made.content]["params"].keys(), "but for what autolog saw"
        assert after[made.version]["run"] == run["id"]
        assert after[made.version]["stage"] == before[made.version]["stage"] == "Archived"
        kept = {tag for tag in before[made.version]["tags"] if not tag.startswith("git.")}
        assert {tag: after[made.version]["tags"][tag] for tag in kept} == {
            tag: before[made.version]["tags"][tag] for tag in kept
        }
        assert artifacts(restored, run["id"]) == artifacts(promoted, old[made.content]["id"])
        head = before[made.version]["description"].partition("\n")[0]
        assert after[made.version]["description"].startswith(head)
    shallow = new[promoted.made["shallow"].content]
    assert shallow["name"] == shallow["tags"]["dvc.exp_name"] == "shallow"
    assert promoted.made["never committed"].content not in new


@pytest.mark.real
def test_a_second_time_nothing_is_missing(restored: History):
    before = versions(restored), runs(restored)
    answer = restored.answer("restore")
    assert [answer[key] for key in ("runs", "versions", "renumbered", "incomplete")] == [[], [], [], []]
    assert (versions(restored), runs(restored)) == before
    assert "nothing was missing" in restored.told("restore")


def test_after_it_audit_finds_nothing(restored: History):
    answer = restored.answer("audit")
    assert answer["findings"] == []
    assert {note["kind"] for note in answer["notes"]} <= {"not promoted"}


@pytest.mark.real
def test_a_healthy_store_keeps_what_git_does_not_know(promoted: History):
    """It is moved, so the addresses of its files are those of another folder until now."""
    promoted.project.folder = promoted.project.folder.rename(promoted.project.folder.with_name("moved"))
    before = versions(promoted), runs(promoted)
    answer = promoted.answer("restore")
    assert (answer["moved_aside"], answer["relocated"]) == (None, True)
    for version in promoted.project.versions():
        assert (
            version.source
            == promoted.files(
                next(name for name, made in promoted.made.items() if made.version == int(version.version))
            ).as_uri()
        )
        mlflow.pyfunc.load_model(version.source)
    assert promoted.answer("restore")["relocated"] is False
    assert (versions(promoted), runs(promoted)) == before
    assert promoted.made["never committed"].content in before[1]


@pytest.mark.real
@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_no_stage_writes_into_the_place_that_a_project_was_moved_or_copied_from(warm: Project, how: Callable):
    before, place = warm.folder, warm.folder.with_name("another place")
    how(before, place)
    files = sorted(before.glob("mlflow_data/**/*"))
    warm.folder = place
    warm.edit("params.yaml", "max_depth: 2", "max_depth: 1")
    told = " ".join(warm.repro(code=255).split())
    assert "this project was moved or copied: MLflow would put the run's files into " in told
    assert f"{before}/mlflow_data/artifacts. Cure: `predictflow restore`" in told
    history = History(warm, {})
    history.told("store", "check", code=1)
    assert history.answer("restore")["relocated"]
    history.told("store", "check")
    warm.repro()
    assert sorted(before.glob("mlflow_data/**/*")) == files
    assert len(warm.versions()) == 2 and all(str(place) in unquote(one.source) for one in warm.versions())


def cut(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size // 2)


def scribble(database: Path) -> None:
    with database.open("r+b") as file:
        for page in range(4, 60, 3):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)


def replace(database: Path) -> None:
    database.write_text("no database\n" * 100)


def half_made(database: Path) -> None:
    """As after a kill while MLflow made its tables."""
    database.unlink()
    with sqlite3.connect(database) as store:
        store.execute("CREATE TABLE runs (run_uuid TEXT)")
        store.execute("CREATE TABLE alembic_version (version_num TEXT)")


@pytest.mark.parametrize(
    "damage", [cut, pytest.param(half_made, marks=pytest.mark.real), slow(scribble), slow(replace)]
)
def test_a_broken_database_is_moved_aside_and_made_anew(promoted: History, damage):
    """Its artifacts lie there still, and are used."""
    reference = versions(promoted)
    history = elsewhere(promoted, store=True)
    database = history.project.folder / "mlflow_data/mlflow.db"
    for end in ("-wal", "-shm"):
        database.with_name(database.name + end).unlink(missing_ok=True)
    damage(database)
    broken = hashlib.md5(database.read_bytes()).hexdigest()
    answer = history.answer("restore")
    aside = history.project.folder / "mlflow_data/mlflow-broken-1"
    assert answer["moved_aside"] == str(aside)
    assert hashlib.md5((aside / "mlflow.db").read_bytes()).hexdigest() == broken
    after = versions(history)
    for name in RECEIPTED:
        number = promoted.made[name].version
        assert after[number] == reference[number]
    history.told("gate", f"{MODEL}@production")


def test_every_experiment_has_its_run_again_and_new_numbers_are_told_as_new(promoted: History):
    """Also one whose model a branch holds by now, and one whose model was promoted from another run."""
    history, newest = elsewhere(promoted), promoted.made["all at once"]
    for place, name in enumerate(("other params", "all at once")):
        ref = f"refs/exps/{place:02}/{'0' * 38}/exp-{place}"
        history.project.run("git", "update-ref", ref, promoted.made[name].commit)
    rows = history.answer("experiments", code=2)["experiments"]
    assert {row["run"] for row in rows if row["experiment"]} == {None}, "`predictflow restore` writes it"
    said = " ".join(history.told("restore").split())
    rows = {row["experiment"]: row for row in history.answer("experiments")["experiments"]}
    assert all(rows[name]["run"] for name in ("shallow", "exp-0", "exp-1"))
    (trained,) = [run for run in history.project.runs() if run.info.run_id == newest.run]
    assert "dvc.exp_name" not in trained.data.tags and rows["exp-1"]["run"] != newest.run
    assert versions(history)[6]["run"] == newest.run
    told = [part for part in said.split(f"{MODEL}/")[1:] if "a new number" in part]
    assert [part[0] for part in told] == ["2", "5"]
    assert history.answer("restore")["runs"] == []


@pytest.mark.real
def test_a_store_that_somebody_else_numbered_takes_the_receipts_numbers(promoted: History):
    """A fresh clone in which `make repro` has registered main's model as its version 1."""
    clone = elsewhere(promoted)
    clone.project.run("dvc", "repro", "--quiet", "--force", "--single-item", "register")
    assert {number: one["stage"] for number, one in versions(clone).items()} == {1: "Staging"}
    numbered = {"kind": "number", "about": f"{MODEL}/1", "cure": "`predictflow restore`", "fixable": False}
    numbered["told"] = f"{MODEL}/1 is version 6 by its receipts"
    assert numbered in clone.answer("audit", code=1)["findings"]
    assert clone.answer("restore")["renumbered"] == [{"from": 1, "to": 6}]
    assert "number" not in {one["kind"] for one in clone.answer("audit", code=1)["findings"]}
    before, after = versions(promoted), versions(clone)
    assert {n: after[n]["stage"] for n in after} == {n: before[n]["stage"] for n in before if n < 7}
    assert after[6]["run"] != before[6]["run"], "the run that made it here stays"
    clone.told("gate", f"{MODEL}@production")
    clone.told("gate", f"{MODEL}@staging")


def empty_remote(history: History) -> None:
    nothing = history.project.folder.parent / "nothing"
    nothing.mkdir()
    history.project.run("dvc", "remote", "add", "--local", "--default", "nothing", str(nothing))


@pytest.mark.real
def test_files_come_from_the_default_remote(promoted: History, tmp_path):
    promoted.project.run("dvc", "remote", "add", "--local", "--default", "shelf", str(tmp_path / "shelf"))
    promoted.project.run("dvc", "push", "--quiet", "--all-commits")
    clone = elsewhere(promoted)
    shutil.rmtree(clone.project.folder / ".dvc/cache")
    answer = clone.answer("restore")
    assert promoted.made["first"].content not in {one["content"] for one in answer["incomplete"]}
    assert all(one["version"] is None for one in answer["incomplete"]), "only the experiment was not pushed"
    clone.told("gate", f"{MODEL}@production")


@pytest.mark.real
def test_whose_files_are_nowhere_is_told_and_stands_where_its_receipt_says(promoted: History):
    empty_remote(promoted)
    clone = elsewhere(promoted)
    cache = clone.project.folder / ".dvc/cache"
    cache.rename(cache.with_name("away"))
    answer = clone.answer("restore", code=1)
    lacking = {one["version"] for one in answer["incomplete"] if one["version"]}
    assert lacking == {promoted.made[name].version for name in RECEIPTED}
    after = versions(clone)
    assert set(after) == lacking, "who has neither files nor receipt is not registered"
    assert after[3]["stage"] == "Production"
    run = runs(clone)[promoted.made["first"].content]
    assert run["metrics"]["roc_auc"] == promoted.made["first"].metrics["roc_auc"]
    assert "is not complete" in clone.told("restore", code=1)
    kinds = {one["kind"] for one in clone.answer("audit", code=1)["findings"]}
    assert kinds == {"cache", "files"}, "who has no receipt is a note"
    clone.told("gate", f"{MODEL}@production", code=1)
    shutil.rmtree(cache, ignore_errors=True)
    cache.with_name("away").rename(cache)
    assert clone.answer("restore")["incomplete"] == []
    before = versions(promoted)
    assert {n: one["stage"] for n, one in versions(clone).items()} == {
        n: one["stage"] for n, one in before.items() if n < 7
    }
    clone.told("gate", f"{MODEL}@production")


def test_a_broken_chain_is_refused_and_nothing_is_touched(promoted: History):
    history = elsewhere(promoted)
    history.project.run("git", "tag", "-d", f"{MODEL}@v1.0.0")
    said = " ".join(history.told("restore", code=1).split())
    assert f"{MODEL}@v1.0.0, is missing" in said and "audit --fix" in said
    assert not (history.project.folder / "mlflow_data").exists()


def test_a_bare_clone_has_no_store(promoted: History, tmp_path):
    bare = tmp_path / "bare.git"
    promoted.project.run("git", "clone", "--quiet", "--bare", ".", str(bare))
    assert "a bare repository has no store" in promoted.told("--repo", str(bare), "restore", code=2)


@pytest.mark.real
@pytest.mark.parametrize("step", [24, 40, *map(slow, (1, 2, 9, 15, 22, 25, 26, 27, 30, 33, 36))])
def test_after_a_kill_the_same_command_ends_what_was_begun(promoted: History, step):
    reference = versions(promoted), runs(promoted)
    history = elsewhere(promoted)
    kill(history.project, RESTORING, str(step))
    history.told("restore")
    after = versions(history)
    assert {n: one["stage"] for n, one in after.items()} == {
        n: one["stage"] for n, one in reference[0].items() if n < 7
    }
    for name in RECEIPTED:
        made = promoted.made[name]
        assert after[made.version] == reference[0][made.version]
        assert runs(history)[made.content] == reference[1][made.content]


def test_every_key_of_its_json_is_documented(promoted: History):
    section = json_keys_of("restore")
    empty_remote(promoted)
    shutil.rmtree(promoted.project.folder / ".dvc/cache")
    answer = promoted.answer("restore", code=1)
    for key in (set(answer) | set(answer["incomplete"][0])) - {"not_looked_at"}:
        assert f"`{key}`" in section, key
