"""Which versions have learned from a customer: right for everyone, without anyone's id, never guessed."""

import shutil
from unittest import mock

import pandas as pd
import pytest

from predictflow.adapters.dvc_files import parse_lock
from predictflow.commands import find_customer
from stages.data.split import held_out
from tests.people.history import FIRST, SECOND, THIRD, History

ROWS = {
    "first": FIRST,
    "other params": FIRST,
    "other data": SECOND,
    "on a branch": SECOND,
    "other code": SECOND,
    "all at once": THIRD,
    "never committed": THIRD,
    "shallow": FIRST,
}


def side(name: str, member: str) -> str:
    """The set that a member was in, by the customers and the split alone."""
    if member not in set(ROWS[name]["member"]):
        return "neither"
    (test,) = held_out(pd.Series([member]), "predictflow", 0.2)
    return "test" if test else "training"


def sets(answer: dict) -> dict[str, str | None]:
    """{content: set}."""
    return {model["content"]: model["set"] for model in answer["models"]}


def expected(history: History, member: str, *, registered: bool = True) -> dict[str, str]:
    return {
        made.content: side(name, member)
        for name, made in history.made.items()
        if made.version or not registered
    }


def members() -> list[str]:
    """Who left before the second file, who came with it, who stayed: of either set."""
    chosen = []
    for some in (ROWS["first"].iloc[:20], ROWS["other data"].iloc[-40:], ROWS["first"].iloc[20:60]):
        test = held_out(some["member"], "predictflow", 0.2)
        assert 0 < test.sum() < len(some)
        chosen += [some["member"][test].iloc[0], some["member"][~test].iloc[0]]
    return chosen


@pytest.mark.parametrize("member", members())
def test_every_version_says_in_which_set_a_customer_was(history: History, member):
    told = sets(history.answer("find-customer", member))
    assert told == expected(history, member)
    assert {"training", "test"} & set(told.values())


def test_who_was_in_none_ends_with_1(history: History):
    for nobody in ("M-9999", "M-", "m-30", " M-30", ""):
        told = history.answer("find-customer", nobody, code=1)
        assert set(sets(told).values()) == {"neither"}
        assert told["alike"] == ("M-30" if "30" in nobody else None)
    said = history.told("find-customer", "m-30", code=1)
    assert "M-30 is in a set: give the id as the customer file writes it" in said
    assert history.answer("find-customer", "M-30")["alike"] is None


def test_an_id_without_letters_is_looked_for_once(history: History):
    with mock.patch.object(find_customer, "_look", side_effect=find_customer._look) as looked:
        told = history.answer("find-customer", "1234", code=1)
    assert looked.call_count == len(told["models"]) > 1


def test_models_that_are_not_registered_are_looked_into_when_asked(history: History):
    told = history.answer("find-customer", "M-5", "--all")
    assert sets(told) == expected(history, "M-5", registered=False)


def test_without_the_store_every_model_of_git_is_looked_into(history: History):
    shutil.rmtree(history.project.folder / "mlflow_data")
    told = history.answer("find-customer", "M-5")
    of_git = {made.content for made in history.committed}
    everyone = expected(history, "M-5", registered=False)
    assert sets(told) == {content: found for content, found in everyone.items() if content in of_git}
    assert any("mlflow.db is not there" in unseen for unseen in told["not_looked_at"])


def test_without_the_store_nobody_is_said_to_be_in_none(history: History):
    shutil.rmtree(history.project.folder / "mlflow_data")
    told = history.answer("find-customer", "M-9999", code=2)
    assert set(sets(told).values()) == {"neither"} and told["store_answers"] is False
    said = history.told("find-customer", "M-9999", code=2)
    assert "not registered" not in said and "not known" in said


def index_in_cache(history: History, name: str, side: str):
    """The file in the cache that holds an index of a model."""
    text = history.project.run("git", "show", f"{history.made[name].commit}:dvc.lock").stdout.encode()
    md5 = parse_lock(text).md5s[f"data/prepared/{side}.index"]
    return history.project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "emptied"])
def test_an_index_that_is_missing_or_damaged_is_no_answer(history: History, damage):
    """It was of the first file; the other versions still answer, and a guess is never made."""
    path = index_in_cache(history, "first", "train")
    bytes_ = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"cut": bytes_[:-1], "flipped": bytes_[::-1], "emptied": b""}[damage])
    told = history.answer("find-customer", "M-9999", code=2)
    for name, made in history.made.items():
        if made.version:
            of_it = ROWS[name] is FIRST
            assert sets(told)[made.content] == (None if of_it else "neither")
    (why,) = {model["why_not"] for model in told["models"] if model["why_not"]}
    assert "dvc fetch" in why


def test_a_damaged_index_does_not_hide_the_answer_of_another_version(history: History):
    index_in_cache(history, "first", "train").unlink()
    told = history.answer("find-customer", "M-30", code=0)
    assert sets(told)[history.made["all at once"].content] == side("all at once", "M-30")


def test_each_version_is_asked_with_its_own_salt(history: History):
    history.project.edit("params.yaml", "id_salt: predictflow customers", "id_salt: another")
    told = sets(history.answer("find-customer", "M-30"))
    assert told == expected(history, "M-30")


def test_a_version_registered_by_other_means_is_not_guessed_at(history: History):
    store = history.project.store
    store.create_registered_model("by-hand")
    store.create_model_version("by-hand", "file:///nowhere")
    told = history.answer("find-customer", "M-9999", code=2)
    (unknown,) = [model for model in told["models"] if model["content"] is None]
    assert [version["name"] for version in unknown["versions"]] == ["by-hand/1"]


def test_the_indexes_name_nobody(history: History):
    bytes_ = b"".join(index_in_cache(history, "first", side).read_bytes() for side in ("train", "test"))
    assert len(bytes_) == 16 * len(FIRST)
    assert not any(member.encode() in bytes_ for member in FIRST["member"])


def test_the_terminal_names_each_version_once(history: History):
    said = history.ask("find-customer", "M-30", COLUMNS="80")
    for made in history.made.values():
        if made.version:
            assert said.count(f"churn-predictor/{made.version} ") == 1
    assert max(map(len, said.splitlines())) <= 80
