"""`predictflow history` tells what the receipts say, for any moment; handles and lineage know receipts."""

import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from unittest import mock

import pytest

from predictflow.adapters.git import Repository
from predictflow.ledger.chain import read_chain
from predictflow.ledger.ledger import Ledger
from predictflow.ledger.receipts import Receipt, ReceiptDraft
from tests.people.history import History
from tests.people.ledger import decision_at, git
from tests.people.manual import json_keys_of, keys

MODEL = "churn-predictor"
DAY = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
AGAINST = ["brier 0.3 above the bar"]


def put(
    history: History,
    action: str,
    version: int,
    stage: str | None = None,
    *,
    day: int = 0,
    model: str = MODEL,
    commit: str | None = None,
    against: Sequence[str] = (),
    **told: object,
) -> Receipt:
    """Write a receipt of a version, in the morning of a day counted from 2026-03-01."""
    made = {made.version: made for made in history.committed}[version]
    now = DAY + day * 86400 + 9 * 3600
    with mock.patch.dict(os.environ, history.project.env, clear=True):
        repository = Repository(history.project.folder)
        chain = read_chain(repository, model)
        *files, _ = json.loads(git(repository, "show", f"{made.commit}:models/provenance.json"))
        decision = None
        if stage and action != "archived":
            decision = decision_at(repository, made.commit, made.content, chain)
            if against:
                decision |= {"passed": False, "forced": True, "reasons": against, "against": against}
        given = {
            "content": made.content,
            "md5s": {entry["path"]: entry["md5"] for entry in files},
            "run": {"id": made.run, "metrics": made.metrics},
            "registered": 1,
            "tags": {},
            "description": "",
            "decision": decision,
        }
        ledger = Ledger(repository, chain, None)
        draft = ReceiptDraft(action, version, commit or made.commit, given, stage)
        return ledger.append([draft], now=now, **told)[0]


@pytest.fixture
def promoted(history: History) -> list[Receipt]:
    """Version 3 in Production from 1 March on, 5 from the 3rd on, by force, 3 again from the 5th on."""
    return [
        put(history, "registered", 3),
        put(history, "promoted", 3, "production", why="better than nothing"),
        put(history, "registered", 5, day=2),
        put(history, "promoted", 5, "production", day=2, why="today", against=AGAINST),
        put(history, "rolled back", 3, "production", day=4, why="complaints"),
    ]


def in_production(history: History, at: str) -> int | None:
    stands = history.answer("history", "--at", at)["standing"]["production"]
    return stands and stands["version"]


def test_it_tells_who_when_why_and_from_what_to_what_the_newest_first(history: History, promoted):
    answer = history.answer("history")
    assert [told["tag"] for told in answer["receipts"]] == [one.name for one in reversed(promoted)]
    assert [(told["from"], told["to"]) for told in answer["receipts"]] == [
        *((5, 3), (3, 5), (None, None), (None, 3), (None, None))
    ]
    back, forced, *_, first, _ = answer["receipts"]
    assert (back["who"], back["when"]) == ("Ada <ada@example.com>", "2026-03-05T09:00:00Z")
    assert (back["action"], back["why"], back["stage"]) == ("rolled back", "complaints", "production")
    assert back["metrics"]["roc_auc"] == history.made["other data"].metrics["roc_auc"]
    assert forced["metrics"]["roc_auc"] == history.made["other code"].metrics["roc_auc"]
    assert (forced["decision"]["forced"], forced["decision"]["against"]) == (True, AGAINST)
    assert (first["commit"], first["broken"]) == (history.made["other data"].commit, [])
    assert answer["standing"]["production"]["tag"] == back["tag"]
    assert answer["standing"]["staging"] is None
    assert (answer["model"], answer["at"], answer["damage"], answer["foreign"]) == (MODEL, None, [], [])

    text = history.told("history")
    for told in ("production 3 → 5", "production empty → 3", "complaints", "roc_auc 0.", "brier 0.3 above"):
        assert told in text
    assert "Staging no receipt" in text, "register has put a version there"


def test_it_tells_what_was_in_production_at_any_moment(history: History, promoted):
    assert in_production(history, "2026-02-28") is None
    assert in_production(history, "2026-03-01T08:59:59Z") is None
    assert in_production(history, "2026-03-01") == 3, "at the end of that day"
    assert in_production(history, "2026-03-01T10:00:01+01:00") == 3
    assert in_production(history, "2026-03-03T09:00") == 3
    assert in_production(history, "2026-03-04T12:00") == 5
    assert in_production(history, "2026-03-05") == 3
    then = history.answer("history", "--at", "2026-03-02")
    assert then["at"] == "2026-03-02T23:59:59Z"
    assert [told["tag"] for told in then["receipts"]] == [one.name for one in reversed(promoted[:2])]
    assert "Production version 3" in history.told("history", "--at", "2026-03-02")
    assert "no date or time" in history.told("history", "--at", "yesterday", code=2)


def test_a_receipt_of_a_clock_that_was_ahead_is_told(history: History, promoted):
    ahead = put(history, "archived", 3, "production", day=9000)
    told = [note["told"] for note in history.answer("audit", code=1)["notes"]]
    assert f"{ahead.name} is dated {ahead.when}, which is still to come" in told


def test_it_tells_damage_where_it_is_and_that_there_is_some(history: History, promoted):
    history.project.run("git", "tag", "-a", "-m", "by hand", f"{MODEL}#staging#9", promoted[0].commit)
    answer = history.answer("history")
    assert [tag["tag"] for tag in answer["foreign"]] == [f"{MODEL}#staging#9"]
    assert answer["standing"]["staging"] is None, "what is no receipt is not believed"

    history.project.run("git", "tag", "-d", promoted[3].name)
    history.project.run("git", "tag", f"{MODEL}#staging#10")
    answer = history.answer("history", code=1)
    assert {(told["kind"], told["tag"]) for told in answer["damage"]} == {
        ("gap", promoted[4].name),
        ("lightweight", f"{MODEL}#staging#10"),
    }
    assert answer["receipts"][0]["broken"] == [f"the receipt before it, {promoted[3].name}, is missing"]
    text = history.told("history", code=1)
    assert f"BROKEN: the receipt before it, {promoted[3].name}, is missing" in text.replace("\n", " ")
    assert f"BROKEN: {MODEL}#staging#10" in text
    lineage = history.told("lineage", promoted[4].commit)
    assert "BROKEN: the receipt before it" in " ".join(lineage.replace("│", " ").split())


def test_every_key_of_its_json_is_documented(history: History, promoted):
    history.project.run("git", "tag", "-a", "-m", "by hand", f"{MODEL}#staging#9", promoted[0].commit)
    history.project.run("git", "tag", f"{MODEL}#staging#10")
    answer = history.answer("history", code=1)
    section = json_keys_of("history")
    assert answer["receipts"] and answer["foreign"] and answer["damage"]
    for receipt in answer["receipts"]:
        del receipt["decision"]  # the gate's own
    for key in keys(answer) - {"not_looked_at"}:
        assert f"`{key}`" in section, key


def test_a_clone_without_all_tags_cannot_tell(history: History, promoted, tmp_path):
    folder = tmp_path / "shallow"
    url = history.project.folder.as_uri()
    history.project.run("git", "clone", "-q", "--depth=1", "--branch=main", url, str(folder))
    assert history.answer("--repo", str(folder), "history", code=2)["not_looked_at"] != []
    history.project.run(
        "git", "-C", str(folder), "fetch", "-q", "--depth=1", "origin", "tag", promoted[4].name
    )
    assert history.answer("--repo", str(folder), "history", code=2)["damage"] != []


def test_it_is_of_the_model_that_params_name(history: History, promoted):
    history.project.edit("params.yaml", "  model: churn-predictor\n", "  model: gym-churn\n")
    assert "those here are of churn-predictor" in history.told("history", code=2)
    put(history, "registered", 2, model="gym-churn")
    put(history, "promoted", 2, "staging", model="gym-churn")
    answer = history.answer("history")
    assert (answer["model"], len(answer["receipts"])) == ("gym-churn", 2)
    assert answer["standing"]["staging"]["version"] == 2
    assert history.answer("lineage", "gym-churn@staging")["model"]["content"] == (
        history.made["other params"].content
    )
    (history.project.folder / "params.yaml").write_text("tracking: [\n")
    assert "params.yaml cannot be read" in history.told("history", code=2)


# --- Handles --------------------------------------------------------------------------------------------


def content(history: History, handle: str) -> str:
    return history.answer("lineage", handle)["model"]["content"]


def test_a_receipt_is_a_handle(history: History, promoted):
    for receipt in promoted:
        assert content(history, receipt.name) == receipt.body["content"]


def test_without_a_store_the_receipts_tell_versions_and_stages(history: History, promoted):
    third, fifth = (history.made[name].content for name in ("other data", "other code"))
    shutil.rmtree(history.project.folder / "mlflow_data")
    for handle in (f"{MODEL}@production", f"{MODEL}/Production", f"models:/{MODEL}/production", f"{MODEL}/3"):
        answer = history.answer("lineage", handle)
        assert answer["model"]["content"] == third, handle
        assert "by the receipt churn-predictor" in answer["is"]
        assert "MLflow's store names none" in answer["is"]
    assert content(history, f"{MODEL}/5") == fifth
    assert "is not known here" in history.told("lineage", f"{MODEL}@staging", code=2)
    history.project.run("git", "tag", "-d", promoted[2].name)
    assert "the chain of receipts is broken" in history.answer("lineage", f"{MODEL}@production")["is"]


def test_with_a_store_that_agrees_the_store_answers(history: History, promoted):
    assert history.answer("lineage", f"{MODEL}/3")["is"].startswith("churn-predictor/3, Archived")
    staged = next(made for made in history.made.values() if made.version == 7)
    put(history, "promoted", 3, "staging", day=5)
    assert content(history, f"{MODEL}@staging") == staged.content, "register needs no receipt for Staging"
    assert content(history, f"{MODEL}@production") == history.made["other data"].content


def test_a_number_that_store_and_receipts_give_to_two_models_is_ambiguous(history: History, promoted):
    other = history.made["on a branch"]
    put(history, "registered", 6, day=5, commit=other.commit)
    said = history.told("lineage", f"{MODEL}/6", code=2)
    assert "may be any of 2" in said
    assert other.content in said and history.made["all at once"].content in said


def test_lineage_tells_the_receipts_of_a_model(history: History, promoted):
    answer = history.answer("lineage", promoted[0].commit)
    assert [told["tag"] for told in answer["receipts"]] == [promoted[i].name for i in (4, 1, 0)]
    assert answer["receipts"][0] == {
        "tag": promoted[4].name,
        "action": "rolled back",
        "version": 3,
        "stage": "production",
        "when": "2026-03-05T09:00:00Z",
        "who": "Ada <ada@example.com>",
        "why": "complaints",
        "broken": [],
    }
    assert promoted[3].name not in answer["earlier_in"]
    assert {"main", "feature"} <= set(answer["earlier_in"])
    assert history.answer("lineage", "v1")["receipts"] == []
    text = " ".join(history.told("lineage", promoted[0].commit).replace("│", " ").split())
    assert f"receipt {promoted[4].name} · rolled back production 2026-03-05T09:00:00Z" in text
