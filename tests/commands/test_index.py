"""The index of Git's history: always what Git holds, however it came to be."""

import hashlib
import json
import shutil
import subprocess

import pytest

from predictflow.adapters.dvc_files import parse_lock
from predictflow.adapters.git import Repository
from predictflow.lineage.index import Index, read_index
from tests.people.history import History

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
    for place, (sha, time, parents, _, _) in enumerate(held.commits):
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
    started = [
        subprocess.Popen(command, cwd=history.project.folder, env=history.project.env, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in started:
        said, _ = process.communicate(timeout=60)
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
