"""A receipt is believed as far as it follows from what Git holds, and a forged one stands for nothing.

Where signers are listed, only their receipts count. A declared gap lets a broken chain go on."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from predictflow.adapters.git import Repository
from predictflow.ledger.chain import Chain, read_chain
from predictflow.ledger.decisions import COMPARED, COMPARISON_KEYS
from predictflow.ledger.ledger import Ledger, declare_gap
from predictflow.ledger.origin import ask_origin, fetch_receipts
from predictflow.ledger.proof import read_proven
from predictflow.ledger.receipts import Receipt
from predictflow.promotion.policy import Comparison
from stages.support.errors import UserError
from tests.people.ledger import MODEL, PARAMS, append, draft, git, list_signers, put, rewrite

LAST = "churn-predictor#production#2"
NOT_FORCED = {"passed": False, "against": ["all is well"]}


@pytest.fixture
def chain(here: Repository, templates: Path) -> Chain:
    """Version 2 is in Production, after version 1; nobody is in Staging."""
    shutil.copytree(templates / "chain", here.root, dirs_exist_ok=True)
    return read_proven(here, MODEL)


def forge(here: Repository, version: int = 1, action: str = "promoted", why: str = "", **changed) -> Receipt:
    """Write the next receipt of Production; what is changed of its decision, or of its facts, is named."""
    one = draft(here, action, version, "production")
    facts, decision = dict(one.facts), one.facts["decision"]
    for path, value in changed.items():
        names = path.split("__")
        where = facts if names[0] in facts else decision
        for name in names[:-1]:
            where = where[name]
        where[names[-1]] = value
    ledger = Ledger(here, read_chain(here, MODEL), None)
    return ledger.append([replace(one, facts=facts)], why=why or None)[0]


def test_what_is_whole_is_believed(here: Repository, chain: Chain):
    assert (chain.damage, chain.declared) == ([], [])
    assert chain.standing()["production"].version == 2
    forge(here)
    forge(here, 2, "rolled back")
    forge(here, **NOT_FORCED, forced=True, why="it must be today")
    forge(here, 2, "rolled back", **NOT_FORCED, forced=True)  # which a person asks for in any case
    assert read_proven(here, MODEL).damage == []


def low(**changed: object) -> dict[str, object]:
    return {f"numbers__comparison__{name}": value for name, value in changed.items()}


@pytest.mark.parametrize(
    ("forged", "field"),
    [
        # Version 1 comes back with the decision of its first promotion, when nobody was in production.
        ({"numbers__comparison": None}, "decision.numbers.comparison: there is none"),
        ({"decision": None}, "decision: there is none"),
        (NOT_FORCED, "decision.forced"),
        ({"numbers__metrics__roc_auc": 0.99}, "decision.numbers.metrics.roc_auc: it is 0.99"),
        ({"numbers__metrics": {}}, "decision.numbers.metrics.roc_auc"),
        ({"numbers__settings__margin": 0.5}, "decision.numbers.settings"),
        ({"numbers__settings__gate": {}}, "decision.numbers.settings"),
        ({"numbers__settings": {}}, "decision.numbers.settings"),
        ({"numbers": {}}, "decision.numbers"),
        ({"reasons": None}, "decision.reasons"),
        ({"reasons": []}, "decision.passed"),
        ({"passed": False}, "decision.passed"),
        ({"forced": True}, "decision.forced"),
        (NOT_FORCED | {"forced": True}, "decision.forced: it is, without a reason"),
        (NOT_FORCED | {"forced": True, "forcible": False, "why": "anyhow"}, "decision.forced: nothing can"),
        (
            {"numbers__comparison": {"champion": "churn-predictor/2"}},
            "decision.numbers.comparison: its fields",
        ),
        (low(low=-0.2), "decision.passed: it is true, but"),
        (low(low=None), "decision.numbers.comparison.low"),
        (low(difference=0.2), "decision.numbers.comparison.difference"),
        (low(why_not="its index is gone"), "decision.numbers.comparison.customers"),
        (low(content="f" * 32), "decision.numbers.comparison.content"),
        (low(same=True, **dict.fromkeys([*COMPARED, "why_not"])), "decision.numbers.comparison.content"),
        ({"md5s": {}}, "md5s: that of models/churn-predictor/model.ubj"),
        ({"version": 2, "action": "rolled back"}, "version: 2 is not who was in production before"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_forged_receipt_is_found_by_its_field_and_stands_for_nothing(
    here: Repository, chain: Chain, forged: dict, field: str
):
    forged = dict(forged)
    receipt = forge(here, **forged)
    found = read_proven(here, MODEL)
    assert [(one.kind, one.tag) for one in found.damage] == [("unproven", receipt.name)]
    assert found.damage[0].message.startswith(field), found.damage[0].message
    assert found.standing()["production"].name == LAST
    with pytest.raises(UserError, match="the receipts of churn-predictor are broken"):
        Ledger.open(here, MODEL)


def test_a_missed_bar_is_not_passed_and_a_wrong_champion_is_none(here: Repository, chain: Chain):
    """The policy is a strict one, which a commit has; the numbers of version 1 miss it."""
    (here.root / "params.yaml").write_text(PARAMS.replace("roc_auc: 0.6", "roc_auc: 0.9"))
    git(here, "commit", "--quiet", "--all", "-m", "a strict bar")
    forge(here, numbers__settings__gate={"minimum": {"roc_auc": 0.9}})
    (found,) = read_proven(here, MODEL).damage
    assert found.message.startswith("decision.passed: it is true, but roc_auc 0.71 misses the minimum 0.9")


def test_who_was_there_before_is_what_the_receipts_say(here: Repository, chain: Chain):
    receipt = forge(here)
    rewrite(here, receipt.name, **{"from": 1})
    (found,) = read_proven(here, MODEL).damage
    assert (found.tag, found.message) == (receipt.name, "from: it is 1, by the receipts before it 2")


def test_a_registration_is_of_the_content_that_its_commit_has(here: Repository, chain: Chain):
    one = draft(here, "registered", 3)
    facts = {**one.facts, "content": "f" * 32}
    (receipt,) = Ledger(here, read_chain(here, MODEL), None).append([replace(one, facts=facts)])
    (found,) = read_proven(here, MODEL).damage
    assert found.tag == receipt.name and found.message.startswith(f"content: it is {'f' * 32}, by models/")


def test_the_fields_of_a_comparison_are_those_that_a_promotion_writes():
    assert set(Comparison.__dataclass_fields__) == COMPARISON_KEYS


# --- Signatures -----------------------------------------------------------------------------------------


def test_where_signers_are_listed_only_their_receipts_count(here: Repository, sign):
    list_signers(here, f"ada@example.com {sign('ada')}")
    put(here, "registered", 1, sign=True)
    first = put(here, "promoted", 1, "production", sign=True)
    put(here, "registered", 2, sign=True)
    assert read_proven(here, MODEL).damage == []
    sign("eve")
    forged = put(here, "promoted", 2, "production", sign=True)
    found = read_proven(here, MODEL)
    assert [(one.kind, one.tag) for one in found.damage] == [("unsigned", forged.name)]
    assert "no good signature of a key that promote.signers lists" in found.damage[0].message
    assert found.standing()["production"] == first
    rewrite(here, forged.name)  # unsigned
    assert [one.kind for one in read_proven(here, MODEL).damage] == ["unsigned"]


def test_a_receipt_is_signed_where_signers_are_listed_and_by_another_key_it_is_not_written(
    here: Repository, sign
):
    list_signers(here, f"ada@example.com {sign('ada')}")
    Ledger.open(here, MODEL).append([draft(here, "registered", 1)])
    assert read_proven(here, MODEL).damage == []
    sign("eve")
    with pytest.raises(UserError, match=r"does not count, by promote.signers (.|\n)*Cure: sign with a key"):
        Ledger.open(here, MODEL).append([draft(here, "promoted", 1, "production")])
    assert len(read_proven(here, MODEL).receipts) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda here: (here.root / "signers").unlink(),
        lambda here: (here.root / "params.yaml").write_text("<<<<<<<\n"),
        lambda here: (here.root / "params.yaml").write_text(f"{PARAMS}  signers: [signers]\n"),
    ],
    ids=["no file", "no YAML", "no path"],
)
def test_signers_that_cannot_be_read_let_no_receipt_count(here: Repository, sign, spoil):
    list_signers(here, f"ada@example.com {sign('ada')}")
    put(here, "registered", 1, sign=True)
    spoil(here)
    git(here, "commit", "--quiet", "--all", "-m", "spoiled")
    here.__dict__.pop("head", None)
    assert [one.kind for one in read_proven(here, MODEL).damage] == ["unsigned"]


def test_signers_are_those_of_origins_default_branch_whatever_lies_here(here: Repository, person: Path, sign):
    key = sign("ada")
    subprocess.run(["git", "clone", "--quiet", "--bare", here.root, person / "origin.git"], check=True)
    git(here, "remote", "add", "origin", str(person / "origin.git"))
    put(here, "registered", 1)
    other = person / "other"
    subprocess.run(["git", "clone", "--quiet", person / "origin.git", other], check=True)
    list_signers(Repository(other), f"ada@example.com {key}")
    git(Repository(other), "push", "--quiet", "origin", "main")
    assert read_proven(here, MODEL, ask_origin(here, MODEL).default).damage != [], "asked, origin says so"
    with pytest.raises(UserError, match="no good signature"):
        Ledger.open(here, MODEL)


# --- What this clone did not write ----------------------------------------------------------------------


@pytest.fixture
def origin(here: Repository, chain: Chain, person: Path) -> Repository:
    subprocess.run(["git", "clone", "--quiet", "--bare", here.root, person / "origin.git"], check=True)
    git(here, "remote", "add", "origin", str(person / "origin.git"))
    Ledger.open(here, MODEL)
    git(here, "push", "--quiet", "origin", f"refs/tags/{LAST}:refs/receipts/{MODEL}")
    return Repository(person / "origin.git")


def test_a_receipt_that_was_made_by_hand_is_pushed_by_nobody(here: Repository, origin: Repository):
    receipt = forge(here)
    rewrite(here, receipt.name, why="by hand")
    assert read_proven(here, MODEL).damage == [], "it follows from all that Git holds"
    with pytest.raises(UserError, match=rf"this clone did not write {receipt.name}(.|\n)*`git tag -d"):
        Ledger.open(here, MODEL)
    assert receipt.name not in ask_origin(here, MODEL).tags


# --- Declared gaps --------------------------------------------------------------------------------------


def test_a_chain_that_is_broken_for_good_goes_on_behind_a_declared_gap(here: Repository, origin: Repository):
    for repository in (here, origin):
        git(repository, "tag", "-d", "churn-predictor@v2.0.0")
        git(repository, "gc", "--quiet", "--prune=now")
    with pytest.raises(UserError, match="are broken"):
        Ledger.open(here, MODEL)
    gap = declare_gap(here, MODEL, "a disk was lost")
    assert (gap.name, gap.body["why"]) == ("churn-predictor/gap/1", "a disk was lost")
    found = read_proven(here, MODEL)
    assert found.damage == []
    assert {(one.kind, one.tag) for one in found.declared} == {("gap", LAST), ("unregistered", LAST)}
    assert found.standing()["production"].name == LAST, "which says of itself what it is"
    last = append(here, ("promoted", 1, "production"))
    assert last.previous == {"tag": gap.name, "object": gap.object}
    found = read_proven(here, MODEL)
    assert (found.damage, found.standing()["production"]) == ([], last)
    assert fetch_receipts(here, MODEL).head == last.object
    git(here, "tag", "-d", "churn-predictor#staging#3")
    assert [one.kind for one in read_proven(here, MODEL).damage] == ["gap"], "what was not declared is told"


@pytest.mark.parametrize(
    "edit", [{"decision": None}, low(content="f" * 32)], ids=["of itself", "of its place"]
)
def test_a_forged_receipt_before_a_declared_gap_never_counts(here: Repository, chain: Chain, edit: dict):
    forged = forge(here, **edit)
    declare_gap(here, MODEL, "it was pushed, and others follow it")
    found = read_proven(here, MODEL)
    assert (found.damage, [one.tag for one in found.declared]) == ([], [forged.name])
    assert found.standing()["production"].name == LAST
    rewrite(here, forged.name, why="edited after that")
    assert {one.tag for one in read_proven(here, MODEL).damage} == {forged.name}


def test_a_gap_is_declared_only_where_one_is(here: Repository, chain: Chain):
    with pytest.raises(UserError, match="are whole: there is no gap"):
        declare_gap(here, MODEL, "for fun")
    git(here, "tag", "-d", "churn-predictor@v2.0.0")
    with pytest.raises(UserError, match=r"can be brought back(.|\n)*audit --fix"):
        declare_gap(here, MODEL, "its tag is lost, and Git still has it")


def test_a_declared_gap_is_signed_where_signers_are_listed(here: Repository, chain: Chain, sign):
    """Receipts from before there were signers are declared, once; then those are written anew that matter."""
    list_signers(here, f"ada@example.com {sign('ada')}")
    sign("eve")
    with pytest.raises(UserError, match="does not count"):
        declare_gap(here, MODEL, "mine")
    sign("ada")
    gap = declare_gap(here, MODEL, "signatures count from here on")
    found = read_proven(here, MODEL)
    assert (found.damage, found.standing(), bool(gap.signature)) == ([], {}, True)
    last = Ledger.open(here, MODEL).append([draft(here, "promoted", 2, "production")])[0]
    assert read_proven(here, MODEL).standing() == {"production": last}
