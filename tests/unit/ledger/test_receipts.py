"""Receipts form a chain that GTO and DVC read, that one writer at a time goes on with, and that shows every
damage."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from predictflow.adapters.git import Repository
from predictflow.errors import Unreachable
from predictflow.formatting import moment
from predictflow.ledger.chain import read_chain
from predictflow.ledger.ledger import Ledger, remove_receipts
from predictflow.ledger.origin import ask_origin, fetch_receipts, origin_url, push_receipts
from predictflow.ledger.receipts import Receipt, StaleLedger
from stages.support.errors import UserError
from tests.people.ledger import MODEL, append, draft, git, put, rewrite
from tests.people.processes import at_the_same_moment
from tests.people.project import REPOSITORY, environment

# Pushes what origin lacks.
PUSHER = """
from pathlib import Path
from predictflow.adapters.git import Repository
from predictflow.ledger.origin import push_receipts
push_receipts(Repository(Path.cwd()), "churn-predictor")
"""

# One writer of two: reads the chain, says so, and writes when it is told to.
WRITER = """
import sys
from pathlib import Path
from predictflow.adapters.git import Repository
from predictflow.ledger.ledger import Ledger
from predictflow.ledger.receipts import ReceiptDraft, StaleLedger
ledger = Ledger.open(Repository(Path.cwd()), "churn-predictor")
print("ready", flush=True)
sys.stdin.readline()
try:
    last = ledger.chain.last
    ledger.append([ReceiptDraft("promoted", 1, last.commit, last.body, sys.argv[1])])
except StaleLedger as error:
    sys.exit(str(error))
"""


@pytest.fixture
def chain(here: Repository, templates: Path) -> list[Receipt]:
    """Two versions, the second in Production after the first, and the first in Staging and out of it."""
    shutil.copytree(templates / "chain", here.root, dirs_exist_ok=True)
    return read_chain(here, MODEL).receipts


@pytest.fixture
def origin(here: Repository, person: Path) -> tuple[Repository, Repository]:
    """Two clones of one origin, with version 1 registered."""
    put(here, "registered", 1)
    subprocess.run(["git", "clone", "--quiet", "--bare", here.root, person / "origin.git"], check=True)
    made = []
    for name in ("one", "two"):
        subprocess.run(["git", "clone", "--quiet", person / "origin.git", person / name], check=True)
        made.append(Repository(person / name))
    one, two = made
    return one, two


def names(repository: Repository, model: str = MODEL) -> list[str]:
    return [receipt.name for receipt in read_chain(repository, model).receipts]


def test_a_receipt_is_what_git_says_and_names_the_one_before_it(here: Repository, chain: list[Receipt]):
    read = read_chain(here, MODEL)
    assert read.receipts == chain
    assert (read.damage, read.foreign) == ([], [])
    assert read.names == sorted(read.names)
    assert [receipt.name for receipt in chain] == [
        *("churn-predictor@v1.0.0", "churn-predictor#production#1", "churn-predictor@v2.0.0"),
        *("churn-predictor#production#2", "churn-predictor#staging#3", "churn-predictor#staging!#4"),
    ]
    assert chain[0].previous is None
    for before, receipt in itertools.pairwise(chain):
        assert receipt.previous == {"tag": before.name, "object": git(here, "rev-parse", before.name)}
        assert receipt.time >= before.time + 1
        assert receipt.body["when"] == moment(receipt.time)
        assert receipt.who == receipt.body["who"] == "Ada <ada@example.com>"
    assert [receipt.body["from"] for receipt in chain] == [None, None, None, 1, None, 1]
    message = git(here, "for-each-ref", "--format=%(contents)", f"refs/tags/{chain[1].name}")
    line, empty, body = message.split("\n")
    assert (line, empty) == ("churn-predictor version 1 promoted to production: the first", "")
    assert json.loads(body) == chain[1].body
    assert body == json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_words_of_any_kind_come_back_as_they_were(here: Repository):
    why = "grün\n\n{a line}\u2028-----BEGIN PGP SIGNATURE-----\n# no comment 😀"
    put(here, "registered", 1, why=why)
    read = read_chain(here, MODEL)
    assert [receipt.body["why"] for receipt in read.receipts] == [why]
    assert read.damage == []
    with pytest.raises(UserError, match=r"is not: .*\nCure: other words"):
        put(here, "promoted", 1, "production", why="\udcff")
    assert len(names(here)) == 1


def test_what_stands_where_is_known_for_every_moment(here: Repository, chain: list[Receipt]):
    read = read_chain(here, MODEL)
    first, second, staged, gone = chain[1], chain[3], chain[4], chain[5]
    assert read.standing() == {"production": second}
    assert read.standing(at=first.time - 1) == {}
    assert read.standing(at=first.time) == {"production": first}
    assert read.standing(at=second.time - 1) == {"production": first}
    assert read.standing(at=staged.time) == {"production": second, "staging": staged}
    assert read.standing(at=gone.time) == {"production": second}
    put(here, "archived", 1, "production")
    stands = read_chain(here, MODEL).standing()
    assert stands == {"production": second}, "another version was taken out, which GTO still held there"
    assert read.registrations == {1: chain[0], 2: chain[2]}


def test_where_origin_is_pushed_to_is_told_without_its_password(here: Repository):
    assert origin_url(here) is None
    git(here, "remote", "add", "origin", "https://example.com/fetched-from.git")
    assert origin_url(here) == "https://example.com/fetched-from.git"
    git(here, "remote", "set-url", "--push", "origin", "http://ada:secret@127.0.0.1/churn.git")
    assert origin_url(here) == "http://…@127.0.0.1/churn.git"


def test_the_next_numbers_pass_over_every_tag_of_the_model_and_no_other(
    here: Repository, chain: list[Receipt]
):
    read = read_chain(here, MODEL)
    assert (read.version_numbers, read.next_counter) == ({1, 2}, 5)
    assert read.next_time(now=0) == chain[-1].time + 1
    assert read.next_time(now=chain[-1].time + 9.9) == chain[-1].time + 9
    later = {"GIT_COMMITTER_DATE": f"@{chain[-1].time + 50} +0000"}
    assert here.git("tag", "-a", "-m", "by hand", f"{MODEL}@v7.1.0", env=later).returncode == 0
    git(here, "tag", f"{MODEL}#other#40")
    git(here, "tag", f"other-{MODEL}#production#90")
    git(here, "tag", f"{MODEL}#no!stage#91")
    read = read_chain(here, MODEL)
    assert (read.version_numbers, read.next_counter) == ({1, 2, 7}, 41)
    assert read.next_time(now=0) == chain[-1].time + 51


def test_another_model_has_a_chain_of_its_own(here: Repository, chain: list[Receipt]):
    put(here, "registered", 1, model="gym-churn")
    put(here, "promoted", 1, "production", model="gym-churn")
    assert names(here, "gym-churn") == ["gym-churn@v1.0.0", "gym-churn#production#1"]
    assert read_chain(here, "gym-churn").damage == []
    assert read_chain(here, MODEL).receipts == chain
    assert read_chain(here, "churn").names == []
    with pytest.raises(UserError, match="cannot be part of a tag's name"):
        put(here, "registered", 1, model="gym churn")


# --- Damage: each is found, where it is, and what is whole is not blamed --------------------------------

PRODUCTION = "churn-predictor#production#1"
NEXT = "churn-predictor@v2.0.0"
LAST = "churn-predictor#staging!#4"


def to_another_commit(here: Repository) -> str:
    return git(here, "rev-parse", "main")


def no_message(here: Repository) -> None:
    git(here, "tag", f"{MODEL}#production#5")


def spaced(here: Repository) -> None:
    body = {one.name: one.body for one in read_chain(here, MODEL).receipts}[PRODUCTION]
    rewrite(here, PRODUCTION, message=f"words\n\n{json.dumps(body, sort_keys=True)}\n")


def renamed(here: Repository) -> None:
    git(here, "update-ref", f"refs/tags/{MODEL}#production#5", f"refs/tags/{PRODUCTION}")


def dated_back(here: Repository) -> None:
    time = read_chain(here, MODEL).receipts[0].time - 100
    rewrite(here, LAST, date=time, when=moment(time))


def made_with(name: str, **changed: object) -> Callable[[Repository], None]:
    return lambda here: rewrite(here, name, **changed)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (made_with(PRODUCTION, why="another reason"), {("altered", PRODUCTION)}),
        (made_with(PRODUCTION, message="words\n\n{}\n"), {("unreadable", PRODUCTION), ("gap", NEXT)}),
        (spaced, {("unreadable", PRODUCTION), ("gap", NEXT)}),
        (made_with(PRODUCTION, receipt=2), {("unreadable", PRODUCTION), ("gap", NEXT)}),
        (made_with(PRODUCTION, version="1"), {("unreadable", PRODUCTION), ("gap", NEXT)}),
        (made_with(PRODUCTION, stage=["production"]), {("unreadable", PRODUCTION), ("gap", NEXT)}),
        (
            made_with(PRODUCTION, previous={"tag": [], "object": {}}),
            {("unreadable", PRODUCTION), ("gap", NEXT)},
        ),
        (made_with(PRODUCTION, message="Assigning stage\n"), {("gap", NEXT)}),
        (lambda here: git(here, "tag", "-d", PRODUCTION), {("gap", NEXT)}),
        (lambda here: rewrite(here, LAST, at=to_another_commit(here)), {("moved", LAST)}),
        (made_with(LAST, when="2020-01-01T00:00:00Z"), {("misdated", LAST)}),
        (dated_back, {("misdated", LAST)}),
        (made_with(LAST, who="Eve <eve@example.com>"), {("altered", LAST)}),
        (made_with(LAST, stage="production"), {("altered", LAST)}),
        (made_with(LAST, content="another"), {("altered", LAST)}),
        (made_with(LAST, version=3), {("unregistered", LAST)}),
        (
            made_with(LAST, to=f"{MODEL}#staging!#5"),
            {("fork", LAST), ("fork", f"{MODEL}#staging!#5")},
        ),
        (no_message, {("lightweight", f"{MODEL}#production#5")}),
    ],
    ids=[
        *("a body edited", "a body emptied", "JSON in another form", "a later layout", "a value of no sense"),
        *("a list of stages", "a previous one that is none"),
        *("a body gone", "one deleted", "one moved", "its date not its own", "dated back", "another writer"),
        *("another stage", "another content", "never registered", "a fork", "lightweight"),
    ],
)
def test_damage_is_found_where_it_is(here: Repository, chain: list[Receipt], damage, found):
    damage(here)
    told = read_chain(here, MODEL).damage
    assert {(one.kind, one.tag) for one in told} == found


def test_a_tag_under_another_name_is_found(here: Repository, chain: list[Receipt]):
    renamed(here)
    told = {(one.kind, one.tag) for one in read_chain(here, MODEL).damage}
    copy = f"{MODEL}#production#5"
    assert told == {("moved", copy), ("fork", copy), ("fork", PRODUCTION)}


def test_who_stood_where_goes_by_the_chains_order_whatever_a_date_says(
    here: Repository, chain: list[Receipt]
):
    """The second promotion is dated before the first, behind which it was written."""
    first, second = chain[1], chain[3]
    rewrite(here, second.name, date=first.time - 50, when=moment(first.time - 50))
    read = read_chain(here, MODEL)
    assert ("misdated", second.name) in {(one.kind, one.tag) for one in read.damage}
    assert [receipt.name for receipt in read.until(first.time)] == [chain[0].name, first.name]
    assert read.until(chain[0].time) == [chain[0]]


def test_a_broken_chain_is_read_in_its_own_order(here: Repository, chain: list[Receipt]):
    dated_back(here)
    assert names(here) == [receipt.name for receipt in chain]


def test_a_tag_that_gto_made_is_listed_and_stands_for_nothing(here: Repository, chain: list[Receipt]):
    here.git("tag", "-a", "-m", "Assigning stage production", f"{MODEL}#production#5")
    read = read_chain(here, MODEL)
    assert [tag.name for tag in read.foreign] == [f"{MODEL}#production#5"]
    assert read.damage == []
    assert read.standing()["production"] == chain[3]


# --- One writer at a time -------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [["production", "production"], ["production", "staging"]], ids=" ".join)
def test_of_two_writers_in_one_clone_one_wins_and_the_other_leaves_nothing(here: Repository, stages):
    put(here, "registered", 1)
    env = environment(Path.home()) | {"PYTHONPATH": str(REPOSITORY)}
    writers = [([sys.executable, "-c", WRITER, stage], here.root, env) for stage in stages]
    (won, _), (lost, said) = sorted(at_the_same_moment(writers))
    assert (won, lost) == (0, 1), said
    assert "was quicker" in said
    assert len(names(here)) == 2
    assert read_chain(here, MODEL).damage == []


def test_a_receipt_that_cannot_be_written_leaves_nothing(here: Repository, monkeypatch: pytest.MonkeyPatch):
    git(here, "config", "gpg.program", "false")
    with pytest.raises(UserError, match="cannot be written"):
        put(here, "registered", 1, sign=True)
    for name in ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name)
    git(here, "config", "user.useConfigOnly", "true")
    with pytest.raises(UserError, match=r"Git does not know who you are(.|\n)*Cure: `git config user.name"):
        put(here, "registered", 1)
    assert names(here) == []


def test_what_was_just_written_is_taken_back_and_nothing_else(here: Repository, chain: list[Receipt]):
    remove_receipts(here, {receipt.name: receipt.object for receipt in chain[-2:]})
    assert read_chain(here, MODEL).receipts == chain[:-2]
    rewrite(here, NEXT, why="somebody else's by now")
    with pytest.raises(UserError):
        remove_receipts(here, {receipt.name: receipt.object for receipt in chain[1:3]})
    assert len(names(here)) == 4


# --- origin ---------------------------------------------------------------------------------------------


def test_of_two_clones_the_second_to_push_is_refused_and_goes_on_after_a_fetch(origin):
    one, two = origin
    slower = Ledger.open(two, MODEL)
    in_production = append(one, ("promoted", 1, "production"))
    with pytest.raises(StaleLedger, match="was quicker"):  # of another name, and after the same receipt
        slower.append([draft(two, "promoted", 1, "staging")])
    assert names(two) == ["churn-predictor@v1.0.0"]
    assert fetch_receipts(two, MODEL).missing == [in_production.name]
    assert read_chain(two, MODEL).receipts == read_chain(one, MODEL).receipts
    append(two, ("promoted", 1, "staging"))
    assert fetch_receipts(one, MODEL).damage == []
    assert names(one) == [*names(two)] == [*(names(one)[:2]), "churn-predictor#staging#2"]
    assert read_chain(one, MODEL).damage == []


def test_of_two_pushes_at_the_same_moment_origin_takes_one(origin, person):
    one, two = origin
    winner = put(one, "promoted", 1, "production")
    (person / "pusher.py").write_text(PUSHER)
    first = person / "first"  # runs after `two` has looked at origin, and before its own push
    push = f"PYTHONPATH={REPOSITORY} {sys.executable} {person}/pusher.py"
    first.write_text(f'#!/bin/sh\n(unset GIT_DIR; cd {one.root}; {push}) >&2\nexec git-receive-pack "$@"\n')
    first.chmod(0o755)
    git(two, "config", "remote.origin.receivepack", str(first))
    with pytest.raises(StaleLedger):
        append(two, ("promoted", 1, "staging"))
    assert names(two) == ["churn-predictor@v1.0.0"]
    assert fetch_receipts(two, MODEL).head == winner.object
    assert names(two) == ["churn-predictor@v1.0.0", winner.name]


def test_receipts_that_origin_refuses_are_taken_back_all_of_them(origin, person):
    one, _ = origin
    hook = person / "origin.git/hooks/update"
    hook.write_text('#!/bin/sh\ncase "$1" in *production*) echo protected; exit 1;; esac\n')
    hook.chmod(0o755)
    with pytest.raises(UserError, match=r"origin does not take the receipt(.|\n)*protected"):
        append(one, ("registered", 2), ("promoted", 2, "production"))
    assert names(one) == names(Repository(person / "origin.git")) == ["churn-predictor@v1.0.0"]
    hook.unlink()
    append(one, ("registered", 2), ("promoted", 2, "production"))
    assert names(Repository(person / "origin.git")) == names(one)


def test_receipts_from_before_there_was_an_origin_go_along(here: Repository, chain, person):
    assert ask_origin(here, MODEL) is None
    push_receipts(here, MODEL)
    subprocess.run(["git", "init", "--quiet", "--bare", person / "late.git"], check=True)
    git(here, "remote", "add", "origin", str(person / "late.git"))
    assert ask_origin(here, MODEL).unpushed == sorted(names(here))
    append(here, ("promoted", 1, "staging"))
    assert names(Repository(person / "late.git")) == names(here)


def test_an_origin_out_of_reach_takes_the_receipt_back(origin, person):
    one, _ = origin
    ledger = Ledger.open(one, MODEL)
    shutil.rmtree(person / "origin.git")
    with pytest.raises(Unreachable, match="origin cannot be read"):
        fetch_receipts(one, MODEL)
    with pytest.raises(UserError, match="Cure: `git fetch origin` must work"):
        ledger.append([draft(one, "promoted", 1, "production")])
    assert names(one) == ["churn-predictor@v1.0.0"]


def test_a_tag_written_anew_on_origin_is_told_and_not_taken_over(origin, person):
    one, _ = origin
    before = read_chain(one, MODEL)
    rewrite(Repository(person / "origin.git"), "churn-predictor@v1.0.0", why="another")
    told = fetch_receipts(one, MODEL)
    assert [(found.kind, found.tag) for found in told.damage] == [("rewritten", "churn-predictor@v1.0.0")]
    assert read_chain(one, MODEL) == before
    with pytest.raises(UserError, match="not the same on origin as here: churn-predictor@v1"):
        append(one, ("promoted", 1, "production"))
    assert read_chain(one, MODEL) == before


def test_a_last_receipt_that_was_deleted_everywhere_is_missed_by_origin(origin, person):
    one, two = origin
    last = append(one, ("promoted", 1, "production"))
    git(Repository(person / "origin.git"), "tag", "-d", last.name)
    assert fetch_receipts(two, MODEL).head == last.object
    assert last.object not in {receipt.object for receipt in read_chain(two, MODEL).receipts}
    with pytest.raises(StaleLedger):
        append(two, ("promoted", 1, "staging"))


def test_a_ledger_asks_origin_once_and_says_who_was_quicker(origin, monkeypatch: pytest.MonkeyPatch):
    one, two = origin
    slower = Ledger.open(two, MODEL)
    asked, run = [], Repository.git
    monkeypatch.setattr(
        Repository, "git", lambda self, *words, **more: asked.append(words[0]) or run(self, *words, **more)
    )
    ledger = Ledger.open(one, MODEL)
    ledger.append([draft(one, "registered", 2), draft(one, "promoted", 2, "production")])
    ledger.append([draft(one, "promoted", 1, "staging")])
    ledger.ensure_current()
    assert asked.count("ls-remote") == 2, "to open it, and to ensure that it is current"
    assert ledger.chain == read_chain(one, MODEL)
    with pytest.raises(StaleLedger, match=r"^Ada <ada@example\.com> was quicker"):
        slower.ensure_current()
    assert names(two) == names(one)


# --- The tools that people have -------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen to make a key with")
def test_a_signed_receipt_is_read_like_any_other_and_git_verifies_it(here: Repository, person: Path):
    key = person / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (person / "signers").write_text(f"ada@example.com {key.with_suffix('.pub').read_text()}")
    git(here, "config", "gpg.format", "ssh")
    git(here, "config", "user.signingkey", str(key))
    git(here, "config", "gpg.ssh.allowedSignersFile", str(person / "signers"))
    put(here, "registered", 1, sign=True, why="-----BEGIN SSH SIGNATURE-----")
    put(here, "promoted", 1, "production")
    read = read_chain(here, MODEL)
    assert read.damage == []
    assert [(bool(receipt.signature), receipt.version) for receipt in read.receipts] == [
        (True, 1),
        (False, 1),
    ]
    assert here.git("verify-tag", "churn-predictor@v1.0.0").returncode == 0
    assert here.git("verify-tag", "churn-predictor#production#1").returncode != 0
