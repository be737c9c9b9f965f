"""Accidents of experiments, from the symptom to health as docs/runbook.md has them."""

import psutil
import pytest

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


def at_work(project: Project) -> list[psutil.Process]:
    """The processes in a project's folder, or beneath it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(project.folder)):
                found.append(process)
        except psutil.Error:  # it is gone, or another's
            continue
    return found


@pytest.mark.slow
def test_the_queue_is_stuck(standing: Project):
    """The machine goes down while a worker trains."""
    standing.env["PATH"] = standing.env["PATH"].partition(":")[2]  # workers outlive their command
    standing.run("dvc", "exp", "run", "--queue", "--name", "stuck", "-S", ENDLESS, "evaluate")
    try:
        start_workers(standing)
        training(standing, "stuck")
        for process in at_work(standing):
            process.kill()
        until(lambda: not at_work(standing), "the end of all that was killed")
        play(standing, "the-queue-is-stuck")
    finally:
        stop_queue(standing)
