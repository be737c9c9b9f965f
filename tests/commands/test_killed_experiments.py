"""What a killed `dvc exp run` leaves: an experiment that the next one would run too, and locks of Git's."""

from pathlib import Path

import pytest

from predictflow.adapters.dvc_leftovers import STASH, waiting_experiments
from predictflow.adapters.git import Repository
from tests.people.history import History
from tests.people.killer import kill

NOTED = """
import os, signal, sys
from dvc.repo.experiments.queue.tempdir import TempDirQueue
TempDirQueue.get = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from dvc.cli import main
sys.exit(main(["exp", "run", "--temp", "--name", sys.argv[1], "-S", "models.xgboost.max_depth=1"]))
"""


def checks(made: History, *words: str, code: int = 0) -> dict[str, dict]:
    answer = made.answer("doctor", *words, code=code)
    return {check["name"]: check for check in answer["checks"]}


@pytest.mark.slow
def test_dvc_itself_runs_what_was_killed_before_it_began(history: History):
    """Should DVC mend this, the check and the page on it can go."""
    kill(history.project, NOTED, "killed")
    told = history.project.run("dvc", "exp", "run", "--temp", "--name", "mine", "-S", "seed=1").stdout
    assert "Ran experiment(s): mine, killed" in told


@pytest.mark.real
def test_an_experiment_that_was_killed_before_it_began_is_told_and_forgotten(history: History):
    kill(history.project, NOTED, "killed")
    assert waiting_experiments(Repository(history.project.folder)) == ["killed"]
    check = checks(history)["waiting-experiments"]
    assert (check["state"], check["fixable"]) == ("warning", True)
    assert check["message"].startswith("killed before they began: killed;")
    answer = history.answer("doctor", "--fix")
    assert [told for told in answer["mended"] if "killed before they began" in told]
    assert history.project.run("git", "for-each-ref", STASH).stdout == ""
    assert checks(history)["waiting-experiments"]["state"] == "ok"


@pytest.mark.real
@pytest.mark.parametrize("name", ["refs/exps/stash.lock", "index.lock"])
def test_a_lock_of_git_s_that_a_kill_has_left_is_told_and_removed(history: History, name: str):
    lock: Path = history.project.folder / ".git" / name
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    check = checks(history, code=1)["git-locks"]
    assert check["state"] == "problem" and str(lock) in check["message"]
    history.said("doctor", "--fix")
    assert not lock.exists() and checks(history)["git-locks"]["state"] == "ok"
