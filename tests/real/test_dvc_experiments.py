"""`dvc exp run`, `--temp` and the queue: every experiment is a run in the project's own store."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import queued as queue_of_dvc
from tests.people.project import WAIT, Project
from tests.people.waiting import until

MODEL = "churn-predictor"


@pytest.fixture
def queue(members):
    """The project, whose queue is stopped and whose workers are gone when the test is over."""
    yield members
    stop_queue(members)


def start_workers(project: Project) -> None:
    queue_of_dvc.start_workers(project.folder, project.env | project.unhurried, 2)


def stop_queue(project: Project) -> None:
    queue_of_dvc.stop_workers(project.folder, project.env)


def wait_for_queue(project, seconds: float) -> None:
    """Return when no task of the queue waits or runs; the test fails at the deadline or with a task."""

    def ended() -> bool:
        told = project.run("dvc", "queue", "status").stdout
        assert "Failed" not in told, told
        return not re.search(r"\b(Queued|Running)\b", told)

    until(ended, "the end of the queue", seconds)


def by_name(project) -> dict:
    """{name of a run: the run}."""
    runs = project.runs()
    named = {run.info.run_name: run for run in runs}
    assert len(named) == len(runs), "two runs of one name"
    return named


def check_experiments(project, seeds: dict[str, int]) -> None:
    """Each experiment has one finished run of its own name, made with its own seed, in no stage."""
    runs = by_name(project)
    listed = project.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert sorted(listed) == sorted(seeds)
    for name, seed in seeds.items():
        run = runs[name]
        assert run.info.status == "FINISHED", name
        assert run.data.tags["dvc.exp_name"] == name
        assert run.data.params["seed"] == str(seed)
        assert run.data.metrics["roc_auc"] > 0.5
        in_git = project.run("git", "show", f"{ref(project, name)}:params.yaml").stdout
        assert f"\nseed: {seed}\n" in in_git
    contents = [run.data.tags["predictflow.content"] for run in runs.values()]
    assert len(set(contents)) == len(contents)


def ref(project, name: str) -> str:
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    (found,) = [each for each in refs if each.endswith(f"/{name}")]
    return found


def aliases(project) -> dict[str, str]:
    held = project.store.get_registered_model(MODEL).aliases
    return {alias: str(version) for alias, version in held.items()}


def staged(project) -> dict[str, str]:
    """{version: stage}."""
    return {str(version.version): version.current_stage for version in project.versions()}


@pytest.mark.slow
def test_every_kind_of_experiment_logs_to_the_projects_own_store_and_moves_no_stage(queue):
    queue.repro()
    queue.commit("the baseline")
    assert staged(queue) == {"1": "Staging"}
    queue.run("dvc", "exp", "run", "--queue", "-n", "queued", "-S", "seed=1")
    start_workers(queue)
    wait_for_queue(queue, WAIT)
    queue.run("dvc", "exp", "run", "--temp", "-n", "apart", "-S", "seed=2")
    queue.run("dvc", "exp", "run", "-n", "plain", "-S", "seed=3")
    check_experiments(queue, {"queued": 1, "apart": 2, "plain": 3})
    assert len(queue.runs()) == 4
    assert staged(queue) == {"1": "Staging", "2": "None", "3": "None", "4": "None"}
    assert aliases(queue) == {"staging": "1"}
    assert not list(queue.folder.glob(".dvc/tmp/exps/**/mlflow.db"))


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_sixteen_experiments_are_sixteen_runs(queue):
    """8 in the queue, 4 apart and 4 in the workspace, none lost, none doubled, none under a wrong name."""
    queue.repro("prepare")
    queue.commit("prepared, nothing trained")
    kinds = {"queued": ["--queue"], "apart": ["--temp"], "plain": []}
    names = [f"queued-{n}" for n in range(8)] + [
        f"{kind}-{n}" for kind in ("apart", "plain") for n in range(4)
    ]
    seeds = {name: 100 + number for number, name in enumerate(names)}
    for name, seed in seeds.items():
        if name == "apart-0":
            start_workers(queue)
            wait_for_queue(queue, 1200)
        queue.run("dvc", "exp", "run", *kinds[name.split("-")[0]], "-n", name, "-S", f"seed={seed}")
    check_experiments(queue, seeds)
    assert len(queue.runs()) == 16
    assert set(staged(queue).values()) == {"None"} and len(staged(queue)) == 16
    assert aliases(queue) == {}


def test_an_applied_experiment_is_registered_once_and_goes_to_staging(members):
    members.run("dvc", "exp", "run", "--temp", "-n", "tried", "-S", "seed=5")
    assert staged(members) == {"1": "None"}
    members.run("dvc", "exp", "apply", "tried")
    told = members.repro()
    assert "Running stage 'train'" not in told
    assert staged(members) == {"1": "Staging"}
    assert aliases(members) == {"staging": "1"}
    (run,) = members.runs()
    assert run.info.run_name == "tried"


def test_params_seen_before_train_nothing_and_lose_nothing(members):
    members.repro()
    members.commit("the first seed")
    lock, first = members.read("dvc.lock"), members.read("params.yaml")
    seed = re.search(r"^seed: \d+$", first, re.MULTILINE)[0]
    members.edit("params.yaml", seed, "seed: 6")
    members.repro()
    versions, runs = staged(members), {run.info.run_id for run in members.runs()}
    assert len(versions) == len(runs) == 2

    members.edit("params.yaml", "seed: 6", seed)
    told = members.repro()
    assert "Stage 'train' is cached - skipping run" in told
    assert "Running stage 'train'" not in told and "Running stage 'evaluate'" not in told
    assert members.read("dvc.lock") == lock
    members.run("git", "diff", "--exit-code")
    assert staged(members) == versions
    assert {run.info.run_id for run in members.runs()} == runs


@pytest.mark.slow
def test_without_the_store_everything_is_registered_again(members):
    members.repro()
    members.commit()
    shutil.rmtree(members.folder / "mlflow_data")
    told = members.repro()
    assert "Running stage 'train'" not in told and "Running stage 'register'" in told
    (run,) = members.runs()
    assert run.info.status == "FINISHED"
    assert run.data.tags["predictflow.restored"] == "true"
    assert run.data.params["train.model"] == "xgboost" and run.data.params["models.xgboost.rounds"] == "30"
    assert {"roc_auc", "brier", "train.log_loss", "validation.log_loss"} <= run.data.metrics.keys()
    datasets = {item.dataset.name for item in run.inputs.dataset_inputs}
    assert datasets == {"customers.csv", "train.parquet", "test.parquet"}
    held = {item.path for item in members.store.list_artifacts(run.info.run_id, "model")}
    made = {f"model/{path.name}" for path in (members.folder / "models" / MODEL).iterdir()}
    assert held == made
    assert staged(members) == {"1": "Staging"}
    members.run("git", "diff", "--exit-code")


@pytest.mark.slow
def test_two_experiments_started_at_the_same_moment_on_a_project_without_a_store_both_finish(queue):
    def start(name: str, seed: int) -> None:
        queue.run("dvc", "exp", "run", "--temp", "-n", name, "-S", f"seed={seed}")

    with ThreadPoolExecutor() as pool:
        for ended in [pool.submit(start, "left", 7), pool.submit(start, "right", 8)]:
            ended.result(timeout=WAIT)
    check_experiments(queue, {"left": 7, "right": 8})
    assert len(queue.runs()) == 2
