"""What a run and a version hold, and that nothing is logged or registered twice."""

import sqlite3
from contextlib import closing

import pytest

from tests.people import customers
from tests.people.server import serving

NOTE = "mlflow.note.content"


def row(note: str, name: str) -> str:
    """What the table of a note says of a name."""
    (found,) = [line for line in note.splitlines() if line.startswith(f"| {name} |")]
    return found.removeprefix(f"| {name} |").removesuffix("|").strip()


@pytest.mark.slow
def test_a_note_tells_uncommitted_changes_and_the_experiment(warm):
    warm.run("dvc", "exp", "run", "--name", "shallow", "-S", "models.xgboost.max_depth=1", "evaluate")
    note = warm.runs()[0].data.tags[NOTE]
    assert row(note, "experiment") == "shallow"
    assert row(note, "models.xgboost.max_depth") == "1"
    head = warm.run("git", "rev-parse", "HEAD").stdout[:10]
    assert row(note, "made at commit") == f"`{head}`, with uncommitted changes"


def test_a_run_that_was_restored_says_so_in_its_note(warm):
    import mlflow

    (before,) = warm.runs()
    other = f"sqlite:///{warm.folder}/other/mlflow.db"
    warm.repro("--force", "--single-item", "register", env={"MLFLOW_TRACKING_URI": other})
    (restored,) = mlflow.MlflowClient(other).search_runs(["1"])
    head = warm.run("git", "rev-parse", "HEAD").stdout[:10]
    assert row(restored.data.tags[NOTE], "restored at commit") == f"`{head}`"
    told = [line for line in restored.data.tags[NOTE].splitlines() if "at commit |" not in line]
    assert told == [line for line in before.data.tags[NOTE].splitlines() if "at commit |" not in line]


@pytest.mark.slow
def test_what_a_person_writes_into_a_note_stays(warm):
    (run,) = warm.runs()
    warm.store.set_tag(run.info.run_id, NOTE, "the one for the board")
    warm.repro("--force", "--single-item", "evaluate")
    warm.repro("--force", "--single-item", "register")
    (run,) = warm.runs()
    assert run.data.tags[NOTE] == "the one for the board"


@pytest.mark.slow
def test_a_run_is_not_told_of_data_that_its_model_has_never_seen(warm):
    customers.write_members(warm.folder / "data/customers.csv", customers.members(500, seed=8))
    warm.run("dvc", "add", "--quiet", "data/customers.csv")
    warm.repro("--single-item", "prepare")
    told = warm.repro("--single-item", "evaluate", code=255)
    assert "metrics/prepare/metrics.json tells of other data than models/provenance.json" in told
    assert "Traceback" not in told
    assert [run.info.status for run in warm.runs()] == ["FINISHED"], "and the run is as it was"
    warm.repro()
    assert [run.info.status for run in warm.runs()] == ["FINISHED", "FINISHED"]


@pytest.mark.parametrize("where", [pytest.param("run", marks=pytest.mark.slow), "version"])
def test_the_command_in_a_description_finds_the_commit_that_holds_the_model(warm, where):
    (run,), (version,) = warm.runs(), warm.versions()
    note = {"run": run.data.tags[NOTE], "version": version.description}[where]
    (command,) = [line for line in note.splitlines() if line.startswith("git checkout")]
    held = warm.run("git", "rev-parse", "--short", "HEAD").stdout.strip()
    warm.edit("params.yaml", "max_depth: 2", "max_depth: 3")
    warm.repro()
    warm.commit("another model")
    warm.run("sh", "-c", command)
    assert warm.run("git", "rev-parse", "--short", "HEAD").stdout.strip() == held


def test_staging_is_a_stage_and_an_alias_of_one_version(warm):
    warm.edit("params.yaml", "max_depth: 2", "max_depth: 3")
    warm.repro()
    stages = {version.version: version.current_stage for version in warm.versions()}
    assert stages == {1: "Archived", 2: "Staging"}
    assert warm.store.get_registered_model("churn-predictor").aliases == {"staging": 2}


def test_one_content_is_one_version_and_one_run_a_training(warm):
    warm.repro("--force")
    assert [version.version for version in warm.versions()] == [1]
    assert len(warm.runs()) == 2, "it was trained twice"
    warm.repro("--force", "--single-item", "register")
    warm.repro("--force", "--single-item", "evaluate")
    assert [version.version for version in warm.versions()] == [1]
    assert len(warm.runs()) == 2
    newest = warm.runs()[0]
    assert len(warm.store.get_metric_history(newest.info.run_id, "roc_auc")) == 1


@pytest.mark.slow
def test_moving_the_bar_retrains_nothing_and_what_misses_it_is_not_registered(warm):
    warm.edit("params.yaml", "max_depth: 2", "max_depth: 3")
    warm.edit("params.yaml", "roc_auc: 0.6", "roc_auc: 0.99")
    told = warm.repro()
    assert "misses the minimum 0.99" in told
    assert "not registered" in told
    assert len(warm.versions()) == 1
    assert len(warm.runs()) == 2

    warm.edit("params.yaml", "roc_auc: 0.99", "roc_auc: 0.6")
    told = warm.repro()
    assert "Running stage 'train'" not in told
    assert len(warm.versions()) == 2
    assert len(warm.runs()) == 2


def test_another_experiment_name_retrains_nothing_and_leaves_no_model_without_a_run(warm):
    warm.edit("params.yaml", "experiment: churn-prediction", "experiment: churn-2027")
    told = warm.repro()
    assert "Running stage 'train'" not in told
    runs = {warm.store.get_experiment(run.info.experiment_id).name: run for run in warm.runs()}
    restored = runs["churn-2027"]
    original = runs["churn-prediction"]
    assert restored.data.tags["predictflow.restored"] == "true"
    assert restored.data.metrics == original.data.metrics
    ours = {key: value for key, value in original.data.params.items() if "." in key or key == "seed"}
    assert restored.data.params == ours


def test_an_experiment_that_changes_only_the_evaluation_has_a_run_of_its_own(warm):
    (before,) = warm.runs()
    warm.run("dvc", "exp", "run", "--name", "cheap", "-S", "evaluate.contact_cost=40", "evaluate")
    cheap, unchanged = warm.runs()
    assert cheap.info.run_name == cheap.data.tags["dvc.exp_name"] == "cheap"
    assert cheap.data.tags["predictflow.content"] == before.data.tags["predictflow.content"]
    assert cheap.data.metrics["profit_per_customer"] > before.data.metrics["profit_per_customer"]
    assert unchanged.data.metrics == before.data.metrics


@pytest.mark.slow
def test_loading_the_folder_leaves_nothing_that_dvc_would_see(warm):
    load = "import mlflow; mlflow.pyfunc.load_model('models/churn-predictor')"
    warm.run("python", "-c", load)
    assert not (warm.folder / "models/churn-predictor/__pycache__").exists(), "it is run from its source"
    assert "Data and pipelines are up to date" in warm.run("dvc", "status").stdout
    warm.repro("--force", "--single-item", "evaluate")
    warm.repro("--force", "--single-item", "register")


@pytest.mark.slow
def test_a_relative_database_is_meant_from_the_project_also_in_a_temporary_experiment(warm):
    scratch = {"MLFLOW_TRACKING_URI": "sqlite:///scratch/other.db"}
    warm.run("dvc", "exp", "run", "--temp", "-S", "models.xgboost.max_depth=3", "evaluate", env=scratch)
    assert len(warm.runs()) == 1, "the project's own store is left alone"
    with closing(sqlite3.connect(warm.folder / "scratch/other.db")) as connection:
        assert connection.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]
    assert not (warm.folder / "mlruns").exists()


@pytest.fixture
def server(tmp_path):
    """A real MLflow server with a store of its own; gives its address."""
    from tests.people.project import environment

    folder = tmp_path / "server"
    folder.mkdir()
    words = f"mlflow server --workers 1 --backend-store-uri sqlite:///{folder}/server.db"
    files = ("--artifacts-destination", str(folder / "artifacts"))
    with serving([*words.split(), *files], folder, environment(tmp_path)) as address:
        yield address


def test_a_teams_server_takes_the_run_and_one_version_from_two_clones(warm, server, tmp_path):
    import mlflow

    team = {"MLFLOW_TRACKING_URI": server}
    warm.repro("--force", env=team)
    other = type(warm)(tmp_path / "other", tmp_path / "home")
    warm.run("git", "clone", "--quiet", str(warm.folder), str(other.folder))
    other.run("dvc", "cache", "dir", "--local", str(warm.folder / ".dvc/cache"))
    other.run("dvc", "checkout", "--quiet")
    other.repro("--force", "--single-item", "register", env=team)

    store = mlflow.MlflowClient(server)
    (version,) = store.search_model_versions("name = 'churn-predictor'")
    assert version.current_stage == "Staging"
    assert store.get_model_version_by_alias("churn-predictor", "staging").version == version.version
    (run,) = store.search_runs([store.get_experiment_by_name("churn-prediction").experiment_id])
    assert version.run_id == run.info.run_id
    assert "roc_auc" in run.data.metrics
    assert {item.path for item in store.list_artifacts(run.info.run_id, "model")} >= {"model/model.ubj"}
