"""Accidents of experiments, from the symptom to health as docs/runbook.md has them."""

import pytest

from predictflow.adapters.processes import end_those_in, working_in
from tests.people.killer import NOTING, NOTING_POINTS, kill
from tests.people.project import Project
from tests.people.runbook import play
from tests.people.waiting import until
from tests.real.test_dvc_experiments import start_workers, stop_queue
from tests.real.test_habits import ENDLESS, training


def test_an_experiment_is_lost(standing: Project):
    standing.run("dvc", "exp", "remove", "--quiet", "apart")
    play(standing, "an-experiment-is-lost")


def test_an_experiment_was_killed(standing: Project):
    standing.edit("Makefile", "\n", "\n# nobody has committed this\n")
    mine = standing.run("git", "diff", "HEAD").stdout
    kill(standing, NOTING.format(point=NOTING_POINTS["the params are written"]))
    play(standing, "an-experiment-was-killed")
    assert standing.run("git", "diff", "HEAD").stdout == mine
    assert standing.run("git", "stash", "list").stdout == ""


@pytest.mark.slow
def test_the_queue_is_stuck(standing: Project):
    """The machine goes down while a worker trains."""
    standing.env |= standing.unhurried  # workers outlive their command
    standing.run("dvc", "exp", "run", "--queue", "--name", "stuck", "-S", ENDLESS, "evaluate")
    try:
        start_workers(standing)
        training(standing, "stuck")
        end_those_in(standing.folder)
        until(lambda: not working_in(standing.folder), "the end of all that was killed")
        play(standing, "the-queue-is-stuck")
    finally:
        stop_queue(standing)
