"""What shows Git's commands something else than is stored is not followed, and named; the last evidence of a
receipt that was deleted everywhere stays."""

from pathlib import Path

import pytest

from tests.commands.test_audit import GATE, LAST, MODEL, NEWEST, SECOND, audit, copy, git
from tests.people.history import History


@pytest.fixture
def history(audited_template: Path, tmp_path: Path) -> History:
    return copy(audited_template, tmp_path)


def replace_lock(history: History) -> str:
    """Let Git show the dvc.lock of another model in the place of the one in Production."""
    made, other = history.made[NEWEST], history.made["first"]
    blob, others = (git(history, "rev-parse", f"{one.commit}:dvc.lock") for one in (made, other))
    git(history, "replace", blob, others)
    return f"refs/replace/{blob}"


def replace_commit(history: History) -> str:
    made, other = history.made[NEWEST], history.made["first"]
    git(history, "replace", made.commit, other.commit)
    return f"refs/replace/{made.commit}"


def replace_receipt(history: History) -> str:
    """Let Git show an older receipt in the place of the last one."""
    tag, older = (git(history, "rev-parse", f"refs/tags/{name}") for name in (LAST, SECOND))
    git(history, "replace", tag, older)
    return f"refs/replace/{tag}"


def graft(history: History) -> str:
    """Let Git show the newest commit without those before it."""
    path = history.project.folder / ".git/info/grafts"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{git(history, 'rev-parse', 'HEAD')}\n")
    return str(path)


@pytest.mark.parametrize("disguise", [replace_lock, replace_commit, replace_receipt, graft])
def test_what_is_replaced_is_read_as_it_is_stored_and_told(history: History, disguise):
    made = history.made[NEWEST]
    before = {words: history.answer(*words.split()) for words in ("history", f"lineage {made.content}")}
    about = disguise(history)
    (history.project.folder / ".dvc/tmp/predictflow/history").unlink(missing_ok=True)
    for words, answer in before.items():
        assert history.answer(*words.split()) == answer, words
    assert history.answer("lineage", history.made["first"].content)["commit"]["sha"]
    history.told("gate", GATE)
    (found,) = audit(history, "--fix", code=1)["findings"]
    assert (found["kind"], found["about"]) == ("git", about)
    history.project.run("sh", "-c", found["cure"].split("`")[1])
    assert audit(history)["findings"] == []


def test_the_last_evidence_of_a_chain_whose_end_was_deleted_everywhere_is_kept(history: History):
    before = git(history, "rev-parse", f"refs/tags/{SECOND}")
    end = git(history, "rev-parse", f"refs/tags/{LAST}")
    git(history, "push", "--quiet", "--force", "origin", f"{before}:refs/receipts/{MODEL}")
    git(history, "push", "--quiet", "origin", f":refs/tags/{LAST}")
    git(history, "tag", "-d", LAST)
    git(history, "update-ref", "-d", f"refs/receipts/{MODEL}")
    (version,) = [one for one in history.project.versions() if one.current_stage == "Production"]
    for words in ((), ("--fix",)):
        answer = audit(history, *words, code=1)
        (found,) = [one for one in answer["findings"] if one["kind"] == "receipt"]
        assert not answer["mended"] and not any(one["fixable"] for one in answer["findings"])
        assert found["about"] == LAST
        assert f"{MODEL}/{version.version} names" in found["told"] and "from origin" in found["told"]
    history.told("gate", GATE, code=1)
    assert "nobody can say who stands where" in history.told("restore", code=1)
    (now,) = [one for one in history.project.versions() if one.current_stage == "Production"]
    assert (now.version, now.tags) == (version.version, version.tags), "nothing follows what is left"
    git(history, "update-ref", f"refs/tags/{LAST}", end)
    git(history, "push", "--quiet", "origin", f"refs/tags/{LAST}")
    git(history, "push", "--quiet", "--force", "origin", f"{end}:refs/receipts/{MODEL}")
    audit(history)


def test_an_end_of_the_chain_that_was_moved_back_on_origin_is_told_with_who_it_is(history: History):
    end, before = (git(history, "rev-parse", f"refs/tags/{name}") for name in (LAST, SECOND))
    git(history, "push", "--quiet", "--force", "origin", f"{before}:refs/receipts/{MODEL}")
    (found,) = audit(history, "--fix", code=1)["findings"]
    assert (found["kind"], found["about"]) == ("origin", f"refs/receipts/{MODEL}")
    assert end in found["told"]
    history.told("gate", GATE, code=1)
    history.project.run("sh", "-c", found["cure"].split("`")[1])
    audit(history)
