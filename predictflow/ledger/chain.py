"""The receipts of a model as they follow one another, and what they come to."""

import re
from dataclasses import dataclass, replace

from predictflow.adapters.git import Repository
from predictflow.ledger.damage import damage_of
from predictflow.ledger.receipts import ARCHIVED, REGISTERED, Damage, Receipt, StaleLedger, counter, in_tag
from predictflow.ledger.tags import Tag, read_tags

GTO_NAME = re.compile(
    r"(?:@v(?P<version>\d+)\.\d+\.\d+[^#!]*!?|@deprecated|@created|#[A-Za-z0-9][\w/-]*!?)(?:#(?P<counter>\d+))?"
)


@dataclass(frozen=True)
class Chain:
    """What Git's tags say of a model.

    Attributes:
        receipts: in the order of the chain, the last one last.
        foreign: tags in GTO's naming that are no receipts: GTO made them, by hand. GTO and DVC believe them.
        names: of all tags in GTO's naming, whatever they are; sorted.
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

    @property
    def registrations(self) -> dict[int, Receipt]:
        """{version: the receipt that registers it}."""
        return {receipt.version: receipt for receipt in self.receipts if receipt.action == REGISTERED}

    @property
    def by_content(self) -> dict[str, list[Receipt]]:
        """{content: the receipts that speak of it, in their order}."""
        receipts: dict[str, list[Receipt]] = {}
        for receipt in self.receipts:
            receipts.setdefault(receipt.content, []).append(receipt)
        return receipts

    @property
    def version_numbers(self) -> set[int]:
        """Those that a tag of any kind has registered."""
        parts = (GTO_NAME.fullmatch(name.removeprefix(in_tag(self.model))) for name in self.names)
        return {int(part["version"]) for part in parts if part and part["version"]}

    @property
    def next_counter(self) -> int:
        """One more than the highest of any tag, as GTO counts."""
        return 1 + max(map(counter, self.names), default=0)

    def next_time(self, now: float) -> int:
        """Now, and at least a second after every other tag: GTO goes by their dates. Seconds since 1970."""
        return max([int(now), *(tag.time + 1 for tag in [*self.receipts, *self.foreign])])

    def standing(self, at: float | None = None) -> dict[str, Receipt]:
        """{stage: the receipt that put the version there which stands there now, or stood there at a moment}.

        A new version ends the former one's stay. `at` is in seconds since 1970; that second counts.
        """
        standing: dict[str, Receipt] = {}
        for receipt in self.receipts:
            stage = receipt.stage
            if stage is None or (at is not None and receipt.time > at):
                continue
            if receipt.action != ARCHIVED:
                standing[stage] = receipt
            elif stage in standing and standing[stage].version == receipt.version:
                del standing[stage]
        return standing

    def assigned(self, stage: str) -> list[int]:
        """The versions that GTO holds in a stage, the one that it shows last.

        GTO remembers those before: when the last is taken out, the one before it stands there again. To leave
        a stage empty, write that each was taken out, in this order.
        """
        versions: list[int] = []
        for receipt in self.receipts:
            if receipt.stage == stage:
                versions = [version for version in versions if version != receipt.version]
                if receipt.action != ARCHIVED:
                    versions.append(receipt.version)
        return versions

    def followed_by(self, receipt: Receipt) -> "Chain":
        """The chain with one more receipt at its end."""
        names = sorted([*self.names, receipt.name])
        return replace(self, receipts=[*self.receipts, receipt], names=names)

    def outdated_by(self, held: "Chain") -> StaleLedger:
        """The mistake of writing behind this chain where Git, or origin, holds another one by now."""
        who = held.last.who if held.last and held.last != self.last else "somebody"
        return StaleLedger(
            f"{who} was quicker: {self.model} has a new receipt.\n"
            "Cure: `predictflow history` tells what it says; then run this again."
        )


def read_chain(repository: Repository, model: str) -> Chain:
    """All receipts of a model, in one question to Git, and what is wrong with them."""
    names: list[str] = []
    foreign: list[Tag] = []
    receipts: list[Receipt] = []
    damage: list[Damage] = []
    for fields in read_tags(repository, *tag_patterns(model)):
        tag = Tag.from_fields(fields)
        if not GTO_NAME.fullmatch(tag.name.removeprefix(in_tag(model))):
            continue
        names.append(tag.name)
        if fields["objecttype"] != "tag":
            damage.append(Damage("lightweight", tag.name, "a tag without a message, which GTO passes over"))
            continue
        title, kind = fields["tag"], fields["*objecttype"]
        if title != tag.name or kind != "commit":
            damage.append(Damage("moved", tag.name, f"it was made as {title}, for a {kind}"))
        match Receipt.parse(tag, fields["contents"].removesuffix(fields["contents:signature"])):
            case Receipt() as receipt:
                receipts.append(receipt)
            case Damage() as unreadable:
                damage.append(unreadable)
            case None:
                foreign.append(tag)
    receipts = _ordered(receipts)
    return Chain(model, receipts, foreign, names, damage + damage_of(model, receipts, names))


def tag_patterns(model: str) -> list[str]:
    return [f"refs/tags/{in_tag(model)}{sign}*" for sign in "@#"]


def _ordered(receipts: list[Receipt]) -> list[Receipt]:
    """Each after the one that it names; where that does not decide, by date."""
    waiting = sorted(receipts, key=lambda receipt: (receipt.time, counter(receipt.name), receipt.name))
    left = {receipt.name for receipt in waiting}
    ordered = []
    while waiting:
        ready = (receipt for receipt in waiting if not (receipt.previous and receipt.previous["tag"] in left))
        receipt = next(ready, waiting[0])
        waiting.remove(receipt)
        left.remove(receipt.name)
        ordered.append(receipt)
    return ordered
