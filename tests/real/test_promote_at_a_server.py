"""A real MLflow server as the registry: its files are held to their bytes, and its failures are told.

Most of it is in test_promote.py, whose tests run with both registries (`both`).
"""

import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from predictflow.promotion import transition
from tests.people import server as served
from tests.people.history import History
from tests.people.project import Project
from tests.people.releases import number, stages, tags
from tests.people.server import DATABASE, Door, Server

pytestmark = pytest.mark.usefixtures("lenient")


@pytest.fixture
def history(at_a_server: History) -> History:
    return at_a_server


@pytest.fixture
def door(server: Server) -> Iterator[Door]:
    with served.door(server) as opened:
        yield opened


def one_line(text: str) -> str:
    return " ".join(text.split())


def move_files(server: Server, run: str, home: str) -> None:
    """Let the server's database name another place for the files of a run and its version."""
    files = f"{home}/{run}/artifacts"
    changes = (
        (
            "UPDATE model_versions SET source = ?, storage_location = ? WHERE run_id = ?",
            [f"{files}/model"] * 2,
        ),
        ("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", [files]),
        (
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id ="
            " (SELECT experiment_id FROM runs WHERE run_uuid = ?)",
            [home],
        ),
    )
    with closing(sqlite3.connect(server.folder / DATABASE)) as store, store:
        for change, values in changes:
            assert store.execute(change, [*values, run]).rowcount == 1


def test_every_reader_answers_from_a_server(history: History):
    first = history.made["first"]
    history.told("promote", number(history, "first"), "--to", "production")
    answer = history.answer("lineage", "churn-predictor@production")
    assert answer["model"]["content"] == first.content
    assert [run["id"] for run in answer["runs"]] == [first.run]
    assert [one["name"] for one in answer["versions"]] == ["churn-predictor/1"]
    assert history.answer("status")["production"][0]["content"] == first.content
    different = history.answer("diff", "churn-predictor/1", "churn-predictor/2", code=1)
    assert different["differs"] == ["params", "metrics"]
    models = history.answer("find-customer", "M-0")["models"]
    assert {one["content"] for one in models} == {made.content for made in history.made.values()}
    assert history.answer("history")["standing"]["production"]["content"] == first.content
    gate = history.answer("gate", "churn-predictor@production")
    assert gate["passed"] and gate["not_looked_at"] == []


def another_byte(folder: Path) -> str:
    with (folder / "serving.py").open("ab") as file:
        file.write(b" ")
    return "serving.py has the md5"


def one_file_more(folder: Path) -> str:
    (folder / "deeper").mkdir()
    (folder / "deeper/model.skops").write_bytes(b"forged")
    return "deeper/model.skops has no md5 by models/provenance.json"


def one_file_less(folder: Path) -> str:
    (folder / "schema.json").unlink()
    return "is not there"


def no_folder(folder: Path) -> str:
    shutil.rmtree(folder)
    return "is not there"


def test_every_edit_of_the_files_of_a_server_is_found_and_stops_a_promotion(history: History, tmp_path):
    history.told("promote", number(history, "first"), "--to", "production")
    folder = history.files("first")
    files = [path.name for path in folder.iterdir()]
    shutil.copytree(folder, tmp_path / "kept")
    anyhow = ("promote", number(history, "first"), "--to", "staging", "--force", "--reason", "anyhow")
    anyhow += ("--empty-production",)
    for edit in (another_byte, one_file_more, one_file_less, no_folder):
        expected = edit(folder)
        against = history.answer("gate", "churn-predictor@production", code=1)["against"]
        assert len(against) == (len(files) if edit is no_folder else 1)
        source = f"mlflow-artifacts:/1/{history.made['first'].run}/artifacts/model/"
        assert all(one.startswith(source) and expected in one for one in against)
        assert "which nothing can force" in one_line(history.told(*anyhow, code=1))
        if edit is another_byte:
            cures = [
                one["cure"] for one in history.answer("audit", code=1)["findings"] if one["kind"] == "files"
            ]
            command = shlex.split(cures[0].split("`")[1])
            history.project.run(*command)
            shutil.copyfile(history.project.folder / command[-1] / "serving.py", folder / "serving.py")
            history.told("gate", "churn-predictor@production")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "kept", folder)
    history.told("gate", "churn-predictor@production")


@pytest.mark.parametrize(
    ("home", "reason"),
    [
        ("gs://ada:secret@models/1", "cannot be read: MLflow needs the module google"),
        ("s3://ada:secret@models/1", "cannot be read: Parameter validation failed"),
        ("file:///srv/models/1", "is a folder of the server's"),
        ("mlflow-artifacts://127.0.0.1:9/models/1", "Connection refused"),
    ],
)
def test_files_out_of_reach_are_told_and_the_gate_cannot_tell(history: History, server, home, reason):
    history.told("promote", number(history, "first"), "--to", "production")
    move_files(server, history.made["first"].run, home)
    answer = history.answer("gate", "churn-predictor@production", code=2)
    (unseen,) = answer["not_looked_at"]
    assert unseen.startswith("MLflow's own files of churn-predictor/1: ") and reason in unseen
    assert answer["against"] == [] and "secret" not in unseen


def test_what_lies_in_a_folder_that_both_see_is_looked_into(history: History, server):
    """A server without files of its own: it names folders that its users have as well."""
    history.told("promote", number(history, "first"), "--to", "production")
    move_files(server, history.made["first"].run, history.files("first").parents[2].as_uri())
    history.told("gate", "churn-predictor@production")
    another_byte(history.files("first"))
    said = history.told("gate", "churn-predictor@production", code=1)
    assert f"{history.files('first')}/serving.py has the md5" in one_line(said)


@pytest.mark.parametrize("point", ["before the stage moves", "between stage and alias"])
def test_after_a_server_has_died_the_same_command_ends_what_was_begun(
    history: History, server: Server, origin, monkeypatch, point
):
    import mlflow

    asked = ("promote", number(history, "first"), "--to", "production")
    moves = {
        "before the stage moves": (transition, "follow"),
        "between stage and alias": (mlflow.MlflowClient, "set_registered_model_alias"),
    }
    move = getattr(*moves[point])

    def dying(*given):
        server.kill()
        return move(*given)

    with monkeypatch.context() as patched:
        patched.setattr(*moves[point], dying)
        said = one_line(history.told(*asked, code=1))
    assert "the receipts say it, but MLflow does not yet" in said and "Connection refused" in said
    assert "`predictflow promote churn-predictor/1 --to production` moves stage and alias" in said
    written = ["churn-predictor#production#1", "churn-predictor@v1.0.0"]
    there = history.project.run("git", "-C", str(origin), "tag", "--list", "churn-predictor*").stdout
    assert sorted(there.split()) == tags(history) == written
    assert "start its server" in history.told(*asked, code=2)
    history.told("gate", "churn-predictor@production", code=2)
    server.start()
    history.told("gate", "churn-predictor@production", code=1)
    history.told(*asked)
    assert stages(history)["Production"] == (1,)
    assert tags(history) == written
    history.told("gate", "churn-predictor@production")


def test_no_password_is_told_whatever_fails(history: History, door: Door):
    """What a process prints, with all that MLflow says by itself."""
    history.project.env["MLFLOW_TRACKING_URI"] = door.uri
    told = []

    def run(*words: str, code: int) -> str:
        done = history.project.run("python", "-m", "predictflow.cli", *words, code=code)
        told.append(done.stdout + done.stderr)
        return one_line(told[-1])

    first, second = (
        ("promote", number(history, name), "--to", "production") for name in ("first", "other data")
    )
    run(*first, code=0)
    door.fails = "mlflow-artifacts/"
    assert "503" in run("gate", "churn-predictor@production", code=2)
    for move in ("experiments/get-by-name", "transition-stage"):
        door.fails = move
        assert "503" in run(*second, code=1)
    door.fails = "registered-models/search"
    assert "503" in run(*second, code=2)
    door.fails = None
    shutil.rmtree(history.files("other data"))
    assert "is not there" in run(*second, code=1)
    history.project.env["MLFLOW_TRACKING_URI"] = door.uri.replace("ada", "eve")
    assert "401" in run("gate", "churn-predictor@production", code=2)
    bodies = history.project.run("git", "for-each-ref", "--format=%(contents)", "refs/tags").stdout
    assert leaks([*told, bodies]) == []


def leaks(texts: list[str]) -> list[str]:
    return [text for text in texts if "secret" in text]


UNMASKED = """
import sys
from stages.support import errors
errors.masked.__code__ = (lambda text: text).__code__
from predictflow import cli
sys.exit(cli.run(sys.argv[1:]))
"""


def test_the_search_for_passwords_finds_one_where_nothing_masks_it(history: History, door: Door):
    history.project.env["MLFLOW_TRACKING_URI"] = door.uri
    door.fails = "registered-models/search"
    asked = ("gate", "churn-predictor@production")
    masked = history.project.run("python", "-m", "predictflow.cli", *asked, code=2)
    unmasked = history.project.run("python", "-c", UNMASKED, *asked, code=2)
    assert leaks([masked.stdout + masked.stderr]) == []
    assert len(leaks([unmasked.stdout + unmasked.stderr])) == 1


def test_a_gate_and_a_promotion_ask_little_of_a_server(history: History, door: Door):
    """Each request is a way there and back: 5 for run and version, 9 for the seven files, 12 for a move.

    A promotion asks the registry first whether another one was left unfinished, 3 more; whether it may move
    a version, 3 more; and who is to be archived, one by one.
    """
    history.project.env["MLFLOW_TRACKING_URI"] = door.uri
    history.told("promote", number(history, "first"), "--to", "production")
    assert len(door.asked) <= 34, door.asked
    door.asked.clear()
    history.told("gate", "churn-predictor@production")
    assert len(door.asked) <= 14, door.asked
    assert not [one for one in door.asked if not one.startswith("GET") and not one.endswith("/search")]


@pytest.fixture
def emptied(server: Server, empty_store_template: Path) -> Callable[[], None]:
    """Let the server have lost everything."""
    return lambda: server.hold(empty_store_template)


def test_an_emptied_server_is_filled_again_but_gives_out_ids_of_its_own(history: History, emptied):
    history.told("promote", number(history, "other data"), "--to", "production", "--reason", "the newest")
    before = {run.data.tags["predictflow.content"]: run for run in history.project.runs()}
    emptied()
    assert history.project.runs() == []
    answer = history.answer("restore")
    assert (answer["own_ids"], answer["incomplete"]) == (False, [])
    assert {one["stage"] for one in answer["versions"]} == {"Archived", "Production"}
    assert stages(history)["Production"] == (3,)
    after = {run.data.tags["predictflow.content"]: run for run in history.project.runs()}
    assert after.keys() == before.keys()
    made = history.made["other data"]
    old, new = before[made.content], after[made.content]
    assert new.info.run_id != old.info.run_id and new.info.status == "FINISHED"
    assert (new.info.start_time, new.info.end_time) == (old.info.start_time, old.info.end_time)
    assert (new.data.params, new.data.metrics) == (old.data.params, old.data.metrics)
    (version,) = [one for one in history.project.versions() if int(one.version) == 3]
    assert version.tags["predictflow.version"] == "v3.0.0"
    history.told("gate", "churn-predictor@production")
    assert "nothing was missing" in history.told("restore")


def test_a_server_that_fails_while_it_is_filled_is_told_and_the_same_command_goes_on(
    history: History, emptied, door: Door
):
    history.told("promote", number(history, "first"), "--to", "production")
    emptied()
    own = history.project.env["MLFLOW_TRACKING_URI"]
    history.project.env["MLFLOW_TRACKING_URI"] = door.uri
    door.fails = "model-versions/create"
    said = one_line(history.told("restore", code=1))
    assert "goes on where it has stopped" in said and "secret" not in said
    history.project.env["MLFLOW_TRACKING_URI"] = own
    assert history.answer("restore")["runs"] == []
    assert len(history.project.runs()) == 3
    history.told("gate", "churn-predictor@production")


def test_two_laptops_at_one_server_agree_once_they_have_the_tags(history: History, origin, tmp_path):
    there = tmp_path / "other"
    shutil.copytree(history.project.folder, there, symlinks=True)
    project = Project(there, tmp_path / "home")
    project.env = history.project.env
    other = History(project, history.made, history.artifacts)
    history.told("promote", number(history, "first"), "--to", "production")
    behind = one_line(other.told("gate", "churn-predictor@production", code=1))
    assert "churn-predictor#production#1 is on origin and not here (`git fetch --tags`)" in behind
    project.run("git", "fetch", "--quiet", "--tags", "origin")
    other.told("gate", "churn-predictor@production")
    other.told("promote", number(other, "other data"), "--to", "production")
    history.told("gate", "churn-predictor@production", code=1)
    history.told("rollback", "--reason", "complaints")
    project.run("git", "fetch", "--quiet", "--tags", "origin")
    for laptop in (history, other):
        assert laptop.answer("gate", "churn-predictor@production")["version"] == 1
    assert stages(other)["Production"] == (1,)
