"""The receipts of a model as they follow one another, and what they come to."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile

from predictflow.adapters.git import Repository
from predictflow.ledger.damage import damage_of
from predictflow.ledger.declared import DeclaredGap, gap_prefix
from predictflow.ledger.receipts import ARCHIVED, REGISTERED, Damage, Receipt, StaleLedger, counter, in_tag
from predictflow.ledger.signatures import Signers
from predictflow.ledger.tags import Tag, read_tags

UNPROVEN, UNSIGNED = "unproven", "unsigned"  # the damage that `proof` finds
GONE = "gone"  # that of a receipt which only MLflow's versions still name
# Damage of where a receipt stands in the chain, not of what it says.
OF_PLACE = ("gap", "misdated", "unregistered")
GTO_NAME = re.compile(
    r"(?:@v(?P<version>\d+)\.\d+\.\d+[^#!]*!?|@deprecated|@created|#[A-Za-z0-9][\w/-]*!?)(?:#(?P<counter>\d+))?"
)


@dataclass(frozen=True)
class Chain:
    """What Git's tags say of a model.

    Attributes:
        links: receipts and declared gaps in the order of the chain, the last one last.
        foreign: tags in GTO's naming that are no receipts: GTO made them, by hand. GTO and DVC believe them.
        names: of all tags in GTO's naming, whatever they are, and of declared gaps; sorted.
        damage: what is wrong; empty for a chain that holds.
        declared: what is wrong before a declared gap, and named by it.
        signers: whose receipts count; None where anybody's do.
        noted: the id of the last receipt that this clone has written, or read when all was whole.
    """

    model: str
    links: list[Receipt | DeclaredGap]
    foreign: list[Tag]
    names: list[str]
    damage: list[Damage]
    declared: list[Damage] = field(default_factory=list)
    signers: Signers | None = None
    noted: str | None = None

    @cached_property
    def receipts(self) -> list[Receipt]:
        return [link for link in self.links if isinstance(link, Receipt)]

    @property
    def gaps(self) -> list[DeclaredGap]:
        return [link for link in self.links if isinstance(link, DeclaredGap)]

    @property
    def last(self) -> Receipt | DeclaredGap | None:
        return self.links[-1] if self.links else None

    @property
    def doubtful(self) -> set[str]:
        """The names of receipts that stand for nothing: they do not follow from what Git holds, or are signed
        by nobody who counts, or a gap was declared because they are not what they were."""
        names = {damaged.tag for damaged in self.damage if damaged.kind in (UNPROVEN, UNSIGNED)}
        return names | {damaged.tag for damaged in self.declared if damaged.kind not in OF_PLACE}

    def declares(self, damage: Damage, object: str | None) -> bool:
        """Whether a gap was declared that names what is wrong with a tag.

        Args:
            object: the id of the tag; None where it is gone.
        """
        damaged = {found.tag for found in [*self.damage, *self.declared]}
        return any(gap.names(damage, object) for gap in self.gaps if gap.name not in damaged)

    def declares_gone(self, name: str) -> bool:
        """Whether a gap was declared for a receipt which only MLflow's versions still name."""
        return self.declares(Damage(GONE, name, ""), None)

    def until(self, at: float | None) -> list[Receipt]:
        """The receipts up to a moment, in seconds since 1970; that second counts.

        The chain's order decides: what follows a receipt was not written before it, whatever its date says.
        """
        links = takewhile(lambda link: at is None or link.time <= at, self.links)
        return [link for link in links if isinstance(link, Receipt)]

    def believed(self, at: float | None = None) -> list[Receipt]:
        """Those of them that are not doubtful."""
        doubtful = self.doubtful
        return [receipt for receipt in self.until(at) if receipt.name not in doubtful]

    @property
    def registrations(self) -> dict[int, Receipt]:
        """{version: the receipt that registers it}."""
        return {receipt.version: receipt for receipt in self.receipts if receipt.action == REGISTERED}

    @property
    def by_content(self) -> dict[str, list[Receipt]]:
        """{content: the receipts that speak of it and are not doubtful, in their order}."""
        receipts: dict[str, list[Receipt]] = {}
        for receipt in self.believed():
            receipts.setdefault(receipt.content, []).append(receipt)
        return receipts

    @property
    def version_numbers(self) -> set[int]:
        """Those that a tag of any kind has registered."""
        parts = (GTO_NAME.fullmatch(name.removeprefix(in_tag(self.model))) for name in self.names)
        return {int(part["version"]) for part in parts if part and part["version"]}

    @property
    def next_counter(self) -> int:
        """One more than the highest of any tag, as GTO counts, also of those that a gap was declared for."""
        declared = (entry["tag"] for gap in self.gaps for entry in gap.body["damage"])
        return 1 + max(map(counter, [*self.names, *declared]), default=0)

    def next_time(self, now: float) -> int:
        """Now, and at least a second after every other tag: GTO goes by their dates. Seconds since 1970."""
        return max([int(now), *(tag.time + 1 for tag in [*self.links, *self.foreign])])

    def standing(self, at: float | None = None) -> dict[str, Receipt]:
        """{stage: the receipt that put the version there which stands there now, or stood there at a moment}.

        A new version ends the former one's stay. `at` is in seconds since 1970; that second counts.
        """
        return standing_after(self.believed(at))

    def assigned(self, stage: str) -> list[int]:
        """The versions that GTO holds in a stage, the one that it shows last.

        GTO remembers those before: when the last is taken out, the one before it stands there again. To leave
        a stage empty, write that each was taken out, in this order.
        """
        return assigned_after(self.receipts, stage)

    def before(self, stage: str) -> list[int]:
        """The versions that were in a stage before the one that is there now, the last one last."""
        return assigned_after(self.believed(), stage)[:-1]

    def followed_by(self, link: Receipt | DeclaredGap) -> "Chain":
        """The chain with one more at its end."""
        return replace(self, links=[*self.links, link], names=sorted([*self.names, link.name]))

    def outdated_by(self, held: "Chain") -> StaleLedger:
        """The mistake of writing behind this chain where Git, or origin, holds another one by now."""
        who = held.last.who if held.last and held.last != self.last else "somebody"
        return StaleLedger(
            f"{who} was quicker: {self.model} has a new receipt.\n"
            "Cure: `predictflow history` tells what it says; then run this again."
        )


def standing_after(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """{stage: the receipt that put the version there which stands there after these}."""
    standing: dict[str, Receipt] = {}
    for receipt in receipts:
        stage = receipt.stage
        if stage is None:
            continue
        if receipt.action != ARCHIVED:
            standing[stage] = receipt
        elif stage in standing and standing[stage].version == receipt.version:
            del standing[stage]
    return standing


def assigned_after(receipts: Iterable[Receipt], stage: str) -> list[int]:
    """The versions that these have put in a stage and not taken out, the one that was put there last as the
    last."""
    versions: list[int] = []
    for receipt in receipts:
        if receipt.stage == stage:
            versions = [version for version in versions if version != receipt.version]
            if receipt.action != ARCHIVED:
                versions.append(receipt.version)
    return versions


def read_chain(repository: Repository, model: str) -> Chain:
    """All receipts of a model, in one question to Git, and what is wrong with them, as far as they tell.

    `proof.read_proven` holds them against the rest of Git too.
    """
    names: list[str] = []
    foreign: list[Tag] = []
    links: list[Receipt | DeclaredGap] = []
    damage: list[Damage] = []
    noted = ""
    for fields in read_tags(repository, *tag_patterns(model), last_ref(model)):
        tag = Tag.from_fields(fields)
        if tag.name == in_tag(model):
            noted, named = tag.object, fields["tag"]
            continue
        of_gap = tag.name.startswith(gap_prefix(model))
        if not (of_gap or GTO_NAME.fullmatch(tag.name.removeprefix(in_tag(model)))):
            continue
        names.append(tag.name)
        if fields["objecttype"] != "tag":
            damage.append(Damage("lightweight", tag.name, "a tag without a message, which GTO passes over"))
            continue
        title, kind = fields["tag"], fields["*objecttype"]
        if title != tag.name or kind != "commit":
            damage.append(Damage("moved", tag.name, f"it was made as {title}, for a {kind}"))
        text = fields["contents"].removesuffix(fields["contents:signature"])
        match DeclaredGap.parse(tag, text) if of_gap else Receipt.parse(tag, text):
            case Receipt() | DeclaredGap() as link:
                links.append(link)
            case Damage() as unreadable:
                damage.append(unreadable)
            case None:
                foreign.append(tag)
    links = _ordered(links)
    if noted and noted not in {link.object for link in links}:
        kind, now = ("altered", "was written anew") if named in names else ("gap", "is missing")
        damage.append(Damage(kind, named, f"the last receipt that this clone knew {now}"))
    return Chain(model, links, foreign, names, damage + damage_of(model, links, names), noted=noted)


def last_ref(model: str) -> str:
    """The ref that holds the last receipt, here and on origin."""
    return f"refs/receipts/{in_tag(model)}"


def tag_patterns(model: str) -> list[str]:
    return [*(f"refs/tags/{in_tag(model)}{sign}*" for sign in "@#"), f"refs/tags/{gap_prefix(model)}*"]


def _ordered(links: list[Receipt | DeclaredGap]) -> list[Receipt | DeclaredGap]:
    """Each after the one that it names; where that does not decide, by date."""
    waiting = sorted(links, key=lambda link: (link.time, counter(link.name), link.name))
    left = {link.name for link in waiting}
    ordered = []
    while waiting:
        ready = (link for link in waiting if not (link.previous and link.previous["tag"] in left))
        link = next(ready, waiting[0])
        waiting.remove(link)
        left.remove(link.name)
        ordered.append(link)
    return ordered
