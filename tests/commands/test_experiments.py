"""`predictflow experiments`: every experiment and every run is in one table, once."""

import re

import pytest

from predictflow.adapters import mlflow_client, mlflow_sqlite
from predictflow.lineage import experiments
from predictflow.lineage.experiments import changed
from predictflow.lineage.project import Project
from tests.people.history import History
from tests.people.manual import json_keys_of


def entries(history: History, *words: str, code: int = 0) -> dict[str, dict]:
    """By name; a name stands once."""
    found = history.answer("experiments", *words, code=code)["experiments"]
    names = [one["name"] for one in found]
    assert len(names) == len(set(names))
    return {one["name"]: one for one in found}


def test_every_run_is_there_once_with_its_model(history: History):
    found = history.answer("experiments")["experiments"]
    assert sorted(run["id"] for one in found for run in one["runs"]) == sorted(
        run.info.run_id for run in history.project.runs()
    )
    by_content = {one["content"]: one for one in found}
    assert len(by_content) == len(found) == len(history.made)
    for made in history.made.values():
        one = by_content[made.content]
        assert (one["run"], one["status"], one["how"]) == (made.run, "FINISHED", "run")
        assert one["commit"] == made.commit
        assert one["metrics"]["roc_auc"] == pytest.approx(made.metrics["roc_auc"])
        versions = [int(version["name"].rpartition("/")[2]) for version in one["versions"]]
        assert versions == ([made.version] if made.version else [])


def test_an_experiment_tells_what_it_changed(history: History):
    found = entries(history)
    shallow = found["shallow"]
    assert shallow["changed"] == {"models.xgboost.max_depth": [2, 1]}
    assert (shallow["experiment"], shallow["also_changed"]) == ("shallow", [])
    assert shallow["baseline"] == history.made["first"].commit
    assert found["main"]["changed"] == {"models.xgboost.reg_lambda": [3.0, 1.0]}
    assert found["main"]["also_changed"] == ["data/customers.csv", "stages/model/families.py"]
    assert found["light"]["also_changed"] == ["data/customers.csv"] and found["light"]["changed"] == {}


def test_params_are_read_as_dvc_reads_them(history: History, monkeypatch):
    """`dvc exp run -S` writes params.yaml anew: no quotes around a No, which in YAML 1.1 is false, and
    nothing for null."""
    path = history.project.folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + 'extra:\n  answer: "No"\n  nothing: null\n', encoding="utf-8")
    before = history.project.commit("with quotes")
    text = text.replace("rounds: 25", "rounds: 24")
    path.write_text(text + "extra:\n  answer: No\n  nothing:\n", encoding="utf-8")
    after = history.project.commit("without")
    monkeypatch.chdir(history.project.folder)
    project = Project.enter(history.project.folder)
    assert changed(project, before, after) == {"models.xgboost.rounds": [25, 24]}


def test_the_best_comes_first(history: History):
    def sorted_by(*words: str) -> list[float]:
        found = history.answer("experiments", *words)["experiments"]
        return [one["metrics"][words[1]] for one in found]

    best = sorted_by("--sort", "roc_auc")
    assert best == sorted(best, reverse=True) and len(set(best)) > 3
    lowest = sorted_by("--sort", "brier", "--ascending")
    assert lowest == sorted(lowest)
    said = history.told("experiments", "--sort", "accuracy", code=1)
    assert "no experiment has the metric accuracy" in said and "roc_auc" in said


def test_an_experiment_whose_run_is_gone_is_told(history: History):
    store = history.project.store
    store.delete_run(history.made["shallow"].run)
    assert entries(history, code=1)["shallow"]["run"] is None
    assert "experiment shallow has no run" in history.told("experiments", code=1)
    history.told("restore")
    assert entries(history)["shallow"]["how"] == "restored"


def test_a_run_whose_experiment_is_gone_is_told(history: History):
    history.project.run("dvc", "exp", "remove", "--quiet", "shallow")
    one = entries(history)["shallow"]
    assert (one["experiment"], one["run"]) == (None, history.made["shallow"].run)
    said = " ".join(history.told("experiments").split())
    assert re.search("runs without experiment or commit: .*shallow", said)


def test_a_run_that_failed_is_told_and_made_no_model(history: History):
    store = history.project.store
    run = store.create_run(store.get_experiment_by_name("churn-prediction").experiment_id, run_name="broken")
    store.set_terminated(run.info.run_id, "FAILED")
    one = entries(history)["broken"]
    assert (one["status"], one["content"], one["versions"]) == ("FAILED", None, [])
    assert "FAILED" in history.told("experiments")


def test_handles_choose_and_a_page_compares_them(history: History, tmp_path):
    assert entries(history, "shallow", "main").keys() == {"shallow", "main"}
    page = tmp_path / "compared.html"
    history.told("experiments", "shallow", "main", "--plot", str(page))
    text = page.read_text(encoding="utf-8")
    assert "Share of the leavers called" in text
    assert set(re.findall('"rev": "([^"]*)"', text)) == {"shallow", "main"}
    page.unlink()
    said = history.told("experiments", history.made["never committed"].run, "--plot", str(page), code=1)
    assert "no commit holds them" in said and not page.exists()


def test_git_and_dvc_alone_tell_experiments_and_that_runs_were_not_looked_at(history: History):
    (history.project.folder / "mlflow_data").rename(history.project.folder / "away")
    answer = history.answer("experiments", code=2)
    assert "mlflow.db is not there" in answer["not_looked_at"][0]
    assert {one["name"] for one in answer["experiments"]} >= {"shallow", "main", "light", "v1"}


@pytest.fixture
def in_pages(monkeypatch):
    """Pages of two runs, as if there were a hundred thousand."""
    for module in (mlflow_client, mlflow_sqlite, experiments):
        monkeypatch.setattr(module, "PAGE_SIZE", 2)


def test_the_newest_are_told_and_of_how_many(history: History):
    found = history.answer("experiments", "--limit", "0")
    newest = history.answer("experiments", "-n", "2")
    assert newest["experiments"] == found["experiments"][:2]
    assert newest["entries"] == found["entries"] == len(found["experiments"])
    assert f"the newest 2 of {len(found['experiments'])} " in history.told("experiments", "-n", "2")
    best = history.answer("experiments", "--sort", "roc_auc")["experiments"]
    assert history.answer("experiments", "--sort", "roc_auc", "-n", "2")["experiments"] == best[:2]
    assert f"the first 2 of {len(best)} " in history.told("experiments", "--sort", "roc_auc", "-n", "2")


@pytest.mark.usefixtures("in_pages")
def test_of_many_the_newest_are_told_without_reading_all(history: History):
    store = history.project.store
    experiment = store.get_experiment_by_name("churn-prediction").experiment_id
    for number in range(6):
        begun = store.create_run(experiment, start_time=2**41 + number, run_name=f"new {number}")
        store.set_terminated(begun.info.run_id, "FAILED")
    whole = history.answer("experiments", "--limit", "0")
    for limit in range(1, len(whole["experiments"])):
        found = history.answer("experiments", "--limit", str(limit))
        assert found["experiments"] == whole["experiments"][:limit]
    found = history.answer("experiments", "--limit", "3")
    assert found["entries"] is None
    assert "the newest 3; there are more" in history.told("experiments", "--limit", "3")


@pytest.mark.usefixtures("in_pages")
def test_an_experiment_without_a_run_is_told_also_where_it_is_not_shown(history: History):
    store = history.project.store
    store.delete_run(history.made["shallow"].run)
    answer = history.answer("experiments", "--limit", "1", code=1)
    assert answer["without_run"] == ["shallow"]
    assert "shallow" not in {one["name"] for one in answer["experiments"]}
    assert "experiment shallow has no run" in history.told("experiments", "--limit", "1", code=1)


def test_every_key_is_documented(history: History):
    section = json_keys_of("experiments")
    (one,) = history.answer("experiments", "shallow")["experiments"]
    for key in set(one) | {"experiments", "entries", "without_run"}:
        assert f"`{key}`" in section, key
