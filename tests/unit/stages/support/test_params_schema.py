"""The whole of params.yaml is held to what it may hold: each mistake in a sentence that tells the key, the
value and what may stand there, before anything is done."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.model.families import FAMILIES
from stages.support import params
from stages.support.errors import UserError
from stages.support.model_settings import SETTINGS
from stages.support.params_schema import Train
from tests.people.project import REPOSITORY

OWN = params.read(REPOSITORY / "params.yaml")
GONE = object()
NAN = float("nan")
TEXT = "give it a text, in quotes, as the file writes it."
TRAIN = "model, validation_share, engine, workers, partitions, device"
MODELS = "xgboost, logistic_regression, random_forest, hist_gradient_boosting"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., None]:
    """Load the project's params.yaml with some of its keys set to something else, or taken out."""
    yaml, path = YAML(typ="safe", pure=True), tmp_path / "params.yaml"

    def edit_and_load(changes: dict[tuple, Any]) -> None:
        tree = copy.deepcopy(OWN)
        for (*above, last), value in changes.items():
            block = tree
            for key in above:
                block = block[key]
            if value is GONE:
                del block[last]
            else:
                block[last] = value
        yaml.dump(tree, path)
        params.load(path)

    return edit_and_load


@pytest.fixture
def told(load) -> Callable[..., str]:
    """The error that a params.yaml is answered with."""

    def tell(changes: dict[tuple, Any]) -> str:
        with pytest.raises(UserError) as error:
            load(changes)
        return str(error.value)

    return tell


def test_the_projects_own_params_are_well(load):
    load({})


# The key, what stands there, and what is told of it after "KEY in params.yaml".
MISTAKES = [
    ("seed", -1, "is -1.\nCure: give it a whole number from 0 to 4294967295."),
    ("seed", 4.5, "is 4.5.\nCure: give it a whole number from 0 to 4294967295."),
    ("seed", None, "is None.\nCure: give it a whole number"),
    ("seed", 10**400, "is 1000"),
    (
        "trian",
        {},
        "means nothing.\nCure: take it out, or name one of seed, customers, data, prepare, train, models,",
    ),
    # data
    (
        "data",
        [],
        "is [].\nCure: give it the keys delimiter, encoding, decimal, missing, id, target, columns.",
    ),
    ("data.delimiter", ", ", "is ', '.\nCure: give it one plain character that is no quote and no line end"),
    ("data.delimiter", 5, "is 5.\nCure: give it one plain character"),
    ("data.delimiter", '"', "is '\"'.\nCure: give it one plain character"),
    ("data.delimiter", "§", "is '§'.\nCure: give it one plain character"),
    ("data.encoding", "utf-9", "is 'utf-9'.\nCure: give it one that Python knows, such as utf-8, latin-1"),
    ("data.encoding", "hex", "is 'hex'.\nCure: give it one that Python knows"),
    ("data.encoding", "undefined", "is 'undefined'.\nCure: give it one that Python knows"),
    ("data.encoding", "idna", "is 'idna'.\nCure: give it one that Python knows"),
    ("data.encoding", "utf\0", "is 'utf\\x00'.\nCure: give it one that Python knows"),
    ("data.encoding", 8, "is 8.\nCure: give it one that Python knows"),
    ("data.decimal", ";", 'is \';\'.\nCure: give it "." or ",".'),
    (
        "data.missing",
        "NA",
        "is 'NA'.\nCure: give it a list of texts, each in quotes, as the file writes them.",
    ),
    ("data.missing", [-1], "is [-1].\nCure: give it a list of texts"),
    ("data.id", 5, f"is 5.\nCure: {TEXT}"),
    ("data.rows", 5, "means nothing.\nCure: take it out, or name one of delimiter, encoding,"),
    ("data.target", "churn", "is 'churn'.\nCure: give it the keys column, positive, negative."),
    ("data.target.column", "\ud800", f"is '\\ud800'.\nCure: {TEXT}"),
    ("data.target.positive", True, f"is True.\nCure: {TEXT}"),
    ("data.target.rate", 1, "means nothing.\nCure: take it out, or name one of column, positive, negative."),
    ("data.target.negative", "Yes", "is the same as positive.\nCure: give it the other class."),
    ("data.columns", [], "is [].\nCure: give it a mapping from each column to its declaration."),
    ("data.columns", {"a": {"type": "ignored"}}, "leaves no column to learn from.\nCure: declare one that"),
    (
        "data.columns.tenure.type",
        "text",
        "is 'text'.\nCure: choose one of number, integer, category, ignored.",
    ),
    ("data.columns.tenure.categories", ["a"], "means nothing.\nCure: take it out, or name one of type, min,"),
    ("data.columns.tenure.min", "low", "is 'low'.\nCure: give it a number from -3.402823466e+38 to 3.4"),
    ("data.columns.tenure.min", 2000, "is 2000.\nCure: give it a number up to its max, 1200."),
    (
        "data.columns.tenure.fill",
        NAN,
        "is nan.\nCure: give it a whole number from -16777216 to 16777216 or null.",
    ),
    ("data.columns.tenure.fill", 1.5, "is 1.5.\nCure: give it a whole number"),
    ("data.columns.tenure.fill", -1, "is -1.\nCure: give it a number in the column's own range."),
    ("data.columns.tenure.fill", 1201, "is 1201.\nCure: give it a number in the column's own range."),
    ("data.columns.tenure.nullable", "yes", "is 'yes'.\nCure: give it true or false."),
    (
        "data.columns.contract.categories",
        [1, "2"],
        "is [1, '2'].\nCure: give it a list of texts, each in quotes",
    ),
    ("data.columns.contract.categories", [], "is [].\nCure: give it a list of texts"),
    ("data.columns.contract.categories", ["a", "a"], "lists 'a' 2 times.\nCure: list each one once."),
    (
        "data.columns.contract.categories",
        ["", "a"],
        "holds '', as does data.missing.\nCure: take it out of one",
    ),
    ("data.columns.contract.fill", "b", "is 'b'.\nCure: give it one of Month-to-month, One year, Two year."),
    # prepare
    ("prepare.test_share", 1, "is 1.\nCure: give it a number from 0.01 to 0.99."),
    ("prepare.split_salt", 7, "is 7.\nCure: give it a text, in quotes."),
    ("prepare.split_salt", "\ud800", "is '\\ud800'.\nCure: give it a text, in quotes."),
    ("prepare.id_salt", "", "is ''.\nCure: give it a text that is not empty, in quotes."),
    (
        "prepare.salt",
        "",
        "means nothing.\nCure: take it out, or name one of test_share, split_salt, id_salt.",
    ),
    # train and models
    ("train", None, f"is None.\nCure: give it the keys {TRAIN}."),
    ("train.model", "xgbost", f"is 'xgbost'.\nCure: give it one of {MODELS}."),
    ("train.model", ["xgboost"], f"is ['xgboost'].\nCure: give it one of {MODELS}."),
    ("train.modle", "xgboost", f"means nothing.\nCure: take it out, or name one of {TRAIN}."),
    ("train.validation_share", True, "is True.\nCure: give it a number from 0.01 to 0.99."),
    ("models.lightgbm", {}, f"means nothing.\nCure: take it out, or name one of {MODELS}."),
    ("models.xgboost", None, "is None.\nCure: give it the keys rounds, objective,"),
    (
        "models.xgboost.objective",
        "reg:squarederror",
        "is 'reg:squarederror'.\nCure: give it binary:logistic or reg:logistic, which give probabilities.",
    ),
    (
        "models.xgboost.eta",
        0.1,
        "means nothing.\nCure: take it out, or name one of rounds, objective, base_score",
    ),
    ("models.xgboost.max_depth", None, "is None.\nCure: give it a whole number from 0 to 2147483647."),
    ("models.xgboost.max_depth", True, "is True.\nCure: give it a whole number from 0"),
    ("models.xgboost.rounds", 0, "is 0.\nCure: give it a whole number from 1 to 2147483647."),
    ("models.xgboost.reg_lambda", NAN, "is nan.\nCure: give it a number from 0."),
    ("models.xgboost.subsample", 0, "is 0.\nCure: give it a number above 0 to 1."),
    ("models.logistic_regression.C", "1", "is '1'.\nCure: give it a number above 0."),
    (
        "models.random_forest.max_features",
        0.0,
        "is 0.0.\nCure: give it a share above 0 up to 1.0, a whole number",
    ),
    ("models.hist_gradient_boosting.max_iter", 0, "is 0.\nCure: give it a whole number from 1."),
    # evaluate, register, promote and tracking
    ("evaluate.confidence", 95, "is 95.\nCure: give it a number from 0.5 to 0.9999."),
    ("evaluate.bins", 5, "means nothing.\nCure: take it out, or name one of confidence, calibration_bins,"),
    (
        "register.gate.minimum",
        {"roc_auc": NAN},
        "is {'roc_auc': nan}.\nCure: give it a number for each metric",
    ),
    ("register.gate.least", {}, "means nothing.\nCure: take it out, or name one of minimum, maximum."),
    ("promote.marign", 0.1, "means nothing.\nCure: take it out, or name one of gate, margin, confidence,"),
    (
        "tracking.model",
        None,
        "is None.\nCure: give it a name of letters, digits, - and _, for it becomes part",
    ),
    ("tracking.model", 5, "is 5.\nCure: give it a name of letters"),
    ("tracking.model", "", "is ''.\nCure: give it a name of letters"),
    ("tracking.model", "churn/predictor", "is 'churn/predictor'.\nCure: give it a name of letters"),
    ("tracking.experiment", "", "is ''.\nCure: give it a text that is not empty, of at most 500 characters."),
    ("tracking.experiment", None, "is None.\nCure: give it a text that is not empty"),
]


@pytest.mark.parametrize(("key", "value", "sentence"), MISTAKES)
def test_a_mistake_is_told_with_its_key_its_value_and_what_may_stand_there(told, key, value, sentence):
    said = told({tuple(key.split(".")): value})
    assert said.startswith(f"{key} in params.yaml {sentence}")


@pytest.mark.parametrize(
    "key",
    [
        "seed",
        "data.delimiter",
        "data.target.column",
        "models.xgboost.rounds",
        "train.engine",
        "train.workers",
        "train.partitions",
        "train.device",
        "register.gate",
        "tracking.model",
    ],
)
def test_a_key_that_is_missing_is_told(told, key):
    assert told({tuple(key.split(".")): GONE}).startswith(f"{key} in params.yaml is missing.\nCure: ")


def test_the_chosen_model_has_settings_and_the_others_need_none(load, told):
    load({("models", "random_forest"): GONE})
    assert told({("models", "xgboost"): GONE}).startswith(
        "models.xgboost in params.yaml is missing.\nCure: add the settings of the model that train.model"
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"workers": 2},
            "train.workers in params.yaml is 2, with train.engine local.\nCure: set it to 1, or",
        ),
        (
            {"partitions": 3},
            "train.partitions in params.yaml is 3, with train.engine local.\nCure: set it to",
        ),
        (
            {"engine": "dask", "workers": 3, "partitions": 2},
            "train.partitions in params.yaml is 2, for 3 workers.\nCure: give each worker one: 3 or more.",
        ),
        (
            {"engine": "dask", "model": "random_forest"},
            "train.engine in params.yaml is dask, which learns xgboost alone.\nCure: set it to local, or",
        ),
        (
            {"device": "cuda", "model": "logistic_regression"},
            "train.device in params.yaml is cuda, which learns xgboost alone.\nCure: set it to cpu, or",
        ),
        (
            {"engine": "dask", "device": "cuda"},
            "train.device in params.yaml is cuda, with train.engine dask.\nCure: set one of them",
        ),
    ],
)
def test_an_engine_that_does_not_fit_is_told(told, changes, sentence):
    assert told({("train", key): value for key, value in changes.items()}).startswith(sentence)


def test_each_engine_and_device_may_be_chosen(load):
    load({("train", "engine"): "dask"})
    load({("train", "engine"): "dask", ("train", "workers"): 2, ("train", "partitions"): 5})
    load({("train", "device"): "cuda"})


def test_no_stage_needs_what_a_promotion_is_decided_by(load):
    load({("promote",): GONE})
    load({("promote", "margin"): "much", ("promote", "signers"): ".allowed-signers"})


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"a": {"min": 0}},
            "data.columns.a.type in params.yaml is None.\nCure: choose one of number, integer,",
        ),
        ({"a": "integer"}, "data.columns.a.type in params.yaml is 'integer'.\nCure: choose one of number,"),
        (
            {"a": {"type": "category"}},
            "data.columns.a.categories in params.yaml is missing.\nCure: give it a",
        ),
        (
            {2020: {"type": "number"}},
            "data.columns.2020 in params.yaml has a name that is no text.\nCure: put it",
        ),
        ({"a<b": {"type": "number"}}, "data.columns.a<b in params.yaml holds one of [ ] <.\nCure: rename"),
        (
            {"churn": {"type": "number"}},
            "data.columns in params.yaml holds the id or the target.\nCure: declare",
        ),
        ({"customer_id": {"type": "number"}}, "data.columns in params.yaml holds the id or the target.\n"),
    ],
)
def test_a_column_that_cannot_be_meant_is_told(told, columns, sentence):
    assert told({("data", "columns"): columns}).startswith(sentence)


def test_keys_that_are_no_text_are_told(told):
    for key in (5, 2.5, None):
        assert told({("data", key): 1}).startswith(f"data.{key} in params.yaml means nothing.\nCure: ")


def test_all_mistakes_are_told_at_once(told):
    said = told(
        {("seed",): -1, ("data", "decimal"): ";", ("data", "columns", "tenure"): 5, ("tracking", "a"): 1}
    )
    heading, *lines, cure = said.splitlines()
    assert heading == "params.yaml holds 4 things that cannot be meant:"
    assert [line.split(":")[0] for line in lines] == [
        "  seed is -1",
        "  data.decimal is ';'",
        "  tracking.a means nothing",
        "  data.columns.tenure.type is 5",
    ]
    assert cure.startswith("Cure: correct these keys; the comments in params.yaml")


def test_a_value_of_any_size_makes_one_short_sentence(told):
    for value in ("x" * 10_000, list(range(10_000)), {str(number): number for number in range(1_000)}):
        assert len(told({("seed",): value})) < 300


def test_what_the_libraries_know_may_be_set(load):
    settings = {
        "objective": "reg:logistic",
        "grow_policy": "lossguide",
        "max_leaves": 8,
        "scale_pos_weight": 2,
        "monotone_constraints": {"tenure": -1},
        "interaction_constraints": [["tenure", "contract"]],
    }
    load({("models", "xgboost", key): value for key, value in settings.items()})
    for value in (0.5, 3, "log2", None):
        load({("models", "random_forest", "max_features"): value})
    load({("models", "hist_gradient_boosting", "max_depth"): None})


def test_the_schema_knows_the_models_that_there_are():
    from typing import get_args

    assert list(SETTINGS) == list(FAMILIES) == list(get_args(Train.model_fields["model"].annotation))
