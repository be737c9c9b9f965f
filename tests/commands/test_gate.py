"""`gate` says yes only to what was looked at: a receipt, the version in the registry, and its bytes."""

import shutil

import pytest

from tests.people.history import History

MODEL = "churn-predictor"
GATE = f"{MODEL}@production"
IN_PRODUCTION = "other data"


def lose_version(history: History) -> None:
    """Behind everybody's back: its stage, its alias, and then the version itself."""
    store, number = history.project.store, str(history.made[IN_PRODUCTION].version)
    store.transition_model_version_stage(MODEL, number, "None")
    store.delete_registered_model_alias(MODEL, "production")
    store.delete_model_version(MODEL, number)


def lose_registry(history: History) -> None:
    """Of a store that was lost and made anew: nobody has registered anything in it."""
    history.project.store.delete_registered_model(MODEL)


def lose_run(history: History) -> None:
    history.project.store.delete_run(history.made[IN_PRODUCTION].run)


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (lose_version, "no version in MLflow's Production has content"),
        (lose_registry, "no version in MLflow's Production has content"),
        (lose_run, "is in MLflow's trash"),
    ],
)
def test_it_never_says_yes_to_what_it_cannot_compare(promoted: History, lose, reason):
    assert promoted.answer("gate", GATE)["passed"]
    lose(promoted)
    answer = promoted.answer("gate", GATE, code=1)
    assert not answer["passed"]
    assert reason in " ".join(answer["against"])


@pytest.mark.slow
def test_a_store_that_was_lost_and_made_anew_holds_another_model(promoted: History):
    """HEAD's model is newer than the one in Production: `dvc repro` registers that one alone."""
    shutil.rmtree(promoted.project.folder / "mlflow_data")
    promoted.project.repro()
    assert len(promoted.project.versions()) == 1
    answer = promoted.answer("gate", GATE, code=1)
    assert "no version in MLflow's Production has content" in " ".join(answer["against"])


def test_a_version_of_which_nothing_names_a_file_is_no_content_to_agree_on(history: History):
    made, store = history.made["never committed"], history.project.store
    for path in (path for path in made.md5s if path.startswith("models/churn-predictor/")):
        store.delete_model_version_tag(MODEL, str(made.version), f"md5/{path}")
        store.delete_tag(made.run, f"md5/{path}")
    shutil.rmtree(history.files("never committed"))
    history.files("never committed").mkdir()
    asked = ("promote", f"{MODEL}/{made.version}", "--to", "production", "--dry-run")
    against = history.answer(*asked, code=1)["decision"]["against"]
    assert f"nothing names a file of {MODEL}/{made.version}, so there is none to compare" in against
