"""Receipts of rebuilds: one a verdict, numbered by version, told apart from what was tampered with, and
signed where only some people's count."""

import json
import subprocess

import pytest

from predictflow.adapters.git import Repository
from predictflow.errors import Unreachable
from predictflow.formatting import moment
from predictflow.ledger.chain import read_chain
from predictflow.ledger.proof import read_proven
from predictflow.ledger.rebuilds import (
    RebuildReceipt,
    fetch_rebuilds,
    newest_verdict,
    push_rebuilds,
    read_rebuilds,
    recorded_machine,
    write_rebuild,
)
from predictflow.ledger.receipts import Receipt
from predictflow.ledger.tags import canonical
from stages.support.errors import UserError
from tests.people.ledger import MODEL, REBUILD, content_of, git, list_signers, put

CONTENT = content_of(1)


@pytest.fixture
def registered(here: Repository) -> Receipt:
    return put(here, "registered", 1)


def rewrite(here: Repository, one: RebuildReceipt, name: str | None = None, at: str = "", **changed) -> None:
    date = changed.pop("date", one.time)
    body = canonical(one.body | changed)
    done = here.git(
        *("tag", "--force", "-a", "-F", "-", "--cleanup=verbatim", name or one.name, at or one.commit),
        given=f"words\n\n{body}\n",
        env={"GIT_COMMITTER_DATE": f"@{date} +0000"},
    )
    assert done.returncode == 0, done.stderr


def write(here: Repository, number: int = 1, **changed: object) -> RebuildReceipt:
    """A receipt of a rebuild of the model of a commit."""
    chain = read_proven(here, MODEL)
    commit = git(here, "rev-list", "--reverse", "main").split()[number - 1]
    return write_rebuild(here, chain, content_of(number), commit, REBUILD | changed)


def read(here: Repository) -> list[RebuildReceipt]:
    return read_rebuilds(here, read_proven(here, MODEL))


def test_each_verdict_is_a_tag_on_the_versions_commit_and_no_link_of_the_chain(here, registered):
    put(here, "registered", 2)
    before = read_chain(here, MODEL)
    first = write(here)
    write(here, verdict="different")
    write(here, 2)
    told = read(here)
    names = ["v1.0.0/1", "v1.0.0/2", "v2.0.0/1"]
    assert sorted(one.name for one in told) == [f"{MODEL}/rebuilt/{name}" for name in names]
    assert {(one.name, one.commit) for one in told} >= {(first.name, registered.commit)}
    assert first.body["content"] == CONTENT
    assert first.body["registered"] == {"tag": registered.name, "object": registered.object}
    assert [one.broken for one in told] == [[], [], []]
    assert read_chain(here, MODEL) == before
    assert (
        here.git("tag", "-l", "-n1", first.name)
        .stdout.decode()
        .split(maxsplit=1)[1]
        .startswith(f"{MODEL} version 1 rebuilt: identical")
    )


@pytest.mark.real
def test_gto_does_not_take_them_for_its_own(here, registered):
    put(here, "promoted", 1, "production")
    shown = [["gto", "show", "--json"], ["gto", "history", MODEL, "--json"]]
    before = [subprocess.check_output(words, cwd=here.root) for words in shown]
    write(here)
    assert [subprocess.check_output(words, cwd=here.root) for words in shown] == before
    assert MODEL in json.loads(before[0])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"version": 3}, "its body is of version 3"),
        ({"content": content_of(2)}, "its content is "),
        ({"content": content_of(2), "commit": "main~1", "at": "main~1"}, "version 1 is content "),
        ({"who": "Eve <eve@example.com>"}, "its who is Ada"),
        ({"when": "2020-01-01T00:00:00Z"}, "its when is 20"),
        ({"at": "HEAD"}, "its commit is "),
        ({"name": f"{MODEL}/rebuilt/v2.0.0/1"}, "its body is of version 1"),
    ],
    ids=[
        "another version",
        "another content",
        "the commit of another",
        "another writer",
        "another date",
        "moved",
        "renamed",
    ],
)
def test_one_that_was_edited_is_told_and_counts_for_nothing(here, registered, changed, told):
    one = write(here)
    here.git("tag", "-d", one.name)
    if "commit" in changed:
        changed |= {"commit": git(here, "rev-parse", changed["commit"])}
    rewrite(here, one, **changed)
    (rebuilt,) = read(here)
    assert rebuilt.broken[0].startswith(told)
    assert newest_verdict([rebuilt], CONTENT) is None
    assert recorded_machine([rebuilt], CONTENT) == {}


def test_a_tag_that_is_none_is_passed_over(here, registered):
    here.git("tag", f"{MODEL}/rebuilt/v1.0.0/1")
    here.git("tag", "-a", "-m", "words", f"{MODEL}/rebuilt/v1.0.0/7")
    assert read(here) == []
    assert write(here).name == f"{MODEL}/rebuilt/v1.0.0/8"


def test_the_last_verdict_counts(here, registered):
    assert newest_verdict(read(here), CONTENT) is None
    one = write(here)
    assert newest_verdict(read(here), CONTENT) == ("identical", one.time)
    rewrite(
        here,
        one,
        f"{MODEL}/rebuilt/v1.0.0/2",
        verdict="different",
        when=moment(one.time + 9),
        date=one.time + 9,
    )
    assert newest_verdict(read(here), CONTENT) == ("different", one.time + 9)
    assert newest_verdict(read(here), "another content") is None


def test_a_date_that_is_still_to_come_counts_for_nothing(here, registered):
    one = write(here)
    ahead = one.time + 86_400
    rewrite(here, one, f"{MODEL}/rebuilt/v1.0.0/2", when=moment(ahead), date=ahead)
    assert [receipt.broken for receipt in read(here)] == [
        [],
        [f"its date, {moment(ahead)}, is still to come"],
    ]
    assert newest_verdict(read(here), CONTENT) == ("identical", one.time)


def test_a_version_that_no_receipt_registers_has_receipts_by_its_content(here):
    one = write(here)
    assert (one.name, one.body["version"], one.body["registered"]) == (
        f"{MODEL}/rebuilt/{CONTENT}/1",
        None,
        None,
    )
    put(here, "registered", 1)
    assert write(here).name == f"{MODEL}/rebuilt/v1.0.0/1"
    assert [receipt.broken for receipt in read(here)] == [[], []]
    assert newest_verdict(read(here)[:1], CONTENT) == ("identical", one.time), "it counts as before"


def test_one_whose_commit_holds_another_content_is_not_written(here):
    with pytest.raises(UserError, match="would not count: its content is "):
        write_rebuild(here, read_proven(here, MODEL), content_of(2), git(here, "rev-parse", "main"), REBUILD)
    assert read(here) == []


def test_where_signers_are_listed_only_theirs_count(here, sign):
    unsigned = write(here)
    list_signers(here, f"ada@example.com {sign('ada')}")
    sign("eve")
    with pytest.raises(UserError, match="would not count: "):
        write(here)
    sign("ada")
    signed = write(here)
    assert [(one.name, one.counts) for one in read(here)] == [(unsigned.name, False), (signed.name, True)]
    assert newest_verdict(read(here), CONTENT) == ("identical", signed.time)
    here.git("tag", "-d", signed.name)
    assert newest_verdict(read(here), CONTENT) is None and recorded_machine(read(here), CONTENT) == {}


def test_a_machine_is_that_of_the_last_rebuild_that_was_identical(here, registered):
    write(here)
    write(here, verdict="different", machine={"threads": "8"})
    told = read(here)
    assert recorded_machine(told, CONTENT) == REBUILD["machine"]
    assert recorded_machine(told, "content 2") == {}


def test_origin_gets_and_gives_them_and_a_refusal_leaves_them_here(here, registered, person):
    one = write(here)
    push_rebuilds(here, [one])  # without an origin there is nothing to do
    rebuilt_here = read(here)
    subprocess.run(["git", "init", "--quiet", "--bare", person / "origin.git"], check=True)
    here.git("remote", "add", "origin", str(person / "origin.git"))
    hook = person / "origin.git/hooks/update"
    hook.write_text("#!/bin/sh\necho protected\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Unreachable, match=f"origin does not take {one.name}"):
        push_rebuilds(here, [one])
    assert read(here) == rebuilt_here

    hook.unlink()
    push_rebuilds(here, [one])
    here.git("tag", "-d", one.name)
    fetch_rebuilds(here, MODEL)
    assert read(here) == rebuilt_here
