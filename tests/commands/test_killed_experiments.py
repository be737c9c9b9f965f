"""What a killed `dvc exp run` leaves: an experiment that the next one would run too, HEAD on no branch, what
nobody had committed in `git stash`, and locks of Git's."""

import json
import re
from pathlib import Path

import pytest

from predictflow.adapters.dvc_interrupted import ensure_ready
from predictflow.adapters.dvc_leftovers import (
    STASH,
    killed_experiments,
    unfinished_experiments,
    waiting_experiments,
)
from predictflow.adapters.git import Repository
from stages.support.errors import UserError
from tests.people.history import History
from tests.people.killer import NOTING, NOTING_POINTS, kill

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
    assert unfinished_experiments(history.project.folder) == [], "both have ended"
    assert killed_experiments(history.project.folder), "DVC keeps a record of each, which prune removes"


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


@pytest.mark.parametrize("status", [2, 6], ids=["RUNNING", "FINISHED"])
def test_what_dvc_keeps_of_an_experiment_that_has_ended_is_no_killed_one(history: History, status: int):
    folder = history.project.folder / ".dvc/tmp/exps/standalone/run" / ("a" * 40)
    folder.mkdir(parents=True)
    (folder / f"{folder.name}.run").write_text(json.dumps({"name": "shallow", "status": status}))
    assert checks(history)["leftovers"]["state"] == ("warning" if status == 2 else "ok")
    garbage = history.answer("prune", "--dry-run")
    assert folder.relative_to(history.project.folder).as_posix() in json.dumps(garbage)


@pytest.mark.real
def test_tune_begins_no_experiment_beside_what_a_killed_one_has_left(history: History):
    """It would run too, or nobody would get back what DVC had put aside."""
    repository = Repository(history.project.folder)
    kill(history.project, NOTED, "killed")
    with pytest.raises(UserError, match="would run them too: killed\\.\nCure: `predictflow doctor --fix`"):
        ensure_ready(repository, "mine")
    ensure_ready(repository, "killed")
    assert waiting_experiments(repository) == []
    kill(history.project, NOTING.format(point=NOTING_POINTS["the params are written"]))
    with pytest.raises(UserError, match="a killed `dvc exp run` has left HEAD beside main, not on it"):
        ensure_ready(repository, "mine")


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


def as_it_is(made: History) -> list[str]:
    """The branch, what was put away, and all that is not committed."""
    asked = ("symbolic-ref --quiet HEAD", "stash list", "diff HEAD", "status --porcelain")
    return [made.project.run("git", *words.split()).stdout for words in asked]


@pytest.mark.real
@pytest.mark.parametrize(
    ("point", "own"),
    [
        *((point, True) for point in NOTING_POINTS),
        ("the params are written", False),
        ("it is noted down", False),
    ],
)
def test_what_dvc_had_put_aside_when_it_was_killed_is_told_and_brought_back(
    history: History, point: str, own: bool
):
    if own:
        (history.project.folder / "NOTES.md").write_text("words that nobody has committed\n")
    before = as_it_is(history)
    kill(history.project, NOTING.format(point=NOTING_POINTS[point]))
    certain = own or point == "the params are written"
    check = checks(history, code=1 if certain else 0)["interrupted-experiment"]
    assert check["state"] == ("problem" if certain else "warning")
    assert ("`git stash`" in check["message"]) == own
    history.said("doctor", "--fix")
    for command in re.findall("`(git [^`]+)`", check["cure"]):
        history.project.run(*command.split())
    assert as_it_is(history) == before
    assert checks(history)["interrupted-experiment"]["state"] == "ok"


@pytest.mark.real
def test_what_a_person_puts_away_and_checks_out_is_no_experiment(history: History):
    (history.project.folder / "NOTES.md").write_text("words for later\n")
    history.project.run("git", "stash", "push", "--quiet", "--", "NOTES.md")
    history.project.run("git", "checkout", "--quiet", "--detach")
    assert checks(history)["interrupted-experiment"]["state"] == "ok"
