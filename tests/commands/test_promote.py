"""Promotions: the receipt first, MLflow after it, and nothing half-done."""

import json
import shutil

import pytest

from predictflow.promotion import transition
from tests.people.history import History
from tests.people.killer import POINTS, PROMOTING, kill
from tests.people.project import Project
from tests.people.releases import in_gto, number, stages, tags

pytestmark = pytest.mark.usefixtures("lenient")


def registries(at_a_server: pytest.MarkDecorator) -> pytest.MarkDecorator:
    params = ["in_a_database", pytest.param("at_a_server", marks=at_a_server)]
    return pytest.mark.parametrize("history", params, indirect=True)


both = registries(pytest.mark.real)
# At a server only by `make test-slow`: what they ask of MLflow is asked there by others too.
both_slowly = registries(pytest.mark.slow)


@both
def test_a_promotion_writes_a_receipt_and_moves_stage_and_alias_together(history: History):
    first, newer = history.made["first"], history.made["other data"]
    history.told("promote", number(history, "first"), "--to", "production")
    assert stages(history)["Production"] == (first.version,)
    history.told("promote", newer.commit, "--to", "production", "--reason", "newer data")
    now = stages(history)
    assert now["Production"] == (newer.version,)
    assert first.version in now["Archived"]
    assert tags(history) == [
        "churn-predictor#production#1",
        "churn-predictor#production#2",
        "churn-predictor@v1.0.0",
        "churn-predictor@v3.0.0",
    ]
    for tag, made in (("churn-predictor#production#2", newer), ("churn-predictor@v1.0.0", first)):
        assert history.project.run("git", "rev-parse", f"{tag}^{{commit}}").stdout.strip() == made.commit
        assert history.project.run("git", "cat-file", "-t", tag).stdout.strip() == "tag"
    (version,) = [one for one in history.project.versions() if int(one.version) == newer.version]
    assert version.tags["predictflow.version"] == "v3.0.0"
    assert version.tags["predictflow.receipt"] == "churn-predictor#production#2"
    assert in_gto(history) == {"production": "v3.0.0"}
    history.told("gate", "churn-predictor@production")


def test_dvc_hands_out_what_is_in_production(history: History, tmp_path):
    made = history.made["other data"]
    history.told("promote", number(history, "other data"), "--to", "production")
    got = tmp_path / "got"
    history.project.run(
        *("dvc", "artifacts", "get", str(history.project.folder), "churn-predictor"),
        *("--stage", "production", "--out", str(got)),
    )
    assert history.answer("lineage", str(got))["model"]["content"] == made.content


def test_a_dry_run_changes_nothing(history: History):
    before = stages(history)
    answer = history.answer("promote", number(history, "first"), "--to", "production", "--dry-run")
    assert answer["decision"]["passed"] and not answer["done"] and answer["receipts"] == []
    assert (tags(history), stages(history)) == ([], before)


@both_slowly
def test_what_misses_a_bar_is_refused_and_only_forced_with_a_reason(history: History):
    text = history.project.read("params.yaml")
    head, _, promote = text.partition("promote:\n")
    promote = promote.replace("roc_auc: 0.6", "roc_auc: 0.99", 1)
    (history.project.folder / "params.yaml").write_text(f"{head}promote:\n{promote}")
    asked = ("promote", number(history, "first"), "--to", "production")
    assert "promote in params.yaml is not committed" in history.told(*asked, code=1)
    history.project.commit("a strict bar")
    before = stages(history)
    said = history.told(*asked, code=1)
    assert "is below the minimum 0.99" in said or "misses the minimum 0.99" in said
    assert (tags(history), stages(history)) == ([], before)
    assert "--force goes with a reason" in history.told(*asked, "--force", code=1)
    answer = history.answer(*asked, "--force", "--reason", "it must be today")
    assert answer["decision"]["forced"] and not answer["decision"]["passed"]
    (receipt,) = [one for one in history.answer("history")["receipts"] if one["action"] == "promoted"]
    assert receipt["why"] == "it must be today"
    body = history.project.run("git", "tag", "-l", "--format=%(contents)", receipt["tag"]).stdout
    assert json.loads(body.splitlines()[2])["decision"]["forced"] is True


@both
def test_a_doubt_about_the_content_cannot_be_forced(history: History):
    """The model's bytes in MLflow are edited."""
    with (history.files("first") / "model.ubj").open("ab") as file:
        file.write(b" ")
    before = stages(history)
    asked = ("promote", number(history, "first"), "--to", "production", "--force", "--reason", "anyhow")
    assert "which nothing can force" in " ".join(history.told(*asked, code=1).split())
    assert (tags(history), stages(history)) == ([], before)


def test_the_same_promotion_again_writes_no_second_receipt(history: History):
    asked = ("promote", number(history, "first"), "--to", "production")
    history.told(*asked)
    before = tags(history)
    assert history.answer(*asked)["receipts"] == []
    assert tags(history) == before


@both
def test_rollback_brings_back_the_one_before(history: History):
    first, newer = history.made["first"], history.made["other data"]
    assert "no receipt tells of a version" in history.told("rollback", code=1)
    for name in ("first", "other data"):
        history.told("promote", number(history, name), "--to", "production")
    history.told("rollback", "--dry-run")
    assert stages(history)["Production"] == (newer.version,)
    history.told("rollback", "--reason", "complaints")
    assert stages(history)["Production"] == (first.version,)
    assert in_gto(history) == {"production": "v1.0.0"}
    newest = history.answer("history")["receipts"][0]
    assert (newest["action"], newest["version"], newest["why"]) == ("rolled back", 1, "complaints")
    history.told("gate", "churn-predictor@production")


@both_slowly
def test_archived_leaves_the_stage_empty_for_everyone(history: History):
    for name in ("first", "other data"):
        history.told("promote", number(history, name), "--to", "production")
    history.told("promote", number(history, "other data"), "--to", "archived")
    assert "Production" not in stages(history)
    assert in_gto(history) == {}
    assert "no receipt puts a version in production" in history.told(
        "gate", "churn-predictor@production", code=1
    )


@both_slowly
def test_a_version_that_goes_on_to_production_leaves_staging(history: History):
    history.told("promote", number(history, "first"), "--to", "staging")
    assert in_gto(history) == {"staging": "v1.0.0"}
    history.told("promote", number(history, "first"), "--to", "production")
    assert in_gto(history) == {"production": "v1.0.0"}
    assert "Staging" not in stages(history)
    history.told("gate", "churn-predictor@production")


def test_production_is_not_left_empty_unasked(history: History):
    first, newer = number(history, "first"), number(history, "other data")
    history.told("promote", first, "--to", "production")
    before = (tags(history), stages(history))
    for words in ((), ("--dry-run",), ("--force", "--reason", "all the same")):
        said = history.told("promote", first, "--to", "staging", *words, code=1)
        assert f"{first} stands in production, which staging would leave empty" in said
    assert (tags(history), stages(history)) == before
    asked = ("promote", first, "--to", "staging", "--empty-production")
    assert "production would be empty" in history.told(*asked, "--dry-run")
    assert history.answer(*asked)["leaves_empty"] == ["production"]
    assert "Production" not in stages(history)
    assert stages(history)["Staging"] == (history.made["first"].version,)
    history.told("promote", newer, "--to", "production")
    assert history.answer("promote", newer, "--to", "archived")["leaves_empty"] == ["production"]


def test_a_rollback_of_staging_leaves_production_as_it_is(history: History):
    first, newer = number(history, "first"), number(history, "other data")
    for name, stage in ((first, "staging"), (newer, "staging"), (first, "production")):
        history.told("promote", name, "--to", stage)
    assert "would leave empty" in history.told("rollback", "--to", "staging", code=1)
    assert stages(history)["Production"] == (history.made["first"].version,)


def test_a_version_that_was_never_committed_is_refused_with_its_cure(history: History):
    said = history.told("promote", number(history, "never committed"), "--to", "production", code=1)
    assert "commit dvc.lock" in " ".join(said.split())


def test_who_is_not_registered_is_told(history: History):
    assert "is no registered version" in history.told("promote", "shallow", "--to", "production", code=1)
    shutil.rmtree(history.project.folder / "mlflow_data")
    assert "cannot be asked" in history.told("promote", "v1", "--to", "production", code=2)


@both_slowly
def test_of_two_at_the_same_moment_one_wins_and_the_other_leaves_nothing(history: History, monkeypatch):
    """The other one promotes while this one has decided and not yet written."""
    facts = transition._facts

    def meanwhile(*asked):
        monkeypatch.setattr(transition, "_facts", facts)
        history.ask("promote", number(history, "other data"), "--to", "production")
        return facts(*asked)

    monkeypatch.setattr(transition, "_facts", meanwhile)
    said = history.told("promote", number(history, "first"), "--to", "production", code=1)
    assert "was quicker" in said
    assert stages(history)["Production"] == (history.made["other data"].version,)
    assert [tag for tag in tags(history) if "v1.0.0" in tag] == []
    history.told("gate", "churn-predictor@production")


def test_the_receipt_is_pushed_before_anything_moves(history: History, origin):
    said = " ".join(history.told("promote", number(history, "first"), "--to", "production").split())
    there = history.project.run("git", "-C", str(origin), "tag", "--list", "churn-predictor*").stdout
    assert sorted(there.split()) == tags(history)
    assert said.endswith(f"receipt {', '.join(tags(history)[::-1])}, pushed to origin, {origin}"), said
    history.told("gate", "churn-predictor@production")


def test_it_says_that_nothing_was_pushed_where_there_is_no_origin(history: History):
    answer = history.answer("promote", number(history, "first"), "--to", "production")
    assert answer["receipts"] and answer["pushed_to"] is None
    said = " ".join(history.told("promote", number(history, "first"), "--to", "archived").split())
    assert "not pushed: Git has no remote named origin" in said


@both
def test_a_push_that_origin_refuses_takes_the_receipt_back(history: History, origin):
    hook = origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho tags are for the release managers >&2\nexit 1\n")
    hook.chmod(0o755)
    before = stages(history)
    said = history.told("promote", number(history, "first"), "--to", "production", code=1)
    assert "tags are for the release managers" in said
    assert (tags(history), stages(history)) == ([], before)


def test_an_origin_that_does_not_answer_stops_it(history: History):
    history.project.run("git", "remote", "add", "origin", "/nowhere/at/all.git")
    said = history.told("promote", number(history, "first"), "--to", "production", code=1)
    assert "origin cannot be read" in said
    assert tags(history) == []


def test_two_clones_of_one_origin_number_their_versions_together(history: History, origin, tmp_path):
    """Version 1 of the other laptop's store is another content: the receipts give it a number of its own."""
    other = Project(tmp_path / "other", tmp_path / "home").hurry()
    shutil.copytree(history.project.folder, other.folder, symlinks=True)
    laptop = History(other, history.made)
    history.told("promote", number(history, "other params"), "--to", "production")
    store = other.store
    store.delete_model_version("churn-predictor", "2")
    laptop.told("promote", number(history, "first"), "--to", "production", "--force", "--reason", "go back")
    history.project.run("git", "fetch", "--quiet", "--tags", "origin")
    receipts = history.answer("history")["receipts"]
    numbered = {one["version"] for one in receipts if one["action"] == "registered"}
    assert len(numbered) == 2
    assert history.answer("history")["standing"]["production"]["version"] in numbered
    said = history.told("gate", "churn-predictor@production", code=1)
    assert "MLflow has churn-predictor/2 there" in " ".join(said.split())


@pytest.mark.real
@pytest.mark.parametrize(
    ("history", "point"),
    [*(("in_a_database", point) for point in POINTS), ("at_a_server", "between stage and alias")],
    indirect=["history"],
)
def test_after_a_kill_the_same_command_ends_what_was_begun(history: History, origin, point):
    asked = ("promote", number(history, "first"), "--to", "production")
    kill(history.project, PROMOTING.format(point=POINTS[point]), *asked)
    history.told(*asked)
    assert stages(history)["Production"] == (history.made["first"].version,)
    assert tags(history) == ["churn-predictor#production#1", "churn-predictor@v1.0.0"]
    history.told("gate", "churn-predictor@production")


@pytest.mark.real
@pytest.mark.parametrize("point", list(POINTS))
def test_after_a_kill_the_same_rollback_ends_what_was_begun(history: History, origin, point):
    """And it does not go back to where it came from."""
    for name in ("first", "other data"):
        history.told("promote", number(history, name), "--to", "production")
    kill(history.project, PROMOTING.format(point=POINTS[point]), "rollback")
    history.told("rollback", "--dry-run")
    history.told("rollback")
    assert stages(history)["Production"] == (history.made["first"].version,)
    assert [one["action"] for one in history.answer("history")["receipts"]].count("rolled back") == 1
    history.told("gate", "churn-predictor@production")


@pytest.mark.real
def test_what_a_kill_has_left_is_completed_before_something_else_is_looked_at(history: History, origin):
    """A rollback was killed; then somebody promotes: against whom the rollback has brought back."""
    for name in ("first", "other data"):
        history.told("promote", number(history, name), "--to", "production")
    kill(history.project, PROMOTING.format(point=POINTS["after the push"]), "rollback")
    answer = history.answer("promote", number(history, "other params"), "--to", "production")
    assert [one["version"] for one in answer["completed"]] == [number(history, "first")]
    assert answer["decision"]["numbers"]["comparison"]["champion"] == number(history, "first")
    assert stages(history)["Production"] == (history.made["other params"].version,)
    history.told("gate", "churn-predictor@production")


@both
def test_gate_finds_what_was_edited_behind_its_back(history: History):
    history.told("promote", number(history, "first"), "--to", "production")
    history.told("gate", "churn-predictor@production")
    store = history.project.store
    store.set_registered_model_alias("churn-predictor", "production", "3")
    assert "alias production is on churn-predictor/3" in " ".join(
        history.told("gate", "churn-predictor@production", code=1).split()
    )
    store.set_registered_model_alias("churn-predictor", "production", "1")
    history.told("gate", "churn-predictor@production")
    store.transition_model_version_stage("churn-predictor", "2", "Production")
    history.told("gate", "churn-predictor@production", code=1)


def test_gate_takes_a_receipt_only_while_it_stands(history: History):
    first, second = "churn-predictor#production#1", "churn-predictor#production#2"
    history.told("promote", number(history, "first"), "--to", "production")
    assert history.answer("gate", first)["receipt"] == first
    history.told("promote", number(history, "other data"), "--to", "production")
    assert history.answer("gate", second)["receipt"] == second
    answer = history.answer("gate", first, code=1)
    assert answer["against"] == [f"{first} does not stand in production: {second} does"]
    history.told("gate", "churn-predictor#production#3", code=1)
    history.told("gate", second.replace("#production", "#staging"), code=1)
    assert "names no stage" in history.told("gate", "churn-predictor#production!#2", code=1)


def test_gate_misses_a_last_receipt_that_was_deleted_everywhere(history: History, origin):
    """Without it the one before would stand again."""
    history.told("promote", number(history, "first"), "--to", "production")
    history.told("promote", number(history, "first"), "--to", "archived")
    before = history.answer("gate", "churn-predictor@production", code=1)["against"]
    assert before == ["no receipt puts a version in production"]
    for folder in (origin, history.project.folder):
        history.project.run("git", "-C", str(folder), "tag", "-d", "churn-predictor#production!#2")
    against = history.answer("gate", "churn-predictor@production", code=1)["against"]
    assert "the last receipt that this clone knew is missing" in against[0]
    history.project.run("git", "update-ref", "-d", "refs/receipts/churn-predictor")
    against = history.answer("gate", "churn-predictor@production", code=1)["against"]
    assert "is gone: here, and from origin" in against[0]


# Tests that are not run at a server.
CANNOT = {
    "test_two_clones_of_one_origin_number_their_versions_together": "a server numbers for all its clones",
    "test_who_is_not_registered_is_told": "it loses the project's own store, and a server is in no project",
}
NOTHING_NEW = {  # all that they ask of MLflow is asked by others of them too
    "test_dvc_hands_out_what_is_in_production": "DVC reads Git and its cache",
    "test_a_dry_run_changes_nothing": "a refusal changes nothing either",
    "test_the_same_promotion_again_writes_no_second_receipt": "after a server has failed it is done too",
    "test_a_version_that_was_never_committed_is_refused_with_its_cure": "Git alone is asked",
    "test_the_receipt_is_pushed_before_anything_moves": "it is where the server fails, here",
    "test_an_origin_that_does_not_answer_stops_it": "MLflow is not reached",
    "test_production_is_not_left_empty_unasked": "the receipts alone are asked",
    "test_a_rollback_of_staging_leaves_production_as_it_is": "as above",
    "test_it_says_that_nothing_was_pushed_where_there_is_no_origin": "Git alone is asked",
    "test_after_a_kill_the_same_rollback_ends_what_was_begun": "after a killed promotion it is the same",
    "test_what_a_kill_has_left_is_completed_before_something_else_is_looked_at": "as above",
    "test_gate_takes_a_receipt_only_while_it_stands": "which receipt stands is read from Git",
    "test_gate_misses_a_last_receipt_that_was_deleted_everywhere": "what origin holds is read from Git",
}


def test_what_is_not_run_at_a_server_is_listed_with_its_reason():
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    del tests["test_what_is_not_run_at_a_server_is_listed_with_its_reason"]
    here = {
        name
        for name, test in tests.items()
        if any("at_a_server" in str(mark.args) for mark in getattr(test, "pytestmark", []))
    }
    assert tests.keys() - here == CANNOT.keys() | NOTHING_NEW.keys()
