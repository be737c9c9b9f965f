"""Receipts of rebuilds: one a verdict, numbered by version, told apart from what was tampered with."""

import json
import subprocess

import pytest

from predictflow.adapters.git import Repository
from predictflow.adapters.mlflow_entities import REBUILT_TAG, Version
from predictflow.errors import Unreachable
from predictflow.ledger.chain import read_chain
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
from tests.people.ledger import MODEL, content_of, put

CONTENT = content_of(1)

GIVEN = {
    "verdict": "identical",
    "entries": 140,
    "differs": [],
    "predictions": {"customers": None, "largest": 0.0},
    "inputs": [],
    "environment": "own",
    "requirements": "e" * 32,
    "machine": {"python": "3.11.7", "cpu": "x86_64 Haswell", "threads": "2"},
}


@pytest.fixture
def registered(here: Repository) -> Receipt:
    return put(here, "registered", 1)


def rewrite(here: Repository, one: RebuildReceipt, name: str | None = None, at: str = "", **changed) -> None:
    body = canonical(one.body | changed)
    done = here.git(
        *("tag", "--force", "-a", "-F", "-", "--cleanup=verbatim", name or one.name, at or one.commit),
        given=f"words\n\n{body}\n",
        env={"GIT_COMMITTER_DATE": f"@{one.time} +0000"},
    )
    assert done.returncode == 0, done.stderr


def version(content: str = CONTENT, tag: str = "") -> Version:
    tags = {REBUILT_TAG: tag} if tag else {}
    return Version(MODEL, 1, "None", (), None, 0, tags | {"predictflow.content": content}, "", "")


def test_each_verdict_is_a_tag_on_the_versions_commit_and_no_link_of_the_chain(here, registered):
    second = put(here, "registered", 2)
    before = read_chain(here, MODEL)
    first = write_rebuild(here, registered, GIVEN)
    write_rebuild(here, registered, GIVEN | {"verdict": "different"})
    write_rebuild(here, second, GIVEN)
    told = read_rebuilds(here, MODEL)
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


def test_gto_does_not_take_them_for_its_own(here, registered):
    put(here, "promoted", 1, "production")
    shown = [["gto", "show", "--json"], ["gto", "history", MODEL, "--json"]]
    before = [subprocess.check_output(words, cwd=here.root) for words in shown]
    write_rebuild(here, registered, GIVEN)
    assert [subprocess.check_output(words, cwd=here.root) for words in shown] == before
    assert MODEL in json.loads(before[0])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"version": 3}, "its body is of version 3"),
        ({"who": "Eve <eve@example.com>"}, "its who is Ada"),
        ({"when": "2020-01-01T00:00:00Z"}, "its when is 20"),
        ({"at": "HEAD"}, "its commit is "),
        ({"name": f"{MODEL}/rebuilt/v2.0.0/1"}, "its body is of version 1"),
    ],
    ids=["another version", "another writer", "another date", "moved", "renamed"],
)
def test_one_that_was_edited_is_told_and_counts_for_nothing(here, registered, changed, told):
    one = write_rebuild(here, registered, GIVEN)
    here.git("tag", "-d", one.name)
    rewrite(here, one, **changed)
    (read,) = read_rebuilds(here, MODEL)
    assert read.broken[0].startswith(told)
    assert newest_verdict(here, version()) is None
    assert recorded_machine([read], CONTENT) == {}


def test_a_tag_that_is_none_is_passed_over(here, registered):
    here.git("tag", f"{MODEL}/rebuilt/v1.0.0/1")
    here.git("tag", "-a", "-m", "words", f"{MODEL}/rebuilt/v1.0.0/7")
    assert read_rebuilds(here, MODEL) == []
    assert write_rebuild(here, registered, GIVEN).name == f"{MODEL}/rebuilt/v1.0.0/8"


def test_the_last_verdict_counts_wherever_it_is_written(here, registered):
    assert newest_verdict(here, version()) is None
    assert newest_verdict(here, version(tag="by hand")) is None
    assert newest_verdict(here, version(tag="identical yesterday")) is None
    of_tag = ("same predictions", 1767225600)
    assert newest_verdict(here, version(tag="same predictions 2026-01-01T00:00:00Z")) == of_tag
    one = write_rebuild(here, registered, GIVEN)
    assert newest_verdict(here, version(tag="different 2020-01-01T00:00:00Z")) == ("identical", one.time)
    assert newest_verdict(here, version(tag="different 2090-01-01T00:00:00Z"))[0] == "different"
    assert newest_verdict(here, version("another content")) is None


def test_a_machine_is_that_of_the_last_rebuild_that_was_identical(here, registered):
    write_rebuild(here, registered, GIVEN)
    write_rebuild(here, registered, GIVEN | {"verdict": "different", "machine": {"threads": "8"}})
    told = read_rebuilds(here, MODEL)
    assert recorded_machine(told, CONTENT) == GIVEN["machine"]
    assert recorded_machine(told, "content 2") == {}


def test_origin_gets_and_gives_them_and_a_refusal_leaves_them_here(here, registered, person):
    one = write_rebuild(here, registered, GIVEN)
    push_rebuilds(here, [one])  # without an origin there is nothing to do
    rebuilt_here = read_rebuilds(here, MODEL)
    subprocess.run(["git", "init", "--quiet", "--bare", person / "origin.git"], check=True)
    here.git("remote", "add", "origin", str(person / "origin.git"))
    hook = person / "origin.git/hooks/update"
    hook.write_text("#!/bin/sh\necho protected\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Unreachable, match=f"origin does not take {one.name}"):
        push_rebuilds(here, [one])
    assert read_rebuilds(here, MODEL) == rebuilt_here

    hook.unlink()
    push_rebuilds(here, [one])
    here.git("tag", "-d", one.name)
    fetch_rebuilds(here, MODEL)
    assert read_rebuilds(here, MODEL) == rebuilt_here
