"""What GTO and DVC make of the receipts."""

import json
import shutil

import pytest

from predictflow.adapters.git import Repository
from predictflow.ledger.chain import read_chain
from predictflow.ledger.ledger import Ledger
from predictflow.ledger.receipts import ReceiptDraft
from tests.people.history import History
from tests.people.ledger import MODEL

GIVEN = {"md5s": {}, "run": None, "registered": 1, "tags": {}, "description": "", "decision": None}


@pytest.mark.real
def test_gto_and_dvc_agree_on_what_stands_where(history: History, monkeypatch: pytest.MonkeyPatch, tmp_path):
    for name, value in history.project.env.items():
        monkeypatch.setenv(name, value)
    repository = Repository(history.project.folder)
    commits = {made.version: made.commit for made in history.made.values()}
    contents = {made.version: made for made in history.made.values()}

    def step(action: str, version: int, stage: str | None = None) -> None:
        facts = GIVEN | {"content": contents[version].content}
        ledger = Ledger(repository, read_chain(repository, MODEL), None)
        ledger.append([ReceiptDraft(action, version, commits[version], facts, stage)])

    def in_gto() -> dict[str, str]:
        shown = json.loads(history.project.run("gto", "show", MODEL, "--json").stdout)
        held = [
            (stage["activated_at"], stage["stage"], version["version"])
            for version in shown
            for stage in version["stages"]
            if stage["is_active"]
        ]
        return {stage: version for _, stage, version in sorted(held)}

    def in_receipts() -> dict[str, str]:
        stands = read_chain(repository, MODEL).standing()
        return {stage: f"v{receipt.version}.0.0" for stage, receipt in stands.items()}

    def got(*words: str) -> str:
        folder = tmp_path / "got"
        shutil.rmtree(folder, ignore_errors=True)
        history.project.run("dvc", "artifacts", "get", ".", MODEL, *words, "--out", str(folder))
        return next(
            made.name
            for made in history.made.values()
            if (folder / "model.ubj").read_bytes()
            == (
                history.project.folder / f"mlflow_data/artifacts/{made.run}/artifacts/model/model.ubj"
            ).read_bytes()
        )

    for version in (1, 2, 3):
        step("registered", version)
        step("promoted", version, "production")
    step("promoted", 2, "staging")
    assert in_gto() == in_receipts() == {"production": "v3.0.0", "staging": "v2.0.0"}
    step("rolled back", 1, "production")
    assert in_gto() == in_receipts() == {"production": "v1.0.0", "staging": "v2.0.0"}
    assert got("--stage", "production") == contents[1].name
    assert got("--rev", "v2.0.0") == contents[2].name

    assert read_chain(repository, MODEL).assigned("production") == [2, 3, 1]
    step("archived", 1, "production")
    assert in_receipts() == {"staging": "v2.0.0"}
    assert in_gto()["production"] == "v3.0.0", "why a stage is emptied of all that GTO remembers"
    for version in read_chain(repository, MODEL).assigned("production"):
        step("archived", version, "production")
    assert in_gto() == in_receipts() == {"staging": "v2.0.0"}
    step("promoted", 3, "production")
    assert got("--stage", "production") == contents[3].name

    journal = json.loads(history.project.run("gto", "history", MODEL, "--json").stdout)
    ours = read_chain(repository, MODEL)
    told = [event for event in journal if event["event"] != "commit"]
    assert [event["ref"] for event in reversed(told)] == [receipt.name for receipt in ours.receipts]
    assert {event["ref"]: event["commit"] for event in told} == {
        receipt.name: receipt.commit for receipt in ours.receipts
    }
    assert ours.damage == []
