"""The receipts of a model as they follow one another: what is wrong with them, and what they come to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from predictflow.adapters.git import Repository
from predictflow.formatting import Json, moment
from predictflow.ledger.receipts import (
    ARCHIVED,
    REGISTERED,
    Receipt,
    Tag,
    counter,
    in_tag,
    parse_body,
    summary,
    tag_name,
)

GTO_NAME = re.compile(
    r"(?:@v(?P<version>\d+)\.\d+\.\d+[^#!]*!?|@deprecated|@created|#[A-Za-z0-9][\w/-]*!?)(?:#(?P<counter>\d+))?"
)
TAG_FIELDS = (
    *("refname:strip=2", "objecttype", "objectname", "*objecttype", "*objectname", "tag", "taggerdate:unix"),
    *("taggername", "taggeremail", "contents", "contents:signature"),
)
LOOKS_LIKE_ONE = re.compile(r"^\{", re.MULTILINE)  # a message that was not GTO's own


@dataclass(frozen=True)
class Damage:
    """Something that is wrong with a chain.

    Attributes:
        kind: unreadable, altered, moved, misdated, gap, fork, unregistered, lightweight or rewritten.
        tag: where it is seen.
        told: what is wrong, in words.
    """

    kind: str
    tag: str
    told: str


@dataclass(frozen=True)
class Chain:
    """What Git's tags say of a model.

    Attributes:
        receipts: in the order of the chain, the last one last.
        foreign: tags in GTO's naming that are no receipts: GTO made them, by hand. GTO and DVC believe them.
        names: of all tags in GTO's naming, whatever they are.
        damage: what is wrong; empty for a chain that holds.
    """

    model: str
    receipts: list[Receipt]
    foreign: list[Tag]
    names: list[str]
    damage: list[Damage]

    @property
    def last(self) -> Receipt | None:
        return self.receipts[-1] if self.receipts else None


def read_chain(repository: Repository, model: str) -> Chain:
    """All receipts of a model, in one question to Git, and what is wrong with them."""
    form = "".join(f"%({field})%00" for field in TAG_FIELDS)
    told = repository.read("for-each-ref", f"--format={form}", *tag_patterns(model)).split("\0")
    names, tags, receipts, damage = [], [], [], []
    for start in range(0, len(told) - 1, len(TAG_FIELDS)):
        name, kind, object, of, commit, title, date, *who, text, signature = told[
            start : start + len(TAG_FIELDS)
        ]
        name = name.removeprefix("\n")
        if not GTO_NAME.fullmatch(name.removeprefix(in_tag(model))):
            continue
        names.append(name)
        if kind != "tag":
            damage.append(Damage("lightweight", name, "a tag without a message, which GTO passes over"))
            continue
        tag = Tag(name, object, commit, int(date or 0), " ".join(who), bool(signature))
        if title != name or of != "commit":
            damage.append(Damage("moved", name, f"it was made as {title}, for a {of}"))
        text = text.removesuffix(signature)
        body = parse_body(text)
        if body is not None:
            receipts.append(Receipt(**vars(tag), body=body))
        elif LOOKS_LIKE_ONE.search(text):
            damage.append(Damage("unreadable", name, "its message is no receipt: not canonical JSON"))
        else:
            tags.append(tag)
    receipts = _ordered(receipts)
    return Chain(model, receipts, tags, names, damage + damage_of(model, receipts, names))


def tag_patterns(model: str) -> list[str]:
    return [f"refs/tags/{in_tag(model)}{sign}*" for sign in "@#"]


def _ordered(receipts: list[Receipt]) -> list[Receipt]:
    """Each after the one that it names; where that does not decide, by date."""
    waiting = sorted(receipts, key=lambda receipt: (receipt.time, counter(receipt.name), receipt.name))
    left = {receipt.name for receipt in waiting}
    ordered = []
    while waiting:
        ready = (one for one in waiting if not (one.previous and one.previous["tag"] in left))
        receipt = next(ready, waiting[0])
        waiting.remove(receipt)
        left.remove(receipt.name)
        ordered.append(receipt)
    return ordered


def damage_of(model: str, receipts: list[Receipt], names: list[str]) -> list[Damage]:
    """What is wrong with a chain, as far as its own tags tell.

    That its last receipts were deleted, or written anew by somebody who knew how, cannot be seen here:
    `ask` compares them with origin's, and a signature says who wrote one.

    Args:
        names: of all tags of the model, readable or not.
    """
    known = {receipt.name: receipt for receipt in receipts}
    followers: dict[str | None, set[str]] = {}
    registered: dict[int, Receipt] = {}
    found = []
    for receipt in receipts:
        previous = receipt.previous
        followers.setdefault(previous and previous["object"], set()).add(receipt.name)
        if receipt.action == REGISTERED:
            registered[receipt.version] = receipt
        found += _of_itself(model, receipt)
        found += _of_its_version(receipt, registered.get(receipt.version))
        if previous:
            found += _of_its_place(receipt, previous, known.get(previous["tag"]), names)
    for same in followers.values():
        for name in sorted(same) if len(same) > 1 else ():
            others = ", ".join(sorted(same - {name}))
            found.append(Damage("fork", name, f"it follows the same receipt as {others}"))
    return found


def _of_itself(model: str, receipt: Receipt) -> Iterator[Damage]:
    """Where a receipt's body and its tag do not say the same."""
    name, body = receipt.name, receipt.body
    if body["model"] != model or tag_name(body, counter(name)) != name:
        yield Damage("altered", name, f"its body is of another tag: {summary(body)}")
    if body["who"] != receipt.who:
        yield Damage("altered", name, f"its body says {body['who']} wrote it, its tag says {receipt.who}")
    if body["commit"] != receipt.commit:
        yield Damage(
            "moved", name, f"it is at commit {receipt.commit[:10]}, its body says {body['commit'][:10]}"
        )
    if body["when"] != moment(receipt.time):
        yield Damage("misdated", name, f"its date is {moment(receipt.time)}, its body says {body['when']}")


def _of_its_version(receipt: Receipt, registration: Receipt | None) -> Iterator[Damage]:
    if registration is None:
        told = f"no receipt before it registers version {receipt.version}"
        yield Damage("unregistered", receipt.name, told)
    elif any(receipt.body[key] != registration.body[key] for key in ("commit", "content")):
        yield Damage("altered", receipt.name, f"it has another commit or content than {registration.name}")


def _of_its_place(
    receipt: Receipt, previous: Json, before: Receipt | None, names: list[str]
) -> Iterator[Damage]:
    """Where a receipt does not follow the one that it names."""
    if before is None:
        gone = "is no receipt any more" if previous["tag"] in names else "is missing"
        yield Damage("gap", receipt.name, f"the receipt before it, {previous['tag']}, {gone}")
        return
    if before.object != previous["object"]:
        yield Damage("altered", before.name, f"it was written anew after {receipt.name}, which names another")
    if receipt.time <= before.time:
        yield Damage("misdated", receipt.name, f"it is not younger than the one before it, {before.name}")


def standing_receipts(receipts: list[Receipt], at: float | None = None) -> dict[str, Receipt]:
    """{stage: the receipt that put the version there which stands there now, or stood there at a moment}.

    A new version ends the former one's stay. `at` is in seconds since 1970; that second counts.
    """
    found: dict[str, Receipt] = {}
    for receipt in receipts:
        stage = receipt.stage
        if stage is None or (at is not None and receipt.time > at):
            continue
        if receipt.action != ARCHIVED:
            found[stage] = receipt
        elif stage in found and found[stage].version == receipt.version:
            del found[stage]
    return found


def assigned_versions(receipts: list[Receipt], stage: str) -> list[int]:
    """The versions that GTO holds in a stage, the one that it shows last.

    GTO remembers those before: when the last is taken out, the one before it stands there again. To leave a
    stage empty, write that each was taken out, in this order.
    """
    found: list[int] = []
    for receipt in receipts:
        if receipt.stage == stage:
            found = [version for version in found if version != receipt.version]
            found += [receipt.version] * (receipt.action != ARCHIVED)
    return found


def registrations(receipts: list[Receipt]) -> dict[int, Receipt]:
    """{version: the receipt that registers it}."""
    return {receipt.version: receipt for receipt in receipts if receipt.action == REGISTERED}


def version_numbers(chain: Chain) -> set[int]:
    """Those that a tag of any kind has registered."""
    parts = (GTO_NAME.fullmatch(name.removeprefix(in_tag(chain.model))) for name in chain.names)
    return {int(part["version"]) for part in parts if part and part["version"]}


def next_counter(chain: Chain) -> int:
    """One more than the highest of any tag, as GTO counts."""
    return 1 + max(map(counter, chain.names), default=0)


def next_time(chain: Chain, now: float) -> int:
    """Now, and at least a second after every other tag: GTO goes by their dates. Seconds since 1970."""
    return max([int(now), *(tag.time + 1 for tag in [*chain.receipts, *chain.foreign])])
