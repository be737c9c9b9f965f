"""What a promotion is decided from: every edit behind its back is found, and the champion is met fairly."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from predictflow.adapters.git import Repository
from predictflow.adapters.mlflow_entities import REBUILT_TAG
from predictflow.formatting import moment
from predictflow.ledger.chain import read_chain
from predictflow.ledger.rebuilds import write_rebuild
from predictflow.lineage.project import Project
from predictflow.promotion import policy
from predictflow.promotion.evidence import gather_evidence
from predictflow.promotion.policy import Evidence, PromotionDecision, Settings
from stages.data import customer_index
from stages.model.serving import Model
from stages.support.paths import TRAIN_INDEX
from tests.people.history import History, Made
from tests.people.ledger import REBUILD

SETTINGS = Settings({"minimum": {"roc_auc": 0.6}}, 0.01, 0.95, 300, False, None, 7)
FOLDER = "models/churn-predictor"
MODEL = f"{FOLDER}/model.ubj"
PROVENANCE = "models/provenance.json"
CUSTOMERS = "data/customers.csv"
NEWEST = "all at once"  # what main and the working tree hold


def gather(
    history: History, name: str | int, stage: str = "production", settings: Settings = SETTINGS
) -> tuple[Evidence, PromotionDecision, list[str]]:
    """The evidence on a model of the history (or a version's number), the decision, and what was not seen."""
    number = history.made[name].version if isinstance(name, str) else name
    with (
        contextlib.chdir(history.project.folder),
        mock.patch.dict(os.environ, history.project.env, clear=True),
    ):
        project = Project.enter(history.project.folder)
        (version,) = [one for one in project.versions if one.number == number]
        found = gather_evidence(project, version, stage, settings)
        return found, policy.decide(found, settings), project.unseen


def doubts(history: History, name: str | int = NEWEST) -> list[str]:
    """The disagreements on a version; any of them keeps it out, with force too."""
    found, decision, _ = gather(history, name)
    assert decision.passed != bool(found.disagreements) and decision.forcible == decision.passed
    return found.disagreements


def sql(history: History, *statements: tuple) -> None:
    """Edit the store behind everyone's back."""
    with closing(sqlite3.connect(history.project.folder / "mlflow_data/mlflow.db")) as store, store:
        for statement in statements:
            assert store.execute(*statement).rowcount, statement


def crown(history: History, *numbers: int) -> None:
    """Let MLflow have versions in Production."""
    for number in numbers:
        change = "UPDATE model_versions SET current_stage = 'Production' WHERE version = ?"
        sql(history, (change, [number]))


def cache(history: History, md5: str) -> Path:
    return history.project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def put(history: History, content: bytes, end: str = "") -> str:
    """Bring an object into the cache; its md5."""
    md5 = hashlib.md5(content).hexdigest() + end
    cache(history, md5).parent.mkdir(exist_ok=True)
    cache(history, md5).write_bytes(content)
    return md5


def spoil(path: Path) -> str:
    """Change a file, write-protected or not; its new md5."""
    content = path.read_bytes() + b" "
    path.unlink()
    path.write_bytes(content)
    return hashlib.md5(content).hexdigest()


def artifacts(history: History, made: Made) -> Path:
    """Where the store that was moved has a version's files."""
    return history.project.folder / "mlflow_data/artifacts" / made.run / "artifacts/model"


def folder_md5(history: History) -> str:
    """That of the model's folder in the dvc.lock of the working tree."""
    return re.search(r"path: models/churn-predictor\n.*\n +md5: (\S+)", history.project.read("dvc.lock"))[1]


def amend(history: History) -> None:
    history.project.run("git", "commit", "--all", "--amend", "--quiet", "--no-edit")


def checkout(history: History, *words: str) -> None:
    """Without DVC's hook, which would take seconds to bring data that no one looks at."""
    history.project.run("git", "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", *words)


def test_a_version_that_nobody_touched_agrees_with_itself_everywhere(history: History):
    registered = [made for made in history.committed if made.version]
    assert len(registered) == 6
    for made in registered:
        found, decision, unseen = gather(history, made.name)
        assert found.disagreements == [] and unseen == []
        assert (found.content, found.commit, found.files) == (made.content, made.commit, 7)
        assert found.metrics == made.metrics
        assert found.version == f"churn-predictor/{made.version}"
        assert decision.passed and decision.forcible
        json.dumps(decision.numbers, allow_nan=False)


# Each edits one thing and gives what must be said of it.


def a_model_file_of_mlflow(history: History, made: Made) -> list[str]:
    path = artifacts(history, made) / "model.ubj"
    return [str(path), made.md5s[MODEL], spoil(path)]


def an_address_that_is_not_its_runs(history: History, made: Made) -> list[str]:
    there = history.project.folder.parent / "else where" / made.run / "artifacts/model"
    shutil.copytree(artifacts(history, made), there)
    sql(
        history,
        ("UPDATE model_versions SET storage_location = ? WHERE version = 6", [there.as_uri()]),
    )
    return [f"the address of churn-predictor/6, {there.as_uri()}, is not that of its run {made.run}"]


def no_model_file_of_mlflow(history: History, made: Made) -> list[str]:
    path = artifacts(history, made) / "schema.json"
    path.unlink()
    return [str(path), made.md5s[f"{FOLDER}/schema.json"], "is not there"]


def one_more_file_of_mlflow(history: History, made: Made) -> list[str]:
    """Were there a model.ubj beside a model.skops, serving would load it instead."""
    path = artifacts(history, made) / "model.skops"
    path.write_bytes(b"forged")
    return [str(path), "no md5", hashlib.md5(b"forged").hexdigest()]


def no_folder_of_mlflow(history: History, made: Made) -> list[str]:
    folder = artifacts(history, made)
    change = "UPDATE model_versions SET storage_location = ? WHERE version = 6"
    sql(history, (change, [folder.as_uri()]))
    shutil.rmtree(folder)
    return [f"MLflow's files of churn-predictor/6 are not there: {folder}"]


def a_file_of_the_cache(history: History, made: Made) -> list[str]:
    return [MODEL, made.md5s[MODEL], spoil(cache(history, made.md5s[MODEL])), "in DVC's cache, not", "`rm "]


def no_file_in_the_cache(history: History, made: Made) -> list[str]:
    cache(history, made.md5s[MODEL]).unlink()
    fetch = "`dvc fetch --all-commits models/churn-predictor` brings it"
    return [f"{MODEL} (md5 {made.md5s[MODEL]}) is not in DVC's cache", fetch]


def the_list_of_the_folder_in_the_cache(history: History, made: Made) -> list[str]:
    md5 = folder_md5(history)
    return [f"{FOLDER} has the md5", md5, spoil(cache(history, md5))]


def no_list_of_the_folder_in_the_cache(history: History, made: Made) -> list[str]:
    md5 = folder_md5(history)
    cache(history, md5).unlink()
    return [f"{FOLDER} (md5 {md5}) is not in DVC's cache"]


def another_folder_in_dvc_lock(history: History, made: Made) -> list[str]:
    md5 = folder_md5(history)
    listed = cache(history, md5).read_text()
    other = history.made["first"].md5s[MODEL]
    forged = put(history, listed.replace(made.md5s[MODEL], other).encode(), ".dir")
    history.project.edit("dvc.lock", md5, forged)
    amend(history)
    return [MODEL, made.md5s[MODEL], other, "dvc.lock"]


def no_folder_in_dvc_lock(history: History, made: Made) -> list[str]:
    history.project.edit("dvc.lock", "path: models/churn-predictor\n", "path: models/another\n")
    amend(history)
    return ["models/churn-predictor is not named by dvc.lock"]


def other_customers_in_dvc_lock(history: History, made: Made) -> list[str]:
    history.project.edit("dvc.lock", made.md5s[CUSTOMERS], "0" * 32)
    amend(history)
    return [CUSTOMERS, made.md5s[CUSTOMERS], "0" * 32, "dvc.lock"]


def another_provenance_in_git(history: History, made: Made) -> list[str]:
    md5 = spoil(history.project.folder / PROVENANCE)
    amend(history)
    # So nothing in Git says any more what the version was made from.
    return [PROVENANCE, made.content, md5]


def no_provenance_in_git(history: History, made: Made) -> list[str]:
    history.project.run("git", "rm", "--quiet", "--cached", PROVENANCE)
    history.project.run("git", "commit", "--quiet", "--amend", "--no-edit")
    return [f"{PROVENANCE} (md5 {made.content} by dvc.lock) is not in commit"]


def an_md5_in_the_registry(history: History, made: Made) -> list[str]:
    change = "UPDATE model_version_tags SET value = ? WHERE version = 6 AND key = ?"
    sql(history, (change, ["f" * 32, f"md5/{MODEL}"]))
    return [MODEL, made.md5s[MODEL], "f" * 32, "the tags of churn-predictor/6"]


def one_md5_less_in_the_registry(history: History, made: Made) -> list[str]:
    sql(history, ("DELETE FROM model_version_tags WHERE version = 6 AND key = ?", [f"md5/{CUSTOMERS}"]))
    return [CUSTOMERS, made.md5s[CUSTOMERS], "no md5 by the tags of churn-predictor/6"]


def one_md5_more_in_the_registry(history: History, made: Made) -> list[str]:
    add = "INSERT INTO model_version_tags (name, version, key, value) VALUES ('churn-predictor', 6, ?, ?)"
    sql(history, (add, ["md5/secret.bin", "e" * 32]))
    return ["secret.bin has no md5 by models/provenance.json", "e" * 32]


def no_content_in_the_registry(history: History, made: Made) -> list[str]:
    sql(history, ("DELETE FROM model_version_tags WHERE version = 6 AND key = 'predictflow.content'", []))
    return ["churn-predictor/6 carries no content", "`dvc repro`"]


def a_content_of_nobody_in_its_run(history: History, made: Made) -> list[str]:
    change = "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'predictflow.content'"
    sql(history, (change, ["d" * 32, made.run]))
    return ["churn-predictor/6 is content", made.content, made.run, "d" * 32]


EDITS = [
    a_model_file_of_mlflow,
    an_address_that_is_not_its_runs,
    no_model_file_of_mlflow,
    one_more_file_of_mlflow,
    no_folder_of_mlflow,
    a_file_of_the_cache,
    no_file_in_the_cache,
    the_list_of_the_folder_in_the_cache,
    no_list_of_the_folder_in_the_cache,
    another_folder_in_dvc_lock,
    no_folder_in_dvc_lock,
    other_customers_in_dvc_lock,
    another_provenance_in_git,
    no_provenance_in_git,
    an_md5_in_the_registry,
    one_md5_less_in_the_registry,
    one_md5_more_in_the_registry,
    no_content_in_the_registry,
    a_content_of_nobody_in_its_run,
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_one_edit_is_one_disagreement_with_the_file_and_both_md5s(history: History, edit):
    expected = edit(history, history.made[NEWEST])
    (said,) = doubts(history)
    assert [part for part in expected if part not in said] == [], said


def test_the_content_of_another_version_in_the_registry_disagrees_with_its_run_and_md5s(history: History):
    made, other = history.made[NEWEST], history.made["first"]
    change = "UPDATE model_version_tags SET value = ? WHERE version = 6 AND key = 'predictflow.content'"
    sql(history, (change, [other.content]))
    said = doubts(history)
    assert f"but its run {made.run} made {made.content}" in said[0]
    assert any(one.startswith(f"{CUSTOMERS} has the md5 {other.md5s[CUSTOMERS]}") for one in said)


def test_every_disagreement_is_told_not_the_first_alone(history: History):
    made = history.made[NEWEST]
    for edit in (an_md5_in_the_registry, no_file_in_the_cache, a_model_file_of_mlflow):
        edit(history, made)
    assert len(doubts(history)) == 3


def test_what_mlflow_writes_beside_a_model_is_no_disagreement_and_what_python_writes_is_one(history: History):
    folder = artifacts(history, history.made[NEWEST])
    mark = "model_name: churn-predictor\nmodel_version: '6'\n"
    (folder / "registered_model_meta").write_text(mark)
    assert doubts(history) == []
    (folder / "registered_model_meta").write_text(f"{mark}more: 1\n")
    (said,) = doubts(history)
    assert "registered_model_meta has no md5 by models/provenance.json" in said
    (folder / "registered_model_meta").unlink()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/serving.cpython-311.pyc").write_bytes(b"compiled")
    (said,) = doubts(history)
    assert "__pycache__/serving.cpython-311.pyc has no md5 by models/provenance.json" in said


def test_files_that_mlflow_cannot_bring_from_elsewhere_are_told_as_not_looked_at(history: History):
    away, run = "s3://user:secret@models", history.made[NEWEST].run
    address = f"{away}/{run}/artifacts"
    sql(
        history,
        ("UPDATE experiments SET artifact_location = ?", [away]),
        ("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", [address, run]),
        ("UPDATE model_versions SET storage_location = ? WHERE version = 6", [f"{address}/model"]),
    )
    _, decision, unseen = gather(history, NEWEST)
    (told,) = unseen
    assert told.startswith(
        f"MLflow's own files of churn-predictor/6: s3://…@models/{run}/artifacts/model cannot"
    )
    assert "secret" not in told and decision.passed


def test_what_was_never_committed_cannot_be_promoted(history: History):
    (said,) = doubts(history, "never committed")
    content = history.made["never committed"].content
    assert said.startswith(f"no branch and no tag has a dvc.lock with the content {content} (make it again")
    history.project.edit("dvc.lock", history.made[NEWEST].content, content)
    said = doubts(history, "never committed")[0]
    assert said.endswith(f"{content}, only the working tree (`git add --all && git commit`)")


def test_what_only_an_experiment_holds_is_told_with_its_cure(history: History):
    """Version 7's tag says the experiment's content."""
    change = "UPDATE model_version_tags SET value = ? WHERE version = 7 AND key = 'predictflow.content'"
    content = history.made["shallow"].content
    sql(history, (change, [content]))
    said = [one for one in doubts(history, 7) if one.startswith("no branch")]
    assert said == [
        f"no branch and no tag has a dvc.lock with the content {content}, only the experiment shallow"
        " (`dvc exp branch shallow BRANCH`)"
    ]
    history.project.run("dvc", "exp", "branch", "shallow", "kept")
    assert not [one for one in doubts(history, 7) if one.startswith("no branch")]


def test_what_only_the_checkout_holds_is_told_with_its_cure(history: History):
    checkout(history, "--detach")
    history.project.run("git", "branch", "--quiet", "-D", "main")
    commit = history.made[NEWEST].commit[:10]
    (said,) = doubts(history)
    assert said.endswith(f"only commit {commit} (`git branch BRANCH {commit}`)")
    history.project.run("git", "tag", "kept")
    assert doubts(history) == []


def test_metrics_that_were_not_committed_are_none(history: History):
    history.project.edit("metrics/evaluate/metrics.json", '"roc_auc": 0.9', '"roc_auc": 0.99')
    amend(history)
    # The index still has them from the commit that was amended; without it, Git alone is asked.
    shutil.rmtree(history.project.folder / ".dvc/tmp/predictflow", ignore_errors=True)
    found, decision, _ = gather(history, NEWEST)
    assert found.metrics == {} and not decision.passed and decision.forcible


class TestRemote:
    """Data and model on the default remote, where params ask for it."""

    settings = Settings({}, 0.01, 0.95, 300, True, None, 7)

    def remote(self, history: History) -> Path:
        folder = history.project.folder.parent / "remote"
        (history.project.folder / ".dvc/config.local").write_text(
            f"[core]\n    remote = here\n['remote \"here\"']\n    url = {folder}\n"
        )
        shutil.copytree(history.project.folder / ".dvc/cache/files", folder / "files")
        return folder

    def test_all_of_it_there_passes(self, history: History):
        self.remote(history)
        found, decision, _ = gather(history, NEWEST, settings=self.settings)
        assert found.missing == [] and decision.passed

    @pytest.mark.parametrize("path", [CUSTOMERS, "data/prepared/test.parquet", MODEL, FOLDER])
    def test_each_that_is_missing_is_named(self, history: History, path):
        remote = self.remote(history)
        md5 = history.made[NEWEST].md5s.get(path) or folder_md5(history)
        (remote / "files/md5" / md5[:2] / md5[2:]).unlink()
        found, decision, _ = gather(history, NEWEST, settings=self.settings)
        assert found.missing == [path]
        assert not decision.passed and decision.forcible

    def test_no_remote_is_not_the_same_as_nothing_missing(self, history: History):
        history.project.edit(".dvc/config", "    remote = s3remote\n", "")
        found, decision, _ = gather(history, NEWEST, settings=self.settings)
        assert found.missing is None and "no default remote is set" in found.remote_unseen
        assert not decision.passed and decision.forcible
        assert gather(history, NEWEST)[1].passed, "params do not ask for it"


def test_a_rebuild_counts_where_params_ask_for_one(history: History):
    asked = dataclasses.replace(SETTINGS, rebuilt_within_days=7)
    found, decision, _ = gather(history, NEWEST, settings=asked)
    assert found.rebuilt is None and decision.against == [
        "nobody has rebuilt it yet (`predictflow rebuild churn-predictor/6`)"
    ]
    told = (REBUILT_TAG, f"identical {moment(time.time())}", "churn-predictor", 6, "default")
    sql(history, ("INSERT INTO model_version_tags VALUES (?, ?, ?, ?, ?)", told))
    assert gather(history, NEWEST, settings=asked)[0].rebuilt is None, "MLflow's tag decides nothing"
    made = history.made[NEWEST]
    for days, passed in ((7.1, False), (6.9, True)):
        with mock.patch.dict(os.environ, history.project.env, clear=True):
            repository = Repository(history.project.folder)
            chain = read_chain(repository, "churn-predictor")
            with mock.patch.object(time, "time", return_value=time.time() - days * 86_400):
                write_rebuild(repository, chain, made.content, made.commit, REBUILD)
        found, decision, _ = gather(history, NEWEST, settings=asked)
        assert found.rebuilt == ("identical", pytest.approx(days, abs=0.01))
        assert decision.passed == passed


def scored(history: History, name: str, rows: pd.DataFrame) -> pd.Series:
    """The probabilities that a model of the history gives, through this repository's own serving."""
    return pd.Series(Model(artifacts(history, history.made[name])).predict(rows)).round(9)


def customers_of(history: History, name: str) -> pd.DataFrame:
    return pd.read_parquet(cache(history, history.made[name].md5s["data/prepared/test.parquet"]))


@pytest.mark.parametrize(
    ("new", "old"), [("other params", "first"), ("first", "other data"), (NEWEST, "first")]
)
def test_both_are_measured_on_the_test_customers_of_the_challenger(history: History, new, old):
    crown(history, history.made[old].version)
    found, decision, _ = gather(history, new)
    compared, rows = found.comparison, customers_of(history, new)
    assert (compared.champion, compared.why_not) == (f"churn-predictor/{history.made[old].version}", None)
    assert (compared.customers, compared.positives, compared.left_out) == (len(rows), rows["left"].sum(), 0)
    assert compared.challenger_roc_auc == history.made[new].metrics["roc_auc"]
    assert compared.champion_roc_auc == pytest.approx(
        roc_auc_score(rows["left"], scored(history, old, rows)), abs=1e-9
    )
    assert compared.low <= compared.difference <= compared.high
    assert decision.passed == (compared.low >= -0.01)
    assert gather(history, new)[0] == found, "the same evidence every time"


def test_nobody_in_production_is_no_champion(history: History):
    found, decision, _ = gather(history, NEWEST)
    assert found.comparison is None and decision.passed


def test_the_champion_is_who_is_in_production_whichever_stage_is_asked_for(history: History):
    """Who is in Staging was put there by register: nobody has promoted it."""
    assert gather(history, NEWEST, "staging")[0].comparison is None
    crown(history, 1)
    assert gather(history, NEWEST)[0].comparison.champion == "churn-predictor/1"
    assert gather(history, NEWEST, "staging")[0].comparison.champion == "churn-predictor/1"


def test_who_was_put_in_production_behind_the_receipts_back_is_no_champion(history: History):
    """A worse one, put there by hand, would let anybody pass."""
    history.told("promote", "churn-predictor/1", "--to", "production")
    sql(history, ("UPDATE model_versions SET current_stage = 'None' WHERE version = 1",))
    crown(history, 2)
    assert why_not(history).startswith("MLflow has it in Production, the receipts have version 1 there")
    assert gather(history, "first")[0].comparison.same, "so that a promotion that was cut short can end"


def test_the_champion_itself_is_as_good_as_the_champion(history: History):
    crown(history, 6)
    found, decision, _ = gather(history, NEWEST)
    assert found.comparison.same and decision.passed


def test_two_in_production_are_no_champion(history: History):
    crown(history, 1, 2)
    _, decision, _ = gather(history, NEWEST)
    assert "churn-predictor/2 and churn-predictor/1" in decision.against[0] and decision.forcible


def forge(history: History, index: bytes = b"", salt: str | None = None, **files: bytes) -> None:
    """Make version 1, the champion, from another index, salt or files, in all that Git and DVC say of it."""
    made = history.made["first"]
    old, old_index = _blob(history, made.commit, PROVENANCE), TRAIN_INDEX.as_posix()
    entries = json.loads(old)
    md5s = {f"{FOLDER}/{name.replace('_', '.')}": put(history, content) for name, content in files.items()}
    if index:
        md5s[old_index] = put(history, index)
    for entry in entries[:-1]:
        entry["md5"] = md5s.get(entry["path"], entry["md5"])
    if salt is None:
        del entries[-1]["params"]["prepare"]["id_salt"]
    else:
        entries[-1]["params"]["prepare"]["id_salt"] = salt
    text = json.dumps(entries, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    content = hashlib.md5(text.encode()).hexdigest()
    checkout(history, "--orphan", "forged", made.commit)
    (history.project.folder / PROVENANCE).write_text(text, encoding="utf-8")
    history.project.edit("dvc.lock", made.content, content)
    history.project.commit("forged")
    checkout(history, "main")
    change = "UPDATE model_version_tags SET value = ? WHERE version = 1 AND key = 'predictflow.content'"
    sql(history, (change, [content]))
    crown(history, 1)


def _blob(history: History, commit: str, path: str) -> str:
    return history.project.run("git", "show", f"{commit}:{path}").stdout


SALT = "predictflow customers"


def test_customers_that_the_champion_has_learned_from_are_left_out(history: History):
    """By its own index, with its own salt."""
    rows = customers_of(history, NEWEST)
    known = rows["member"].iloc[::3].tolist()
    ids = [*known, "M-0815", "nobody"]
    forge(history, b"".join(sorted(customer_index.digests(ids, "another salt"))), "another salt")
    found, decision, _ = gather(history, NEWEST)
    compared, rest = found.comparison, rows[~rows["member"].isin(known)]
    assert (compared.left_out, compared.customers) == (len(known), len(rest))
    assert compared.positives == rest["left"].sum()
    for name, number in (("first", compared.champion_roc_auc), (NEWEST, compared.challenger_roc_auc)):
        assert number == pytest.approx(roc_auc_score(rest["left"], scored(history, name, rest)), abs=1e-9)
    assert f"({len(known)} that the champion has learned from left out)" in decision.reasons[-1]


def why_not(history: History, name: str = NEWEST) -> str:
    """Why the two could not be compared, which does not pass, and may be forced."""
    found, decision, _ = gather(history, name)
    assert not decision.passed and decision.forcible
    assert found.comparison.why_not in decision.against[0]
    assert found.comparison.low is None
    return found.comparison.why_not


def test_a_champion_that_has_learned_from_them_all_cannot_be_compared(history: History):
    rows = customers_of(history, NEWEST)
    stayed = rows["member"][rows["left"] == 0]
    forge(history, b"".join(sorted(customer_index.digests(stayed, SALT))), SALT)
    assert why_not(history) == (
        f"churn-predictor/1 has learned from {len(stayed)} of the {len(rows)} test customers of"
        " churn-predictor/6, and among the rest there are not both who left and who stayed"
    )


def test_a_champion_that_refuses_the_customers_says_why(history: History):
    """Its own code and its own schema decide: it knows only two of the three plans."""
    path = cache(history, history.made["first"].md5s[f"{FOLDER}/schema.json"])
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["columns"]["plan"]["categories"] = ["1", "2"]
    forge(history, salt=SALT, schema_json=json.dumps(schema).encode())
    said = why_not(history)
    assert said.startswith(
        "churn-predictor/1 cannot score them: these customers cannot be scored: column plan"
    )


def test_a_champion_from_before_there_was_an_index_cannot_be_compared(history: History):
    forge(history, salt=None)
    assert why_not(history) == (
        "churn-predictor/1 was made before there was an index of whom a model learned from"
    )


def test_a_champion_that_is_not_in_git_cannot_be_compared(history: History):
    crown(history, 7)
    assert why_not(history) == "what churn-predictor/7 was made from is not in Git"


@pytest.mark.parametrize("path", [MODEL, "data/prepared/train.index"])
def test_a_champion_that_is_not_in_the_cache_cannot_be_compared(history: History, path):
    crown(history, 1)
    recorded = json.loads(_blob(history, history.made["first"].commit, PROVENANCE))
    (md5,) = [entry["md5"] for entry in recorded if entry.get("path") == path]
    cache(history, md5).unlink()
    assert why_not(history).startswith(f"{path} (md5 {md5}) is not in DVC's cache (`dvc fetch")


def test_code_that_is_not_what_git_says_is_not_run(history: History):
    """Neither the champion's, nor that of a version in doubt."""
    ran = history.project.folder.parent / "ran"
    forged = f"open({str(ran)!r}, 'w').close()\n".encode()
    crown(history, 1)
    code = cache(history, history.made["first"].md5s[f"{FOLDER}/serving.py"])  # the same in all versions
    honest = code.read_bytes()
    code.unlink()
    code.write_bytes(forged)
    _, decision, _ = gather(history, NEWEST)
    assert not decision.passed and not decision.forcible
    assert decision.against[-1].endswith(
        "the content of churn-predictor/6 is in doubt, so its code is not run"
    )
    assert not ran.exists()
    code.write_bytes(honest)
    forge(history, salt=SALT, serving_py=forged)  # such a champion is what Git says, and runs
    gather(history, NEWEST)
    assert ran.exists()
    ran.unlink()
    spoil(cache(history, hashlib.md5(forged).hexdigest()))
    assert "has the md5" in why_not(history) and not ran.exists()


def test_test_customers_that_the_cache_has_lost_are_taken_from_the_working_tree(history: History):
    crown(history, 1)
    before, _, _ = gather(history, NEWEST)
    md5 = history.made[NEWEST].md5s["data/prepared/test.parquet"]
    here = history.project.folder / "data/prepared/test.parquet"
    content = here.read_bytes()
    cache(history, md5).unlink()
    here.unlink(missing_ok=True)
    here.write_bytes(content)
    assert gather(history, NEWEST)[0] == before
    spoil(here)
    assert why_not(history).startswith(f"data/prepared/test.parquet (md5 {md5}) is not in DVC's cache")


def test_a_promotion_that_was_looked_into_has_changed_nothing(history: History):
    crown(history, 1)
    folder = history.project.folder
    (folder / ".dvc/tmp/predictflow").mkdir(parents=True, exist_ok=True)

    def state() -> dict[str, str]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        told = {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}
        return {path: md5 for path, md5 in told.items() if not path.startswith(".dvc/tmp/predictflow/")}

    before = state()
    gather(history, NEWEST)
    assert state() == before
