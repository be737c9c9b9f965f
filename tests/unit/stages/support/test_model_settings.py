"""Which settings keep a model's bytes to one family of CPUs: tests/real/test_arm.py shows that they do."""

import pytest

from stages.support.model_settings import ONE_CPU_FAMILY, SETTINGS, cpu_family_notes


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, []),
        ({"max_delta_step": 0, "monotone_constraints": {}}, []),
        ({"monotone_constraints": {"tenure": 0}}, []),
        ({"max_delta_step": 0.7}, ["max_delta_step"]),
        ({"monotone_constraints": {"tenure": -1, "partner": 0}}, ["monotone_constraints"]),
        (
            {"max_delta_step": 1, "monotone_constraints": {"tenure": 1}},
            ["max_delta_step", "monotone_constraints"],
        ),
    ],
)
def test_a_setting_is_named_where_it_is_in_force(settings, names):
    notes = cpu_family_notes("xgboost", settings)
    assert [note.partition(": ")[0] for note in notes] == [f"models.xgboost.{name}" for name in names]
    assert all("one family of CPUs" in note and "`predictflow rebuild`" in note for note in notes)


def test_the_settings_are_some_that_a_model_takes():
    for model, names in ONE_CPU_FAMILY.items():
        assert set(names) <= SETTINGS[model].model_fields.keys()


def test_other_models_have_none():
    assert cpu_family_notes("random_forest", {"max_delta_step": 1}) == []
