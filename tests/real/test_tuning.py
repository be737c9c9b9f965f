"""`predictflow tune` as its user runs it: killed, with several jobs, in MLflow, and applied."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from predictflow.tuning.journal import Journal
from tests.people.project import WAIT, Project
from tests.people.waiting import until

FEW = 14


def small(project: Project) -> Project:
    """A space of quick models, in which every trial is better than what params.yaml has."""
    project.edit("params.yaml", "high: 1500", "high: 200")
    project.edit("params.yaml", "rounds: 30", "rounds: 1")
    return project


def tune(project: Project, *words: str, code: int = 0, env: dict | None = None) -> dict:
    return json.loads(project.run("predictflow", "tune", "--json", *words, code=code, env=env).stdout)


def journal(project: Project, number: int = 1) -> Path:
    return project.folder / f"mlflow_data/studies/{number}.journal"


def told(project: Project, number: int = 1) -> list[tuple]:
    """What a study's journal says of its trials, but for times."""
    trials = Journal(journal(project, number)).trials
    return [(trial.number, trial.state.name, trial.params, trial.value) for trial in trials]


def stop(project: Project, how: signal.Signals, trials: int, *words: str) -> tuple[int, str]:
    """Send a signal to a study that holds so many trials and goes on; its exit code, and what it said."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}

    def so_far() -> bool:
        assert process.poll() is None, process.communicate()
        path = journal(project)
        return path.exists() and path.read_bytes().count(b'"state":') >= trials

    with project.begun("predictflow", "tune", *words, **pipes) as process:
        until(so_far, f"{trials} trials")
        process.send_signal(how)
        _, said = process.communicate(timeout=WAIT)
    return process.returncode, said


def children(project: Project) -> dict[int, dict]:
    """MLflow's runs of the trials, by their numbers; each number once."""
    runs = [run for run in project.runs() if "predictflow.trial" in run.data.tags]
    assert len({run.data.tags["mlflow.parentRunId"] for run in runs}) == 1
    numbers = [int(run.data.tags["predictflow.trial"]) for run in runs]
    assert sorted(numbers) == sorted(set(numbers))
    return {
        number: {"status": run.info.status, "params": run.data.params, "metrics": run.data.metrics}
        for number, run in zip(numbers, runs, strict=True)
    }


def test_a_study_killed_three_times_ends_as_one_with_two_jobs_that_was_not(warm: Project, tmp_path: Path):
    whole = Project(tmp_path / "whole", tmp_path / "home")
    subprocess.run(["cp", "-a", str(small(warm).folder), str(whole.folder)], check=True)
    for trials in (1, 4, 9):
        assert stop(warm, signal.SIGKILL, trials, "--trials", str(FEW))[0] == -signal.SIGKILL
    tune(warm, "--trials", str(FEW))
    tune(whole, "--trials", str(FEW), "--jobs", "2")
    assert told(warm) == told(whole)
    assert [number for number, *_ in told(warm)] == list(range(FEW))
    logged = children(warm)
    assert sorted(logged) == list(range(FEW))
    for number, state, params, value in told(warm):
        status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}[state]
        assert logged[number]["status"] == status
        assert logged[number]["params"] == {name: str(chosen) for name, chosen in params.items()}
        assert logged[number]["metrics"].get("roc_auc") == value


def test_ctrl_c_tells_the_best_so_far_and_how_to_go_on(warm: Project):
    code, said = stop(small(warm), signal.SIGINT, 2)
    assert code == 1
    assert "of 100 trials of study 1: best roc_auc 0." in said
    assert "Cure: `predictflow tune --trials 100` goes on from there" in said
    assert "Traceback" not in said
    held = len(told(warm))
    assert tune(warm, "--trials", str(held))["trials"]["complete"] == held
    shown = warm.run("predictflow", "tune", "--trials", str(held), env={"TTY_COMPATIBLE": "1"}).stderr
    assert f"{held}/{held}" in shown and f"0/{held}" not in shown


def answers(project: Project) -> dict[str, tuple[int, str]]:
    """What the readers of trainings say."""
    asked = {
        "experiments": ("experiments", "--json"),
        "status": ("status", "--json"),
        "audit": ("audit", "--json"),
        "prune": ("prune", "--dry-run", "--json"),
        "restore": ("restore", "--json"),
    }
    found = {}
    for name, words in asked.items():
        done = subprocess.run(
            ["predictflow", *words], cwd=project.folder, env=project.env, capture_output=True, text=True
        )
        found[name] = (done.returncode, done.stdout)
    return found


def test_a_study_is_no_training_and_what_it_chose_names_it(warm: Project):
    small(warm)
    warm.commit("a small space")
    before = answers(warm)
    ended = tune(warm, "--trials", "3", "--jobs", "2")
    assert answers(warm) == before
    parent = warm.store.get_run(ended["run"])
    assert parent.info.status == "FINISHED"
    assert {file.path for file in warm.store.list_artifacts(ended["run"])} == {"history.png", "slice.png"}
    assert {f"predictflow.{kind}" for kind in ("data", "code", "space", "choice")} <= parent.data.tags.keys()

    applied = tune(warm, "--apply")["changed"]
    assert applied == {
        name: [ended["today"]["params"][name], value] for name, value in ended["best"][0]["params"].items()
    }
    lines = warm.run("git", "diff", "--numstat").stdout.split()
    assert lines == [str(len(applied)), str(len(applied)), "params.yaml"]
    assert tune(warm, "--apply")["changed"] == {}
    assert "an experiment cannot be called 'a name'" in tune(warm, "--exp", "a name", code=1)["error"]
    warm.repro()
    lineage = json.loads(warm.run("predictflow", "lineage", "--json").stdout)
    assert [study["run"] for study in lineage["studies"]] == [ended["run"]]
    assert "study 1 run" in warm.run("predictflow", "lineage").stdout

    warm.edit("params.yaml", "folds: 5", "folds: 4")
    refused = tune(warm, "--trials", "3", code=1)
    assert "space: tune.folds" in refused["error"]
    assert "--new" in refused["cure"]


def test_what_hinders_a_study_is_told_with_its_cure(members: Project):
    def said(*words: str, env: dict | None = None) -> str:
        done = tune(members, *words, code=1, env=env)
        assert done["cure"]
        return f"{done['error']}\n{done['cure']}"

    assert "`dvc repro prepare`" in said()
    members.repro("prepare")
    assert "start its server" in said(env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    assert "no study has scored a trial" in said("--apply")
    assert "no study has scored a trial" in said("--exp", "found")
    assert "there is no study 2, but none at all" in said("--apply", "--study", "2")
    assert "one of these beside it" in said("--study", "2")
    train = members.folder / "data/prepared/train.parquet"
    train.write_bytes(train.read_bytes() + b"\n")
    assert "`dvc repro prepare`" in said()
    members.edit("params.yaml", "folds: 5", "folds: many")
    assert "tune.folds in params.yaml is 'many'" in said()
    assert not list((members.folder / "mlflow_data/studies").glob("*.journal"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_trials_killed_three_times_have_the_same_best(project: Project, tmp_path: Path):
    project.repro("prepare")
    whole = Project(tmp_path / "whole", tmp_path / "home")
    subprocess.run(["cp", "-a", str(project.folder), str(whole.folder)], check=True)
    for trials in (20, 50, 80):
        stop(project, signal.SIGKILL, trials, "--jobs", "2")
    for one in (project, whole):  # whether the best is better than today's params is not asked here
        subprocess.run(["predictflow", "tune", "--jobs", "2"], cwd=one.folder, env=one.env)
    assert told(project) == told(whole)
    assert len(told(whole)) == len(children(project)) == 100
