"""What could not be looked at is noted once, and each question can be asked for its own gaps."""

import subprocess
from pathlib import Path

import pytest

from predictflow.adapters.git import Repository
from predictflow.errors import CouldNotTell, Unreachable
from predictflow.lineage.gaps import ForgivingStore, Gaps
from predictflow.lineage.project import Project


def unreachable() -> int:
    raise Unreachable("the store is away")


def test_a_gap_is_noted_once_and_the_answer_is_empty():
    gaps = Gaps()
    assert [gaps.look(unreachable, 0) for _ in range(2)] == [0, 0]
    assert gaps.look(lambda: 1, 0) == 1
    assert gaps.reasons == ["the store is away"]


def test_a_question_is_told_its_own_gaps_also_those_that_were_met_before():
    gaps = Gaps()
    gaps.note("before")
    gaps.look(unreachable, 0)
    with gaps.collecting() as of_question:
        gaps.look(unreachable, 0)
        with gaps.collecting() as nested:
            gaps.note("within")
    gaps.note("after")
    assert (of_question, nested) == (["the store is away", "within"], ["within"])
    assert gaps.reasons == ["before", "the store is away", "within", "after"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose store is not there."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return Project(Repository(tmp_path), tmp_path)


def test_a_silent_store_answers_nothing_and_says_so_once(project: Project):
    store = project.store
    told = (list(store.pages()), store.versions(), store.tags([]), store.md5s(""), store.trash(["a"]))
    assert told == ([], [], {}, {}, set())
    assert (store.few(), store.newest(), store.with_ids(["a"]), store.named("a", None)) == ([], None, [], [])
    (reason,) = project.unseen
    assert reason.endswith("mlflow.db is not there")


def test_a_silent_registry_is_refused_with_its_own_reason(project: Project):
    assert project.versions == [] and not project.registry_answers
    project.gaps.note("origin is away")
    with pytest.raises(CouldNotTell) as refused:
        project.require_versions("Cure: wait")
    first, cure = str(refused.value).splitlines()
    assert first.startswith("the registry cannot be asked: ") and first.endswith("mlflow.db is not there")
    assert cure == "Cure: wait"


def test_a_silent_registry_is_refused_though_its_silence_was_met_before(project: Project):
    assert project.all_runs == [] and len(project.unseen) == 1
    with pytest.raises(CouldNotTell):
        project.require_versions()


def test_an_empty_registry_answers_whatever_else_is_away(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ForgivingStore, "versions", lambda store: [])
    project.gaps.note("origin is away")
    assert project.require_versions() == []
