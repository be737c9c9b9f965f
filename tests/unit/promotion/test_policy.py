"""The gate of a promotion: decided by its evidence alone, every bar by itself, a sentence for each."""

import dataclasses
import json

import pytest

from predictflow.promotion.policy import Comparison, Evidence, Settings, decide, read
from stages.support.errors import UserError
from stages.support.params import Params

GATE = {"minimum": {"roc_auc": 0.8}, "maximum": {"brier": 0.16}}
SETTINGS = Settings(GATE, 0.01, 0.95, 2000, True, None, 7)
COMPARED = Comparison(
    "churn-predictor/2",
    customers=1400,
    positives=370,
    left_out=9,
    champion_roc_auc=0.84,
    challenger_roc_auc=0.845,
    difference=0.005,
    low=-0.004,
    high=0.014,
)
EVIDENCE = Evidence(
    "churn-predictor/3",
    "production",
    content="c1386fea7df1186355404efd1ebbdc87",
    commit="7d0d1c71b39a1f07ed4fe5de8cd412f17efd01cf",
    files=6,
    disagreements=[],
    metrics={"roc_auc": 0.845, "brier": 0.13},
    missing=[],
    remote_unseen=None,
    comparison=COMPARED,
)
REASONS = [
    "the content c1386fea7df1186355404efd1ebbdc87 is the same in the registry, in dvc.lock and"
    " provenance.json of commit 7d0d1c71b3, and in all 6 files of the model",
    "data and model are on the default remote",
    "roc_auc 0.845 reaches the minimum 0.8",
    "brier 0.13 is within the maximum 0.16",
    "on 1,400 test customers (9 that the champion has learned from left out) its ROC AUC is 0.8450, that of"
    " the champion, churn-predictor/2, 0.8400: the difference, +0.0050, is at least -0.0040 with confidence"
    " 0.95, which is not below -0.01",
]


def but(**changes) -> Evidence:
    return dataclasses.replace(EVIDENCE, **changes)


def compared(**changes) -> Evidence:
    return but(comparison=dataclasses.replace(COMPARED, **changes))


def test_a_version_that_nothing_speaks_against_passes_with_every_reason_in_order():
    decision = decide(EVIDENCE, SETTINGS)
    assert decision.passed and decision.forcible
    assert decision.reasons == REASONS
    assert decision.against == []


@pytest.mark.parametrize(
    ("place", "evidence", "said"),
    [
        (
            1,
            but(missing=["data/customers.csv", "models/churn-predictor"]),
            "not on the default remote: data/customers.csv, models/churn-predictor (`dvc push --all-commits`"
            " brings them there)",
        ),
        (
            1,
            but(missing=None, remote_unseen="no default remote is set"),
            "whether data and model are on the default remote is not known: no default remote is set",
        ),
        (2, but(metrics={"roc_auc": 0.79, "brier": 0.13}), "roc_auc 0.79 misses the minimum 0.8"),
        (3, but(metrics={"roc_auc": 0.845, "brier": 0.17}), "brier 0.17 exceeds the maximum 0.16"),
        (
            4,
            compared(low=-0.0101, left_out=0),
            "on 1,400 test customers its ROC AUC is 0.8450, that of the champion, churn-predictor/2, 0.8400:"
            " the difference, +0.0050, is at least -0.0101 with confidence 0.95, which is below -0.01",
        ),
        (
            4,
            but(comparison=Comparison("churn-predictor/2", why_not="its index is gone")),
            "it could not be compared with the champion, churn-predictor/2: its index is gone",
        ),
    ],
)
def test_each_bar_alone_speaks_against_it_and_may_be_forced(place, evidence, said):
    decision = decide(evidence, SETTINGS)
    assert not decision.passed and decision.forcible
    assert decision.against == [said]
    assert decision.reasons == [*REASONS[:place], said, *REASONS[place + 1 :]]


def test_doubt_about_the_content_comes_first_and_cannot_be_forced():
    decision = decide(but(disagreements=["one file differs", "another differs"], missing=["x"]), SETTINGS)
    assert not decision.passed and not decision.forcible
    assert decision.reasons[:2] == decision.against[:2] == ["one file differs", "another differs"]
    assert len(decision.against) == 3 and decision.reasons[3:] == REASONS[2:]
    assert not decide(but(disagreements=["one file differs"]), SETTINGS).forcible


def test_numbers_that_were_not_committed_are_no_pass():
    decision = decide(but(metrics={}), SETTINGS)
    assert decision.against == [
        "there are no numbers to hold against promote.gate: no commit has the metrics that dvc.lock names"
    ]


def test_a_difference_exactly_at_the_margin_passes():
    assert decide(compared(low=-0.01), SETTINGS).passed
    none = dataclasses.replace(SETTINGS, margin=0.0)
    assert decide(compared(low=0.0), none).passed
    assert not decide(compared(low=-1e-9), none).passed


def test_without_a_champion_there_is_nobody_to_be_worse_than():
    decision = decide(but(comparison=None), SETTINGS)
    assert decision.passed
    assert decision.reasons[-1] == "no version is in production, so there is no champion to compare it with"
    assert decision.numbers["comparison"] is None


def test_the_champions_own_content_is_as_good_as_the_champion():
    decision = decide(but(comparison=Comparison("churn-predictor/2", same=True)), SETTINGS)
    assert decision.passed
    assert decision.reasons[-1] == (
        "it has the content of the champion, churn-predictor/2: it scores everyone alike"
    )


def test_the_remote_is_no_matter_unless_params_ask_for_it():
    settings = dataclasses.replace(SETTINGS, remote=False)
    decision = decide(but(missing=None), settings)
    assert decision.passed
    assert decision.reasons == [REASONS[0], *REASONS[2:]]


def test_a_decision_holds_every_number_and_is_json():
    told = dataclasses.asdict(decide(EVIDENCE, SETTINGS))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["numbers"] == {
        "metrics": EVIDENCE.metrics,
        "settings": dataclasses.asdict(SETTINGS),
        "comparison": dataclasses.asdict(COMPARED),
    }


def test_the_same_evidence_gives_the_same_decision_and_is_left_as_it_is():
    before = dataclasses.asdict(EVIDENCE)
    assert decide(EVIDENCE, SETTINGS) == decide(EVIDENCE, SETTINGS)
    assert dataclasses.asdict(EVIDENCE) == before


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"minimum": {"auc": 0.8}}, "promote.gate.minimum.auc in params.yaml names no metric.\nCure: one of"),
        ({"least": {}}, "promote.gate.least in params.yaml means nothing.\nCure: minimum or maximum."),
        ({"maximum": {"brier": "low"}}, "promote.gate.maximum.brier in params.yaml is 'low'.\nCure: "),
        (0.8, "promote.gate in params.yaml is 0.8.\nCure: minimum and maximum"),
    ],
)
def test_a_bar_that_cannot_be_meant_is_an_error_that_names_its_own_key(gate, said):
    with pytest.raises(UserError) as error:
        decide(EVIDENCE, dataclasses.replace(SETTINGS, gate=gate))
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("gate", [{}, {"minimum": None}])
def test_no_bar_lets_every_version_pass(gate):
    decision = decide(EVIDENCE, dataclasses.replace(SETTINGS, gate=gate))
    assert decision.reasons == [*REASONS[:2], REASONS[4]]


@pytest.mark.parametrize(
    ("rebuilt", "passed", "said"),
    [
        (None, False, "nobody has rebuilt it yet (`predictflow rebuild churn-predictor/3`)"),
        (("identical", 0.25), True, "it was rebuilt 0.2 days ago, byte for byte"),
        (("identical", 30.0), True, "it was rebuilt 30.0 days ago, byte for byte"),
        (
            ("identical", 30.5),
            False,
            "it was rebuilt 30.5 days ago, which is more than 30 (`predictflow rebuild churn-predictor/3`)",
        ),
        (
            ("same predictions", 1.0),
            False,
            "its last rebuild, 1.0 days ago, was not identical: same predictions",
        ),
    ],
)
def test_params_may_ask_for_a_rebuild_that_was_identical_not_long_ago(rebuilt, passed, said):
    settings = dataclasses.replace(SETTINGS, rebuilt_within_days=30)
    decision = decide(but(rebuilt=rebuilt), settings)
    assert (decision.passed, decision.forcible) == (passed, True)
    assert decision.against == ([] if passed else [said])
    assert decision.reasons == [*REASONS[:2], said, *REASONS[2:]]


BLOCK = {"gate": GATE, "margin": 0.01, "confidence": 0.95, "resamples": 2000, "remote": True}
BLOCK |= {"rebuilt_within_days": None}


def test_the_block_of_params_is_read_as_it_stands():
    assert read(Params({"promote": BLOCK, "seed": 7})) == SETTINGS


def test_the_projects_own_block_can_be_meant():
    from tests.declared import yaml

    own = read(Params(yaml("params.yaml")))
    metrics = {"roc_auc": 0.84, "brier": 0.13, "calibration_error": 0.01}
    assert len(decide(but(metrics=metrics), own).reasons) == 5
    assert own.remote is False, "a laptop has no remote at hand"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("margin", -0.1, "promote.margin in params.yaml is -0.1.\nCure: give it a number from 0 to 0.5."),
        ("margin", "1%", "promote.margin in params.yaml is '1%'.\nCure: give it a number from 0 to 0.5."),
        ("margin", 1, "promote.margin in params.yaml is 1.\nCure: give it a number from 0 to 0.5."),
        (
            "confidence",
            95,
            "promote.confidence in params.yaml is 95.\nCure: give it a number from 0.5 to 0.9999.",
        ),
        ("confidence", 1.0, "promote.confidence in params.yaml is 1.0.\nCure: give it a number from 0.5"),
        (
            "resamples",
            99,
            "promote.resamples in params.yaml is 99.\nCure: give it a number from 100 to 100000.",
        ),
        ("resamples", 150.5, "promote.resamples in params.yaml is 150.5.\nCure: give it a whole number."),
        ("remote", "no", "promote.remote in params.yaml is 'no'.\nCure: true or false."),
        (
            "rebuilt_within_days",
            "30 days",
            "promote.rebuilt_within_days in params.yaml is '30 days'.\nCure: give it a number from 0",
        ),
        ("signers", 5, "promote.signers in params.yaml is 5.\nCure: the path of a file in Git, or null."),
        ("remote", 0, "promote.remote in params.yaml is 0.\nCure: true or false."),
        (
            "marign",
            0.1,
            "promote.marign in params.yaml means nothing.\n"
            "Cure: the keys gate, margin, confidence, resamples, remote, rebuilt_within_days, signers.",
        ),
    ],
)
def test_a_value_that_cannot_be_meant_is_an_error_with_its_cure(key, value, said):
    with pytest.raises(UserError) as error:
        read(Params({"promote": BLOCK | {key: value}, "seed": 7}))
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("key", BLOCK)
def test_a_key_that_is_missing_is_named(key):
    block = {name: value for name, value in BLOCK.items() if name != key}
    with pytest.raises(UserError, match=f"^params.yaml has no key promote.{key}\\."):
        read(Params({"promote": block, "seed": 7}))


@pytest.mark.parametrize("block", [None, 0.8, ["margin"]])
def test_a_block_that_is_none_is_an_error(block):
    with pytest.raises(UserError, match=r"^promote in params\.yaml is .*\nCure: the keys gate, "):
        read(Params({"promote": block, "seed": 7}))
