"""What the store says of runs and versions is held against Git and the receipts, and mended by them."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy as copy_of
from pathlib import Path
from unittest import mock

import pytest

from predictflow.adapters import mlflow_client, mlflow_sqlite
from predictflow.adapters.git import Repository
from predictflow.adapters.mlflow_client import Client
from predictflow.ledger.decisions import COMPARED
from predictflow.ledger.ledger import Ledger
from predictflow.ledger.receipts import PROMOTED, VERSION_KEYS, ReceiptDraft
from predictflow.lineage import gaps
from tests.commands.test_audit import GATE, MODEL, NEWEST, audit, copy, kinds
from tests.commands.test_evidence import sql
from tests.people.history import History


@pytest.fixture
def history(audited_template: Path, tmp_path: Path) -> History:
    """Receipts tell of versions 1, 3 and 6."""
    return copy(audited_template, tmp_path)


def said(history: History) -> list[str]:
    """All that the store holds of runs, and of versions but when each was changed, as text."""
    tables = ("runs", "tags", "params", "latest_metrics", "metrics", "model_version_tags")
    with closing(sqlite3.connect(history.project.folder / "mlflow_data/mlflow.db")) as store:
        rows = [str(row) for table in tables for row in store.execute(f"SELECT * FROM {table}")]
    return sorted(rows) + [str(version(history, number)) for number in range(1, 8)]


def version(history: History, number: int) -> tuple:
    (found,) = [one for one in history.project.versions() if int(one.version) == number]
    return found.run_id, found.source, sorted(found.tags.items()), found.description


def of_run(history: History, table: str, name: str, key: str, value: object) -> None:
    run = history.made[name].run
    sql(history, (f"UPDATE {table} SET value = ? WHERE run_uuid = ? AND key = ?", [value, run, key]))


# Each lets the store say something else.


def a_metric(history: History) -> None:
    of_run(history, "latest_metrics", "other params", "roc_auc", 0.999)


def a_metric_and_its_history(history: History) -> None:
    for table in ("latest_metrics", "metrics"):
        of_run(history, table, NEWEST, "roc_auc", 0.999)


def a_param(history: History) -> None:
    of_run(history, "params", "other params", "models.xgboost.max_depth", "99")


def a_param_that_only_the_receipt_knows(history: History) -> None:
    of_run(history, "params", NEWEST, "seed", "99")


def a_commit(history: History) -> None:
    of_run(history, "tags", NEWEST, "git.commit", history.made["first"].commit)


def an_md5(history: History) -> None:
    of_run(history, "tags", "other params", "md5/data/customers.csv", "e" * 32)


def an_md5_more(history: History) -> None:
    history.project.store.set_tag(history.made["other params"].run, "md5/secret.bin", "e" * 32)


def an_experiment(history: History) -> None:
    of_run(history, "tags", "shallow", "dvc.exp_name", "deep")


def an_experiment_of_what_was_trained_without_one(history: History) -> None:
    """Of which neither Git nor a receipt says that there was none: nothing is held against it."""
    history.project.store.set_tag(history.made[NEWEST].run, "comment", "a person's own")


def a_description_of_a_version(history: History) -> None:
    sql(history, ("UPDATE model_versions SET description = 'made by Eve' WHERE version = 6",))


def a_description_of_a_run(history: History) -> None:
    of_run(history, "tags", NEWEST, "mlflow.note.content", "made by Eve")


def the_content_of_a_run_without_a_version(history: History) -> None:
    of_run(history, "tags", "shallow", "predictflow.content", "d" * 32)


def no_content_of_a_run_without_a_version(history: History) -> None:
    tag = "DELETE FROM tags WHERE run_uuid = ? AND key = 'predictflow.content'"
    sql(history, (tag, [history.made["shallow"].run]))


def no_content_of_a_version_and_of_its_run(history: History) -> None:
    sql(history, ("DELETE FROM model_version_tags WHERE version = 6 AND key = 'predictflow.content'",))
    tag = "DELETE FROM tags WHERE run_uuid = ? AND key = 'predictflow.content'"
    sql(history, (tag, [history.made[NEWEST].run]))


def no_content_of_what_was_never_committed(history: History) -> None:
    sql(history, ("DELETE FROM model_version_tags WHERE version = 7 AND key = 'predictflow.content'",))


def the_runs_of_two_versions(history: History) -> None:
    runs = [history.made[name].run for name in ("first", NEWEST)]
    for number, run in ((6, runs[0]), (1, runs[1])):
        sql(history, (f"UPDATE model_versions SET run_id = ? WHERE version = {number}", [run]))


def the_runs_and_addresses_of_two_versions(history: History) -> None:
    """Of versions that no receipt knows as well."""
    numbers = {2: version(history, 5), 5: version(history, 2)}
    for number, (run, source, _, _) in numbers.items():
        change = "UPDATE model_versions SET run_id = ?, source = ?, storage_location = ? WHERE version = ?"
        sql(history, (change, [run, source, source, number]))


EDITS: list[tuple[Callable[[History], None], list[str]]] = [
    (a_metric, ["told"]),
    (a_metric_and_its_history, ["told"]),
    (a_param, ["told"]),
    (a_param_that_only_the_receipt_knows, ["told"]),
    (a_commit, ["told"]),
    (an_md5, ["told"]),
    (an_md5_more, ["told"]),
    (an_experiment, ["told"]),
    (a_description_of_a_version, ["told"]),
    (a_description_of_a_run, ["told"]),
    (the_content_of_a_run_without_a_version, ["content"]),
    (no_content_of_a_run_without_a_version, ["content"]),
    (no_content_of_a_version_and_of_its_run, ["content", "stage", "tag", "version"]),
    (no_content_of_what_was_never_committed, ["content"]),
    (the_runs_of_two_versions, ["content"]),
    (the_runs_and_addresses_of_two_versions, ["content"]),
]
GROUPS = [EDITS[:4], *(pytest.param(some, marks=pytest.mark.real) for some in (EDITS[4:10], EDITS[10:]))]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0][0].__name__)
def test_what_git_or_a_receipt_knows_otherwise_is_found_and_mended(history: History, group):
    before = said(history)
    for edit, expected in group:
        edit(history)
        answer = audit(history, code=1)
        assert kinds(answer) == expected, (edit.__name__, answer["findings"])
        answer = audit(history, "--fix")
        assert answer["mended"] and not answer["not_mended"], edit.__name__
        assert audit(history, "--fix")["mended"] == [], edit.__name__
        assert said(history) == before, edit.__name__
    history.told("gate", GATE)


def test_what_a_person_adds_stays(history: History):
    store, run = history.project.store, history.made[NEWEST].run
    store.set_tag(run, "comment", "mine")
    described = {1: version(history, 6)[3], 2: store.get_run(run).data.tags["mlflow.note.content"]}
    store.update_model_version(MODEL, "6", f"{described[1]}\n\nSeen by Ada.")
    store.set_tag(run, "mlflow.note.content", f"Look at the curves.\n\n{described[2]}")
    before = said(history)
    answer = audit(history, "--fix")
    assert (answer["findings"], answer["mended"]) == ([], [])
    assert said(history) == before


@pytest.mark.real
def test_a_version_whose_run_is_gone_for_good_is_of_the_run_that_restore_writes(history: History):
    """No receipt tells of it, so the run has another id."""
    made = history.made["other params"]
    tables = ("params", "tags", "metrics", "latest_metrics", "runs")
    sql(history, *((f"DELETE FROM {table} WHERE run_uuid = ?", [made.run]) for table in tables))
    (found,) = audit(history, "--fix", code=1)["findings"]
    assert (found["kind"], found["cure"]) == ("run", "`predictflow restore`")
    history.told("restore")
    assert "is of run" in audit(history, "--fix")["mended"][0]
    run_id, source, _, _ = version(history, made.version)
    assert run_id != made.run and source.endswith(f"/{run_id}/artifacts/model")


def test_a_receipt_whose_run_is_no_run_stops_nobody_and_is_followed_by_nothing(history: History):
    """It stands in the chain as it should, so that only what it tells is odd."""
    folder, before = history.project.folder, said(history)
    with mock.patch.dict(os.environ, history.project.env, clear=True):
        ledger = Ledger.open(Repository(folder), MODEL)
        body = ledger.chain.standing()["production"].body
        facts = copy_of({key: body[key] for key in VERSION_KEYS})
        same = dict.fromkeys(COMPARED) | {"same": True, "content": body["content"]}  # as itself
        facts["decision"]["numbers"]["comparison"] |= same
        for run in ({"tags": [1], "params": {"seed": [2]}, "metrics": 3}, {"id": history.made[NEWEST].run}):
            draft = ReceiptDraft(PROMOTED, 6, body["commit"], facts | {"run": run}, "production")
            ledger.append([draft])
    history.told("audit", "--fix")
    assert [row for row in said(history) if row not in before and "predictflow.receipt" not in row] == []


@pytest.mark.parametrize("through_mlflow", [False, True])
def test_what_stands_on_the_last_page_is_found(history: History, through_mlflow: bool, monkeypatch):
    """A wrong param, a content that was made again, and a version whose run is in MLflow's trash."""
    store = history.project.store
    made = history.made["first"]
    oldest = store.create_run(store.get_run(made.run).info.experiment_id, start_time=1, run_name="again")
    again = oldest.info.run_id
    for tag, value in store.get_run(made.run).data.tags.items():
        store.set_tag(again, tag, value)
    store.log_param(again, "train.model", "none")
    store.set_terminated(again, "FINISHED", 2)
    store.delete_run(history.made[NEWEST].run)
    for module in (mlflow_client, mlflow_sqlite):
        monkeypatch.setattr(module, "PAGE_SIZE", 2)
    if through_mlflow:
        uri = f"sqlite:///{history.project.folder}/mlflow_data/mlflow.db"
        monkeypatch.setattr(gaps, "find_store", lambda: Client(uri))
    found = audit(history, code=1)
    assert f"the param train.model of run {again} is none" in " ".join(
        one["told"] for one in found["findings"]
    )
    assert any(history.made[NEWEST].run in one["told"] for one in found["findings"] if one["kind"] == "run")
    duplicates = [note["about"] for note in found["notes"] if note["kind"] == "duplicate"]
    assert duplicates == [made.run]
