"""Do the receipts agree, with each other and with origin?"""

import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping

from predictflow.adapters.mlflow_entities import RECEIPT_TAG, VERSION_TAG, Version
from predictflow.audit.finding import FIX, Finding, new_finding
from predictflow.audit.fixes import BringBack, Fetch, Fix, Push
from predictflow.ledger import ledger
from predictflow.ledger.chain import GTO_NAME, UNPROVEN, UNSIGNED, Chain
from predictflow.ledger.origin import Origin, ask_origin, lost_receipts, tag_text, unwritten
from predictflow.ledger.proof import read_both
from predictflow.ledger.rebuilds import read_rebuilds
from predictflow.ledger.receipts import CLOCKS_DIFFER, Tag, in_tag
from predictflow.lineage.project import Project
from stages.tracking.registry import STAGES

DECLARE = "`predictflow audit --declare-gap --reason TEXT`"
OF_ITS_OWN = ("lightweight", "unreadable", "moved", UNPROVEN, UNSIGNED)  # no other tag brings that in order
Recoverable = Mapping[str, Fix]  # {name of a lost receipt: what brings it back}


def receipt_findings(
    project: Project, model: str, by_origin: bool = True
) -> tuple[Chain, list[Finding], bool]:
    """The receipts, what is wrong with them, here and on origin, and whether MLflow should follow them.

    It should not where one is in doubt, or origin may have another; `by_origin` asks it.
    """
    ask = ask_origin if by_origin else lambda *_: None
    read = project.look(lambda: read_both(project.repository, model, ask), None)
    chain, origin = read or (project.chain(model), None)
    project.keep_chain(chain)
    lost = lost_receipts(project.repository, chain, origin)
    asked = by_origin and read is not None
    gone = {name for name, object in lost.items() if not _is_somewhere(project, object, origin, asked)}
    back = {name: BringBack(name, object) for name, object in lost.items() if name not in gone}
    findings = list(_of_chain(chain, back, bool(gone)))
    if origin:
        findings += _of_origin(project, chain, origin, back)
    named = {finding.about for finding in findings}
    named |= {receipt.previous["tag"] for receipt in chain.receipts if receipt.previous}
    for name in sorted(back.keys() - named):
        findings.append(new_finding("receipt", name, f"{name} is missing", "", [back[name]]))
    findings += last_evidence(project, chain, origin, lost)
    whole = read is not None and not findings
    return chain, [*findings, *map(_of_foreign_tag, chain.foreign), *_notes(chain)], whole


def _is_somewhere(project: Project, object: str, origin: Origin | None, asked: bool) -> bool:
    """Whether Git has a lost receipt, here or on origin; also where origin may have it and was not asked."""
    if tag_text(project.repository, object) is not None:
        return True
    return not asked if origin is None else object in {origin.head, *origin.tags.values()}


def _of_chain(chain: Chain, back: Recoverable, gone: bool) -> Iterator[Finding]:
    """What the chain itself tells; what another tag's loss has done to it is mended with that tag.

    Args:
        gone: whether a receipt is lost that neither this clone's Git nor origin has.
    """
    from_a_clone = "`git fetch CLONE 'refs/tags/*:refs/tags/*'` from a clone that has it as it was"
    for damage in chain.damage:
        fixes = [] if damage.kind in OF_ITS_OWN else list(back.values())
        if damage.tag in back:
            fixes = [back[damage.tag]]
        name = shlex.quote(damage.tag)
        removed = f"`git tag -d {name}`, here and on origin"
        if_last = f"if it is the last one, {removed}; else {DECLARE}"
        cure = {
            "lightweight": removed,
            "moved": f"`git tag -d {name}`; `git fetch CLONE tag {name}` from one that has it as it was",
            UNPROVEN: if_last,
            UNSIGNED: if_last,
            "fork": f"`git tag -d` the one that origin has not (`git ls-remote origin`), then {FIX}",
        }.get(damage.kind, f"{from_a_clone}; where none has it, {DECLARE}" if gone else from_a_clone)
        yield new_finding("receipt", damage.tag, f"{damage.tag}: {damage.message}", cure, fixes)


def _of_origin(project: Project, chain: Chain, origin: Origin, back: Recoverable) -> Iterator[Finding]:
    for damage in origin.damage:
        name = shlex.quote(damage.tag)
        push = f"where origin's is wrong: `git push --force origin refs/tags/{name}`"
        cure = f"{push}; else `git tag -d {name}`, then {FIX}"
        fixes = [back[damage.tag]] if damage.tag in back else []
        yield new_finding("receipt", damage.tag, f"{damage.tag}: {damage.message}", cure, fixes)
    for tag in origin.missing:
        message = f"{tag} is on origin and not here (`git fetch --tags`)"
        yield new_finding("origin", tag, message, "", [back.get(tag, Fetch())])
    known = {link.name: link.object for link in chain.links}
    if origin.head and origin.head not in {*known.values(), *origin.tags.values()}:
        message = f"the last receipt that was pushed, {origin.head}, is gone: here, and from origin"
        is_here = tag_text(project.repository, origin.head) is not None
        cure = "`git push origin refs/tags/…` from a clone that has it"
        fixes = list(back.values()) if is_here else [Fetch()]
        yield new_finding("receipt", chain.model, message, cure, fixes)
    there = [object for object in known.values() if object in origin.tags.values()]
    if origin.head in there[:-1]:
        head = f"refs/receipts/{in_tag(chain.model)}"
        message = f"origin's {head} is not its last receipt, {there[-1]}: somebody has moved it back"
        yield new_finding("origin", head, message, f"`git push --force origin {there[-1]}:{head}`")
    by_hand = unwritten(project.repository, chain, origin)
    settled = not (chain.damage or origin.missing or origin.damage or back or by_hand)
    for tag in origin.unpushed:
        if tag in by_hand:
            name = shlex.quote(tag)
            cure = f"`git tag -d {name}`; or, if it is right, `git push origin refs/tags/{name}`"
            yield new_finding("origin", tag, f"{tag} is not on origin, and this clone did not write it", cure)
        elif tag in known:
            cure = "`git push origin` it, when the rest of the chain is whole"
            fixes = [Push()] if settled else []
            yield new_finding("origin", tag, f"{tag} is not on origin", cure, fixes)


def _notes(chain: Chain) -> Iterator[Finding]:
    """Declared gaps, and receipts of a clock that was ahead."""
    for gap in chain.gaps:
        told = " ".join(gap.body["why"].split())
        message = f"{gap.name}: {gap.who} has declared a gap in the receipts on {gap.when}: {told}"
        yield Finding("receipt", gap.name, message, None, note=True)
    for link in chain.links:
        if link.time > time.time() + CLOCKS_DIFFER:
            message = f"{link.name} is dated {link.when}, which is still to come"
            yield Finding("receipt", link.name, message, None, note=True)


def of_rebuilds(project: Project, chain: Chain) -> Iterator[Finding]:
    """Receipts of rebuilds that count for nothing."""
    for receipt in read_rebuilds(project.repository, chain):
        name = receipt.name
        if receipt.broken:
            cure = f"`git tag -d {shlex.quote(name)}`, here and on origin"
            yield Finding("receipt", name, f"{name}: {receipt.broken[0]}", cure)
        elif receipt.unsigned:
            message = f"{name} does not count, by promote.signers: {receipt.unsigned[0]}"
            yield Finding("receipt", name, message, None, note=True)


def last_evidence(
    project: Project, chain: Chain, origin: Origin | None, lost: Iterable[str]
) -> Iterator[Finding]:
    """Receipts that a version of MLflow's names and Git has no more: what is left of a chain whose end was
    deleted everywhere. The tag stays, and MLflow does not follow what is left of the chain."""
    where = "here, and from origin" if origin else "here"
    for name, version in _only_named(project, chain, {*lost, *(origin.tags if origin else [])}).items():
        message = f"the receipt {name}, which {version.name} names, is gone: {where}"
        fetch = "`git fetch CLONE 'refs/tags/*:refs/tags/*'` from a clone that has it"
        cure = f"{fetch}; where nobody ever wrote it, take the tag off {version.name}; else {DECLARE}"
        yield new_finding("receipt", name, message, cure)


def _only_named(project: Project, chain: Chain, elsewhere: Iterable[str]) -> dict[str, Version]:
    """{name of a receipt: the version of MLflow's that names it} of those that Git has no more."""
    model, named = in_tag(chain.model), {}
    known = {*chain.names, *elsewhere}
    behind = {found.tag for found in chain.declared if found.kind == "gap"}
    known |= {link.previous["tag"] for link in chain.links if link.previous and link.name in behind}
    for version in project.versions:
        registered, receipt = version.tags.get(VERSION_TAG, ""), version.tags.get(RECEIPT_TAG, "")
        for end in (f"@{registered}", receipt.removeprefix(model)) if version.model == chain.model else ():
            name = f"{model}{end}"
            if GTO_NAME.fullmatch(end) and name not in known and not chain.declares_gone(name):
                named[name] = version
    return named


def declare_gap(project: Project, model: str, why: str) -> None:
    """Let receipts that are broken for good go on, those too which only MLflow's versions still name.

    Raises UserError as the ledger's does.
    """
    read = project.look(lambda: read_both(project.repository, model, ask_origin), None)
    chain, origin = read or (project.chain(model), None)
    gone = _only_named(project, chain, origin.tags if origin else ())
    ledger.declare_gap(project.repository, model, why, gone)


def _of_foreign_tag(tag: Tag) -> Finding:
    """One in a stage misleads GTO and DVC; any other is but a note."""
    stage = re.search(r"#([\w/-]+?)!?(#\d+)?$", tag.name)
    message = f"{tag.name} of {tag.who} is no receipt: it was made by GTO or by hand"
    if stage is None or stage[1] not in STAGES:
        return Finding("foreign tag", tag.name, message, None, note=True)
    cure = f"`git tag -d {shlex.quote(tag.name)}`, here and on origin"
    return Finding("foreign tag", tag.name, message, cure)
