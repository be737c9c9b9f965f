"""The gate: passed or not, and a reason for every bar."""

import pytest

from stages.model.bars import decide
from stages.support.errors import UserError

METRICS = {"roc_auc": 0.85, "brier": 0.13}


def test_a_model_that_reaches_every_bar_passes_with_a_reason_each():
    decision = decide(METRICS, {"minimum": {"roc_auc": 0.8}, "maximum": {"brier": 0.16}})
    assert decision.passed
    assert decision.reasons == [
        "roc_auc 0.85 reaches the minimum 0.8",
        "brier 0.13 is within the maximum 0.16",
    ]


def test_one_missed_bar_is_enough_and_the_others_are_told_as_well():
    decision = decide(METRICS, {"minimum": {"roc_auc": 0.86}, "maximum": {"brier": 0.16}})
    assert not decision.passed
    assert decision.reasons == [
        "roc_auc 0.85 misses the minimum 0.86",
        "brier 0.13 is within the maximum 0.16",
    ]
    assert not decide(METRICS, {"maximum": {"brier": 0.12, "roc_auc": 1}}).passed


def test_a_model_exactly_on_the_bar_passes():
    assert decide(METRICS, {"minimum": {"roc_auc": 0.85}, "maximum": {"brier": 0.13}}).passed


@pytest.mark.parametrize("gate", [{}, {"minimum": None}, {"minimum": {}, "maximum": {}}])
def test_no_bar_lets_every_model_pass(gate):
    decision = decide(METRICS, gate)
    assert decision.passed
    assert decision.reasons == []


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (
            {"least": {"roc_auc": 0.8}},
            "register.gate.least in params.yaml means nothing.\nCure: minimum or maximum.",
        ),
        (
            {"minimum": {"auc": 0.8}},
            "register.gate.minimum.auc in params.yaml names no metric.\nCure: one of brier, roc_auc.",
        ),
        (
            {"maximum": {"brier": "low"}},
            "register.gate.maximum.brier in params.yaml is 'low'.\nCure: give it a number.",
        ),
        (
            {"maximum": {"brier": True}},
            "register.gate.maximum.brier in params.yaml is True.\nCure: give it a number.",
        ),
        (
            {"maximum": {"brier": float("nan")}},
            "register.gate.maximum.brier in params.yaml is nan.\nCure: give it a number.",
        ),
        ({"minimum": 0.8}, "register.gate.minimum in params.yaml is 0.8.\nCure: a bar for each metric."),
        (0.8, "register.gate in params.yaml is 0.8.\nCure: minimum and maximum, a bar for each metric."),
    ],
)
def test_a_gate_that_cannot_be_meant_is_an_error_with_its_cure(gate, said):
    with pytest.raises(UserError) as error:
        decide(METRICS, gate)
    assert str(error.value) == said
