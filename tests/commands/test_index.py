"""The index of Git's history: always what Git holds, however it came to be."""

import hashlib
import json
import shutil
import subprocess
from contextlib import ExitStack

import pytest

from predictflow.adapters.dvc_files import parse_lock
from predictflow.adapters.git import Repository
from predictflow.lineage.history import History as Recorded
from predictflow.lineage.index import Index, read_index
from tests.people.history import History
from tests.people.project import REPOSITORY, WAIT

WHERE = ".dvc/tmp/predictflow/history"


@pytest.fixture
def parsed(monkeypatch) -> list[bytes]:
    """The dvc.locks that were parsed since."""
    seen: list[bytes] = []
    parse = parse_lock
    monkeypatch.setattr(
        "predictflow.adapters.dvc_files.parse_lock", lambda text: seen.append(text) or parse(text)
    )
    return seen


def read(history: History) -> Index:
    return read_index(Repository(history.project.folder))


def anew(history: History) -> Index:
    """The index as it is made from nothing."""
    shutil.rmtree((history.project.folder / WHERE).parent, ignore_errors=True)
    return read(history)


def test_it_names_every_commit_after_its_parents_and_every_dvc_lock(history: History):
    held = read(history)
    git = history.project.run("git", "rev-list", "--all", "HEAD").stdout.split()
    assert {sha for sha, *_ in held.commits} == set(git)
    for place, (sha, time, parents, *_) in enumerate(held.commits):
        assert all(parent < place for parent in parents)
        told = history.project.run("git", "show", "-s", "--format=%ct %P", sha).stdout.split()
        assert told == [str(time), *(held.commits[parent][0] for parent in parents)]
    for name, lock in held.locks.items():
        text = history.project.run("git", "cat-file", "blob", name).stdout
        assert lock.content and lock.content in text
    assert len(held.locks) == len(history.committed)


def test_new_commits_alone_are_read(history: History, parsed):
    anew(history)
    parsed.clear()
    read(history)
    assert parsed == []
    lock = history.project.read("dvc.lock")
    (history.project.folder / "dvc.lock").write_text(lock.replace("rounds: 25", "rounds: 26"))
    history.project.commit("another dvc.lock")
    history.project.commit("and nothing")
    updated = read(history)
    assert [text.decode() for text in parsed] == [history.project.read("dvc.lock")]
    assert updated == anew(history)


@pytest.mark.parametrize(
    "change",
    [
        "git commit --quiet --amend -m other-words",
        "git reset --quiet --hard HEAD~2",
        "git branch --quiet -D feature",
        "git tag v2 HEAD~1",
        "git tag -d v1 light",
        "dvc exp remove --quiet shallow",
        "git checkout --quiet --orphan new",
        "git checkout --quiet --detach HEAD~1",
        "git pack-refs --all",
    ],
)
def test_after_any_change_it_is_what_it_would_be_made_anew(history: History, change):
    read(history)
    history.project.run(*change.split())
    assert read(history) == anew(history)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "a folder", "another layout", "garbage"])
def test_a_damaged_index_is_made_anew(history: History, damage):
    whole = read(history)
    path = history.project.folder / WHERE
    text = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "another layout":
        held = text.split(b"\n", 1)[1]
        held = json.dumps(json.loads(held) | {"layout": 0}).encode()
        path.write_bytes(hashlib.md5(held).hexdigest().encode() + b"\n" + held)
    else:
        middle = len(text) // 2
        path.write_bytes(
            {
                "cut": text[:middle],
                "flipped": text[:middle] + bytes([text[middle] ^ 1]) + text[middle + 1 :],
                "emptied": b"",
                "garbage": b"\x00\xff\n\xfe",
            }[damage]
        )
    assert read(history) == whole
    if damage != "a folder":
        assert path.read_bytes() == text, "it is mended for good"


def test_where_it_cannot_be_written_the_answer_is_the_same(history: History):
    folder = (history.project.folder / WHERE).parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("a file where the folder would be\n")
    answer = history.answer("lineage", "v1")
    assert answer["model"]["content"] == history.made["first"].content


def test_many_at_once_all_answer(history: History):
    shutil.rmtree((history.project.folder / WHERE).parent, ignore_errors=True)
    command = [history.project.python, "-m", "predictflow.cli", "lineage", "v1", "--json"]
    with ExitStack() as stack:
        begun = [stack.enter_context(history.project.begun(*command, stdout=subprocess.PIPE)) for _ in "1234"]
        for process in begun:
            said, _ = process.communicate(timeout=WAIT)
            assert process.returncode == 0
            assert json.loads(said)["model"]["content"] == history.made["first"].content


def test_a_dvc_lock_with_a_conflict_holds_no_model_and_harms_no_other(history: History):
    (history.project.folder / "dvc.lock").write_text("<<<<<<< ours\nstages: {}\n=======\n>>>>>>> theirs\n")
    history.project.commit("a conflict, committed")
    assert "has no dvc.lock with a model" in history.told("lineage", "HEAD", code=1)
    assert history.answer("lineage", "HEAD~1")["model"]["content"] == history.made["all at once"].content


def test_a_shallow_clone_says_that_older_commits_are_not_there(history: History, tmp_path):
    url = f"file://{history.project.folder}"
    history.project.run("git", "clone", "--quiet", "--depth", "1", url, str(tmp_path / "shallow"))
    answer = history.answer("--repo", str(tmp_path / "shallow"), "lineage")
    assert answer["model"]["content"] == history.made["all at once"].content
    assert any("this clone is shallow" in unseen for unseen in answer["not_looked_at"])
    history.told("--repo", str(tmp_path / "shallow"), "lineage", history.made["first"].content, code=2)
    history.project.run("git", "-C", str(tmp_path / "shallow"), "fetch", "--quiet", "--unshallow")
    answer = history.answer("--repo", str(tmp_path / "shallow"), "lineage", history.made["first"].content)
    assert answer["commit"]["sha"] == history.made["first"].commit


def test_a_commit_that_nothing_reaches_any_more_is_still_answered_by_its_id(history: History):
    made = history.made["shallow"]
    history.project.run("dvc", "exp", "remove", "--quiet", "shallow")
    assert history.answer("lineage", made.commit)["model"]["content"] == made.content


# --- Forged ---------------------------------------------------------------------------------------------


def forge(history: History, change: str) -> None:
    """Edit the kept index, and the md5 that it begins with, so that it says of the model "other data" what is
    not so."""
    read(history)
    path, made = history.project.folder / WHERE, history.made["other data"]
    held = json.loads(path.read_bytes().split(b"\n", 1)[1])
    (blob,) = [
        blob for blob, lock in held["locks"].items() if lock["md5s"]["models/provenance.json"] == made.content
    ]
    lock, (commit,) = held["locks"][blob], [one for one in held["commits"] if one[0] == made.commit]
    others = [other for other in held["locks"] if other != blob]
    match change:
        case "metrics":
            held["records"][lock["md5s"]["metrics/evaluate/metrics.json"]][1]["roc_auc"] = 0.999
        case "params":
            held["records"][made.content][1][-1]["params"]["train"]["model"] = "random_forest"
        case "customers":
            lock["md5s"]["data/customers.csv"] = "0" * 32
        case "content":
            lock["md5s"]["models/provenance.json"] = "0" * 32
        case "another dvc.lock":
            commit[3] = others[0]
        case "time":
            commit[1] -= 86_400
        case "no such blob":
            held["locks"]["0" * 40] = held["locks"].pop(blob)
            commit[3] = "0" * 40
        case "another record":
            held["records"][made.content][0] = others[0]
    text = json.dumps(held).encode()
    path.write_bytes(hashlib.md5(text).hexdigest().encode() + b"\n" + text)


FORGERIES = (
    *("metrics", "params", "customers", "content", "another dvc.lock", "time", "no such blob"),
    "another record",
)


@pytest.mark.parametrize("change", FORGERIES)
def test_a_forged_index_is_not_believed(promoted: History, change):
    made = promoted.made["other data"]
    forge(promoted, change)
    for words in (
        ["lineage", made.commit],
        ["lineage", made.content],
        ["lineage", "churn-predictor@production"],
        ["lineage", made.md5s["models/churn-predictor/model.ubj"]],
        ["diff", made.commit, "main"],
    ):
        said = promoted.told(*words, code=2)
        assert "the index of Git's history" in said and "somebody has edited it" in said, words
    told = Recorded(Repository(promoted.project.folder)).model(made.content)
    assert told.metrics == made.metrics and told.commit and told.commit.sha == made.commit
    assert promoted.answer("gate", "churn-predictor@production")["content"] == made.content
    (found,) = promoted.answer("audit", code=1)["findings"]
    assert found["kind"] == "index" and found["fixable"]
    promoted.told("audit", "--fix")
    assert promoted.answer("lineage", made.commit)["metrics"] == made.metrics


@pytest.mark.parametrize("change", ["a type", "a key", "a dvc.lock less"])
def test_an_index_that_is_well_formed_and_makes_no_sense_is_made_anew(history: History, change):
    whole = read(history)
    path = history.project.folder / WHERE
    held = json.loads(path.read_bytes().split(b"\n", 1)[1])
    if change == "a type":
        held["locks"] = []
    elif change == "a key":
        del held["tips"], held["pointers"]
        held["points"] = {}
    else:
        held["locks"].popitem()
    text = json.dumps(held).encode()
    path.write_bytes(hashlib.md5(text).hexdigest().encode() + b"\n" + text)
    assert read(history) == whole


def test_only_what_neither_decides_nor_writes_finds_by_the_index():
    commands = REPOSITORY / "predictflow/commands"
    text = {path.stem: path.read_text("utf-8") for path in commands.glob("*.py")}
    by_index = {name for name in text if "by_index=True" in text[name]}
    assert by_index == {"lineage", "diff", "find_customer", "experiments", "status"}
    assert {name for name in text if "by_index" in text[name]} - by_index == {"doctor"}
    assert "by_index=not fix" in text["doctor"], "it writes then"
