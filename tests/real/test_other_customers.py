"""Another company's customers work by editing params.yaml alone."""

import json

import pytest


@pytest.mark.slow
def test_the_whole_pipeline_runs_on_them(members):
    members.repro()
    prepared = json.loads(members.read("metrics/prepare/metrics.json"))
    assert prepared["train"]["rows"] + prepared["test"]["rows"] == 600
    assert json.loads(members.read("metrics/evaluate/metrics.json"))["roc_auc"] > 0.6
    (version,) = members.versions()
    assert version.current_stage == "Staging"
