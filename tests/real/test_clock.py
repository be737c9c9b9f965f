"""The machine's clock is set between two stages of one model: forward, and back."""

from pathlib import Path

import pytest

from tests.people.clock import off_by
from tests.people.history import History
from tests.people.project import Project

DAY = 86_400


@pytest.mark.slow
def test_stages_on_both_sides_of_a_clock_step_are_one_run_and_one_version(warm: Project, tmp_path: Path):
    """`train` is two days ahead, the clock is set back, and the rest is run; then one more model."""
    warm.edit("params.yaml", "rounds: 30", "rounds: 20")
    warm.repro("train", env=off_by(2 * DAY, tmp_path))
    ahead, before = warm.runs()
    assert ahead.info.start_time - before.info.start_time > DAY * 1000, "the shim was not heeded"
    warm.repro()
    warm.commit("a model of two clocks")
    warm.edit("params.yaml", "rounds: 20", "rounds: 10")
    warm.repro()
    warm.commit("another one")
    assert sorted(run.info.status for run in warm.runs()) == ["FINISHED"] * 3
    assert "roc_auc" in warm.store.get_run(ahead.info.run_id).data.metrics
    stages = {version.version: version.current_stage for version in warm.versions()}
    assert stages == {1: "Archived", 2: "Archived", 3: "Staging"}

    history = History(warm, {})
    assert [finding["told"] for finding in history.answer("audit")["findings"]] == []
    assert history.answer("lineage", "churn-predictor@staging")["versions"][0]["name"] == "churn-predictor/3"
    listed = history.answer("experiments")["experiments"]
    assert sum(len(entry["runs"]) for entry in listed) == 3
    (clock,) = [check for check in history.answer("doctor", code=1)["checks"] if check["name"] == "clock"]
    assert clock["state"] == "problem" and f"run {ahead.info.run_id}" in clock["message"]
    assert warm.repro().count("didn't change, skipping") >= 3
