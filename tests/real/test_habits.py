"""What people who know DVC do with experiments, for real: none is lost, none is doubled, none stays open."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.people.processes import gone
from tests.people.project import Project
from tests.people.waiting import until
from tests.real.test_dvc_experiments import MODEL, staged, start_workers, stop_queue

ENDLESS = "models.xgboost.rounds=2000000"


@pytest.fixture
def warm(warm: Project) -> Iterator[Project]:
    """The members' project with a registered model, whose queue is stopped when the test is over."""
    yield warm
    stop_queue(warm)


def experiments(project: Project, code: int = 0) -> dict[str, dict]:
    """What `predictflow experiments` tells, by name; a name stands once."""
    said = project.run("python", "-m", "predictflow.cli", "experiments", "--json", code=code).stdout
    told = json.loads(said)["experiments"]
    named = {one["name"]: one for one in told}
    assert len(named) == len(told)
    return named


def shown(project: Project) -> dict[str, dict]:
    """{name: rev, roc_auc} of the experiments that `dvc exp show --json` tells as done."""
    said = json.loads(project.run("dvc", "exp", "show", "--json", "-A").stdout)
    found = {}
    for baseline in said:
        for one in baseline["experiments"] or []:
            last = one["revs"][0]
            if one["executor"] is None or one["executor"]["state"] == "success":
                metrics = last["data"]["metrics"]["metrics/evaluate/metrics.json"]["data"]
                found[one["name"]] = {"rev": last["rev"], "roc_auc": metrics["roc_auc"]}
    return found


def tasks(project: Project) -> dict[str, str]:
    """{name: status} of the queue's tasks."""
    lines = project.run("dvc", "queue", "status").stdout.splitlines()[1:]
    words = [line.split() for line in lines if line and not line.startswith("Worker status")]
    return {line[1]: line[-1] for line in words if len(line) > 3}


def training(project: Project, name: str) -> int:
    """The pid of the stage that trains for an experiment, once it does."""

    def begun():
        runs = [run for run in project.runs() if run.data.tags.get("dvc.exp_name") == name]
        return next((run for run in runs if "num_boost_round" in run.data.params), None)

    return int(until(begun, f"the training of {name}", 600).data.tags["predictflow.pid"])


def kill_while_it_trains(project: Project, name: str, *words: str) -> None:
    """`dvc exp run`, killed with all that it has started."""
    command = ["dvc", "exp", "run", *words, "--name", name, "-S", ENDLESS, "evaluate"]
    null = subprocess.DEVNULL
    with project.begun(*command, env=project.unhurried, stdout=null, stderr=null):
        stage = training(project, name)
    until(lambda: gone(stage), "the end of the killed stage")


def back(project: Project) -> None:
    """Where the commit stands."""
    project.run("git", "checkout", "--quiet", "--force", "main")
    project.run("dvc", "checkout", "--quiet", "--force")


def check(project: Project, finished: dict[str, dict], killed: set[str]) -> None:
    """DVC, MLflow and `predictflow experiments` say the same."""
    told, runs = experiments(project), project.runs()
    of_dvc = shown(project)
    assert of_dvc.keys() == finished.keys()
    for name, changed in finished.items():
        one = told[name]
        assert (one["experiment"], one["status"], len(one["runs"])) == (name, "FINISHED", 1), name
        assert one["commit"].startswith(of_dvc[name]["rev"]) or of_dvc[name]["rev"] == one["commit"]
        assert one["metrics"]["roc_auc"] == pytest.approx(of_dvc[name]["roc_auc"])
        assert {key: after for key, (_, after) in one["changed"].items()} == changed, name
    for name in killed:
        one = told[name]
        assert one["experiment"] is None and one["status"] in ("KILLED", "FAILED"), name
        assert one["content"] is None
    assert len(runs) == 1 + len(finished) + len(killed), "the baseline has one"
    assert len({run.info.run_id for run in runs}) == len(runs)
    statuses = {run.data.tags.get("dvc.exp_name"): run.info.status for run in runs}
    assert {name for name, status in statuses.items() if status == "FINISHED"} == {None, *finished}


def test_a_kill_loses_one_experiment_and_no_other(warm: Project):
    kill_while_it_trains(warm, "killed", "--temp")
    assert experiments(warm)["killed"]["status"] == "KILLED"
    warm.run("dvc", "exp", "run", "-n", "linear", "-S", "train.model=logistic_regression", "evaluate")
    back(warm)
    warm.run("dvc", "exp", "run", "--temp", "-n", "apart", "-S", "models.xgboost.max_depth=1", "evaluate")
    finished = {"linear": {"train.model": "logistic_regression"}, "apart": {"models.xgboost.max_depth": 1}}
    check(warm, finished, {"killed"})
    warm.run("python", "-m", "predictflow.cli", "prune", "--yes")
    told = experiments(warm)
    assert "killed" not in told and told.keys() > finished.keys()
    assert not list((warm.folder / ".dvc/tmp/exps").glob("standalone/tmp*"))
    warm.run("dvc", "exp", "apply", "apart")
    assert "Running stage 'train'" not in warm.repro()
    assert staged(warm) == {"1": "Archived", "2": "Staging"}


@pytest.mark.slow
def test_a_sweep_in_the_queue_is_applied_registered_pushed_and_pulled(warm: Project, tmp_path):
    warm.run("dvc", "remote", "add", "--default", "shelf", str(tmp_path / "shelf"))
    warm.run("git", "commit", "--quiet", "--all", "-m", "a shelf")
    warm.run("dvc", "exp", "run", "--queue", "-n", "depth", "-S", "models.xgboost.max_depth=1,3", "evaluate")
    assert set(tasks(warm).values()) == {"Queued"}
    start_workers(warm)
    until(lambda: set(tasks(warm).values()) == {"Success"}, "the end of the queue", 500)
    names = sorted(tasks(warm))
    told = experiments(warm)
    depths = {told[name]["changed"]["models.xgboost.max_depth"][1]: name for name in names}
    assert depths.keys() == {1, 3}
    check(warm, {name: {"models.xgboost.max_depth": depth} for depth, name in depths.items()}, set())
    assert staged(warm) == {"1": "Staging"}
    chosen = depths[3]

    warm.run("git", "init", "--quiet", "--bare", "-b", "main", str(tmp_path / "origin.git"))
    warm.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    warm.run("git", "push", "--quiet", "origin", "main")
    warm.run("dvc", "push", "--quiet")
    warm.run("dvc", "exp", "push", "origin", chosen)
    folder = tmp_path / "clone"
    warm.run("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(folder))
    clone = Project(folder, tmp_path / "home")
    clone.run("dvc", "exp", "pull", "origin", chosen)
    said = clone.run("python", "-m", "predictflow.cli", "lineage", chosen, "--json").stdout
    answer = json.loads(said)
    assert answer["model"]["content"] == told[chosen]["content"]
    assert answer["experiments"] == [chosen] and answer["params"]["models.xgboost.max_depth"] == 3
    assert answer["metrics"]["roc_auc"] == pytest.approx(told[chosen]["metrics"]["roc_auc"])

    warm.run("dvc", "exp", "branch", chosen, "deep")
    told_of_branch = json.loads(
        warm.run("python", "-m", "predictflow.cli", "lineage", "deep", "--json").stdout
    )
    assert told_of_branch["model"]["content"] == answer["model"]["content"]
    assert "deep" in told_of_branch["branches"]
    warm.run("dvc", "exp", "apply", chosen)
    assert "Running stage 'train'" not in warm.repro()
    assert staged(warm) == {"1": "Archived", "2": "Staging"}


@pytest.mark.slow
def test_a_plain_experiment_of_everything_is_registered_and_then_promoted(warm: Project):
    warm.run("dvc", "exp", "run", "-n", "all", "-S", "models.xgboost.max_depth=1")
    assert staged(warm) == {"1": "Staging", "2": "None"}
    assert "Running stage" not in warm.repro()
    warm.commit("what it made")
    warm.run("python", "-m", "predictflow.cli", "promote", f"{MODEL}/2", "--to", "production")
    assert staged(warm) == {"1": "Staging", "2": "Production"}


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_of_forty_experiments_three_are_killed_and_thirty_seven_are_finished(warm: Project):
    """14 in a queue with two workers, 13 in folders of their own, 13 in the workspace; one of each killed."""
    kinds = {"queued": ["--queue"], "apart": ["--temp"], "plain": []}
    finished = {}
    for number in range(37):
        kind = ["queued", "apart", "plain"][number % 3]
        name = f"{kind}-{number}"
        finished[name] = {"seed": 1000 + number}
        warm.run("dvc", "exp", "run", *kinds[kind], "-n", name, "-S", f"seed={1000 + number}", "evaluate")
        if kind == "plain":
            back(warm)
        if number == 5:
            warm.run("dvc", "exp", "run", "--queue", "-n", "queued-killed", "-S", ENDLESS, "evaluate")
        if number == 12:
            kill_while_it_trains(warm, "apart-killed", "--temp")
        if number == 20:
            kill_while_it_trains(warm, "plain-killed")
            back(warm)
    start_workers(warm)
    os.kill(training(warm, "queued-killed"), signal.SIGKILL)
    ended = {"Success", "Failed"}
    until(lambda: set(tasks(warm).values()) <= ended, "the end of the queue", 1200)
    assert [name for name, status in tasks(warm).items() if status == "Failed"] == ["queued-killed"]
    check(warm, finished, {"queued-killed", "apart-killed", "plain-killed"})
    statuses = [run.info.status for run in warm.runs()]
    assert (statuses.count("FINISHED"), statuses.count("RUNNING")) == (38, 0)
    assert staged(warm) == {"1": "Staging"}
