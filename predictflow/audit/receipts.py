"""Do the receipts agree, with each other and with origin?"""

import re
import shlex
from collections.abc import Iterator, Mapping

from predictflow.adapters.mlflow_entities import RECEIPT_TAG, VERSION_TAG
from predictflow.audit.finding import FIX, Finding, new_finding
from predictflow.audit.fixes import BringBack, Fetch, Fix, Push
from predictflow.ledger.chain import GTO_NAME, Chain
from predictflow.ledger.origin import Origin, ask_origin, lost_receipts, tag_text
from predictflow.ledger.receipts import Tag, in_tag
from predictflow.lineage.project import Project
from predictflow.verification.content import other_provenance
from stages.tracking.registry import STAGES

Recoverable = Mapping[str, Fix]  # {name of a lost receipt: what brings it back}


def receipt_findings(project: Project, chain: Chain) -> tuple[list[Finding], bool]:
    """What is wrong with the receipts, here and on origin; and whether MLflow should follow them.

    It should not where one is in doubt, or origin may have another.
    """
    asked: list[Origin | None] = project.look(lambda: [ask_origin(project.repository, chain.model)], [])
    origin = asked[0] if asked else None
    lost = lost_receipts(project.repository, chain, origin)
    back = {name: BringBack(name, object) for name, object in lost.items()}
    findings = list(_of_chain(chain, back))
    if origin:
        findings += _of_origin(project, chain, origin, back)
    named = {finding.about for finding in findings}
    named |= {receipt.previous["tag"] for receipt in chain.receipts if receipt.previous}
    for name in sorted(back.keys() - named):
        findings.append(new_finding("receipt", name, f"{name} is missing", "", [back[name]]))
    findings += _of_provenance(project, chain)
    findings += _of_evidence(project, chain, origin, back)
    return [*findings, *map(_of_foreign_tag, chain.foreign)], bool(asked) and not findings


def _of_chain(chain: Chain, back: Recoverable) -> Iterator[Finding]:
    """What the chain itself tells; what another tag's loss has done to it is mended with that tag."""
    for damage in chain.damage:
        fixes = [] if damage.kind in ("lightweight", "unreadable", "moved") else list(back.values())
        if damage.tag in back:
            fixes = [back[damage.tag]]
        name = shlex.quote(damage.tag)
        cure = {
            "lightweight": f"`git tag -d {name}`, here and on origin",
            "moved": f"`git tag -d {name}`; `git fetch CLONE tag {name}` from one that has it as it was",
            "fork": f"`git tag -d` the one that origin has not (`git ls-remote origin`), then {FIX}",
        }.get(damage.kind, "`git fetch CLONE 'refs/tags/*:refs/tags/*'` from a clone that has it as it was")
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
    known = {receipt.name: receipt.object for receipt in chain.receipts}
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
    settled = not (chain.damage or origin.missing or origin.damage or back)
    for tag in origin.unpushed:
        if tag in known:
            cure = "`git push origin` it, when the rest of the chain is whole"
            fixes = [Push()] if settled else []
            yield new_finding("origin", tag, f"{tag} is not on origin", cure, fixes)


def _of_provenance(project: Project, chain: Chain) -> Iterator[Finding]:
    """Receipts at a commit whose provenance.json is another than their content."""
    registered = chain.registrations.values()
    names = {(receipt.commit, receipt.content): receipt.name for receipt in registered}
    for where, wrong in other_provenance(project, list(names)).items():
        cure = "no cure: it was written for a commit that is not the version's"
        yield new_finding("receipt", names[where], f"{names[where]}: {wrong}", cure)


def _of_evidence(
    project: Project, chain: Chain, origin: Origin | None, back: Recoverable
) -> Iterator[Finding]:
    """Receipts that a version of MLflow's names and Git has no more: what is left of a chain whose end was
    deleted everywhere. The tag stays, and MLflow does not follow what is left of the chain."""
    model = in_tag(chain.model)
    known = {*chain.names, *back, *(origin.tags if origin else [])}
    where = "here, and from origin" if origin else "here"
    for version in project.versions:
        registered, named = version.tags.get(VERSION_TAG, ""), version.tags.get(RECEIPT_TAG, "")
        for end in (f"@{registered}", named.removeprefix(model)) if version.model == chain.model else ():
            name = f"{model}{end}"
            if GTO_NAME.fullmatch(end) and name not in known:
                message = f"the receipt {name}, which {version.name} names, is gone: {where}"
                fetch = "`git fetch CLONE 'refs/tags/*:refs/tags/*'` from a clone that has it"
                cure = f"{fetch}; where nobody ever wrote it, take the tag off {version.name}"
                yield new_finding("receipt", name, message, cure)


def _of_foreign_tag(tag: Tag) -> Finding:
    """One in a stage misleads GTO and DVC; any other is but a note."""
    stage = re.search(r"#([\w/-]+?)!?(#\d+)?$", tag.name)
    message = f"{tag.name} of {tag.who} is no receipt: it was made by GTO or by hand"
    if stage is None or stage[1] not in STAGES:
        return Finding("foreign tag", tag.name, message, None, note=True)
    cure = f"`git tag -d {shlex.quote(tag.name)}`, here and on origin"
    return Finding("foreign tag", tag.name, message, cure)
