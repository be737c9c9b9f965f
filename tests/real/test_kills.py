"""A command that is killed, as a process of its own, is ended by the same command.

tests/commands kills at every point; here each command is killed once.
"""

from pathlib import Path

from tests.people.history import History
from tests.people.killer import POINTS, PROMOTING, PRUNING, RESTORING, kill

MODEL = "churn-predictor"


def test_a_promotion_that_was_killed_is_ended_by_the_same_command(history: History):
    history.project.edit("params.yaml", "margin: 0.01", "margin: 0.1")
    history.project.commit("a wide margin")
    asked = ("promote", f"{MODEL}/1", "--to", "production")
    kill(history.project, PROMOTING.format(point=POINTS["between stage and alias"]), *asked)
    history.told("gate", f"{MODEL}@production", code=1)
    history.told(*asked)
    history.told("gate", f"{MODEL}@production")


def test_a_prune_that_was_killed_is_ended_by_the_same_command(promoted: History):
    nothing = promoted.project.folder / "mlflow_data/artifacts" / ("a" * 32) / "artifacts/model.ubj"
    nothing.parent.mkdir(parents=True)
    nothing.touch()
    kill(promoted.project, PRUNING, "1")
    assert promoted.answer("prune", "--dry-run")["groups"] != []
    promoted.told("prune", "--yes")
    assert promoted.answer("prune", "--dry-run")["groups"] == []
    promoted.told("gate", f"{MODEL}@production")


def test_a_restore_that_was_killed_is_ended_by_the_same_command(promoted: History):
    data: Path = promoted.project.folder / "mlflow_data"
    data.rename(data.with_name("away"))
    kill(promoted.project, RESTORING, "24")
    promoted.told("restore")
    assert "nothing was missing" in promoted.told("restore")
    promoted.told("gate", f"{MODEL}@production")
