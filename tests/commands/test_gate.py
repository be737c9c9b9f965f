"""`gate` says yes only to what was looked at: a receipt, the version in the registry, and its bytes."""

import shutil

import pytest

from stages.support import hashes
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


# --- A handle that must be what stands in a stage ---------------------------------------------------------


def require(history: History, handle: str, code: int = 0) -> dict:
    return history.answer("gate", "--require", "production", handle, code=code)


def test_whatever_names_the_model_in_production_is_let_through_with_the_content_to_pin(promoted: History):
    made = promoted.made[IN_PRODUCTION]
    given = promoted.project.folder.parent / "given"
    shutil.copytree(promoted.files(IN_PRODUCTION), given)
    for handle in (GATE, f"models:/{GATE}", f"{MODEL}/{made.version}", made.content, str(given), "light"):
        code, printed, told = promoted.said("gate", "--require", "production", handle)
        assert (code, printed) == (0, f"{made.content}\n"), handle
        assert f"yes: {handle} is version {made.version}" in " ".join(told.split())
        assert require(promoted, handle)["asked"] == made.content


def test_another_model_is_not_what_stands_in_production(promoted: History):
    here, there = promoted.made["all at once"].content, promoted.made[IN_PRODUCTION].content
    for handle in (f"{MODEL}@staging", f"{MODEL}/{promoted.made['all at once'].version}", here):
        answer = require(promoted, handle, code=1)
        assert answer["against"] == [f"{handle} is content {here}, but {there} stands in production"]
        assert (answer["asked"], answer["passed"]) == (here, False)
    code, printed, told = promoted.said("gate", "--require", "production", here)
    assert (code, printed) == (1, "")
    assert "stands in production" in " ".join(told.split())


def test_customers_are_no_model_in_production(promoted: History):
    handle = promoted.made[IN_PRODUCTION].md5s["data/customers.csv"]
    assert f"{handle} is no model" in require(promoted, handle, code=1)["against"][0]


def test_a_file_that_several_models_have_is_not_told_to_be_the_one_in_production(promoted: History):
    shared = promoted.made[IN_PRODUCTION].md5s["models/churn-predictor/serving.py"]
    assert "may be any of" in require(promoted, shared, code=2)["error"]


def test_a_folder_whose_files_another_model_has_too_is_what_stands_in_production(promoted: History):
    """They differ in params alone, such as the share of customers that the learning curve is measured on."""
    made, project = promoted.made[IN_PRODUCTION], promoted.project
    given = project.folder.parent / "given"
    shutil.copytree(promoted.files(IN_PRODUCTION), given)
    project.run("git", "checkout", "--quiet", "-B", "twins", str(made.commit))
    project.run("dvc", "checkout", "--quiet")
    project.edit("models/provenance.json", '"validation_share": 0.2', '"validation_share": 0.3')
    twin = hashes.md5(project.folder / "models/provenance.json")
    project.edit("dvc.lock", made.content, twin)
    project.commit("another share")
    assert require(promoted, str(given))["asked"] == made.content
    told = require(promoted, "models/churn-predictor", code=1)
    assert told["against"] == [
        f"models/churn-predictor is content {twin}, but {made.content} stands in production"
    ]


def test_a_folder_with_a_file_more_is_not_what_stands_in_production(promoted: History):
    """A model.ubj beside a model.skops is the one that serving.py would load."""
    given = promoted.project.folder.parent / "given"
    shutil.copytree(promoted.files(IN_PRODUCTION), given)
    (given / "model.skops").write_bytes(b"another model")
    assert (
        "model.skops has no md5 by models/provenance.json"
        in require(promoted, str(given), code=1)["against"][0]
    )


def test_a_folder_that_was_edited_is_held_against_what_stands_in_production(promoted: History):
    """And not against whichever old model it is nearest to."""
    given = promoted.project.folder.parent / "given"
    shutil.copytree(promoted.files(IN_PRODUCTION), given)
    (given / "model.ubj").write_bytes(b"edited")
    answer = require(promoted, str(given), code=1)
    here = promoted.made[IN_PRODUCTION].content
    assert answer["against"][0] == f"{given} is no recorded model, and not {here}, which stands in production"
    assert [f"{given}/model.ubj" in reason for reason in answer["against"][1:]] == [True]
    assert answer["asked"] is None
    assert "is not known here" in require(promoted, "metrics", code=1)["error"], (
        "it has none of a model's files"
    )


def test_a_version_whose_files_were_changed_is_not_what_stands_in_production(promoted: History):
    with (promoted.files(IN_PRODUCTION) / "serving.py").open("a") as file:
        file.write("# mine\n")
    version = f"{MODEL}/{promoted.made[IN_PRODUCTION].version}"
    assert any("serving.py has the md5" in reason for reason in require(promoted, version, code=1)["against"])


def test_a_version_that_only_says_it_is_the_content_in_production_is_not(promoted: History):
    store, content = promoted.project.store, promoted.made[IN_PRODUCTION].content
    source = promoted.files("first").as_uri()
    forged = store.create_model_version(MODEL, source, promoted.made["first"].run)
    store.set_model_version_tag(MODEL, forged.version, "predictflow.content", content)
    answer = require(promoted, f"{MODEL}/{forged.version}", code=1)
    assert answer["asked"] == content
    assert any("but its run" in reason for reason in answer["against"])


def test_what_nobody_knows_is_not_what_stands_in_production(promoted: History):
    assert "is not known here" in require(promoted, "f" * 32, code=1)["error"]


def test_nothing_stands_in_production_before_the_first_promotion(history: History):
    answer = require(history, f"{MODEL}/{history.made['first'].version}", code=1)
    assert "no receipt puts a version in production" in answer["against"]
    assert any(reason.endswith("but nothing stands in production") for reason in answer["against"])
    customers = history.made["first"].md5s["data/customers.csv"]
    no_model = f"{customers} is no model, but nothing stands in production"
    assert no_model in require(history, customers, code=1)["against"]


def test_of_a_registry_that_cannot_be_asked_nothing_is_told(promoted: History):
    promoted.project.env["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    assert (
        "registry cannot be asked" in require(promoted, promoted.made[IN_PRODUCTION].content, code=2)["error"]
    )
