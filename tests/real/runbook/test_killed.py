"""What a kill leaves, from the symptom to health as docs/runbook.md has it."""

import signal
import subprocess
import sys

import pytest

from tests.people import killer
from tests.people.project import BIN, Project
from tests.people.runbook import Person, play
from tests.real.runbook import killed_stage

SLOW = [pytest.param(stage, marks=pytest.mark.slow) for stage in ("prepare", "evaluate", "register")]
HOLDING = """
import fcntl, time
held = open(".dvc/tmp/lock", "a")
fcntl.flock(held, fcntl.LOCK_EX)
print(1, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("stage", ["train", *SLOW])
def test_a_stage_was_killed(standing: Project, stage: str):
    """With the DVC that runs it, when it is about to write its first output."""
    standing.edit("params.yaml", "max_depth: 1", "max_depth: 3")
    standing.edit("params.yaml", "test_share: 0.2", "test_share: 0.25")
    standing.edit("dvc.yaml", f"python -m stages.{stage}", f"python {killed_stage.__file__} stages.{stage}")
    killed = subprocess.run(
        [BIN / "dvc", "repro", "--quiet"],
        cwd=standing.folder,
        env=standing.env | standing.unhurried,
        capture_output=True,
        start_new_session=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    standing.run("git", "checkout", "--quiet", "--", "dvc.yaml")
    play(standing, "a-stage-was-killed")
    standing.commit("a deeper model")
    assert "churn-predictor: all agrees" in standing.run("predictflow", "audit").stdout
    assert {run.info.status for run in standing.runs()} <= {"FINISHED", "KILLED"}


def test_dvclock_is_half_written(standing: Project):
    standing.edit("params.yaml", "max_depth: 1", "max_depth: 3")
    killer.kill(standing, killer.LOCKING)
    assert standing.read("dvc.lock") == ""
    play(standing, "dvclock-is-half-written")
    assert "max_depth: 3" in standing.read("dvc.lock")


def test_a_promotion_was_killed(standing: Project):
    program = killer.PROMOTING.format(point=killer.POINTS["between stage and alias"])
    asked = ("promote", "churn-predictor/1", "--to", "production", "--force", "--reason", "back to the first")
    killer.kill(standing, program, *asked)
    play(standing, "a-promotion-was-killed")


def test_a_lock_that_nobody_lets_go(standing: Project):
    person = Person(standing, "a-lock-that-nobody-lets-go")
    with standing.begun(sys.executable, "-c", HOLDING, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.read(1)
        person.sees()
    person.is_cured()
