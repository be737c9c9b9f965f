"""Which runs something refers to."""

from predictflow.adapters.mlflow_entities import Run
from predictflow.maintenance.reachability import Needed


def test_only_the_stages_own_runs_of_nothing_are_no_longer_needed():
    def run(**tags: str) -> Run:
        marks = {key.replace("_", "."): value for key, value in tags.items()}
        return Run("r", "", "FINISHED", 0, 0, marks, "", "")

    held = Needed({"held"}, {"named"}, set())
    assert held.run(run()), "it carries no mark of the stages"
    assert held.run(run(predictflow_content="held"))
    assert not held.run(run(predictflow_content="lost"))
    assert not held.run(run(predictflow_host="here"))
    assert Needed(set(), {"r"}, set()).run(run(predictflow_host="here")), "a version names it"
