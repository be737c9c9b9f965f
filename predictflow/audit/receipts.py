"""Do the receipts agree, with each other and with origin?"""

import re
import shlex
from collections.abc import Iterator

from predictflow.audit.finding import FIX, Finding, Step, new_finding
from predictflow.ledger.chain import Chain, registrations
from predictflow.ledger.origin import Origin, ask_origin, lost_receipts, tag_text
from predictflow.lineage.project import Project
from predictflow.verification.content import other_provenance
from stages.tracking.registry import STAGES


def receipt_findings(project: Project, chain: Chain) -> tuple[list[Finding], bool]:
    """What is wrong with the receipts, here and on origin; and whether MLflow should follow them.

    It should not where one is in doubt, or origin may have another.
    """
    asked = project.look(lambda: [ask_origin(project.repository, chain.model)], [])
    origin = asked[0] if asked else None
    lost = lost_receipts(project.repository, chain, origin)
    back = {name: ("bring back", name, object) for name, object in lost.items()}
    found = list(_damage(chain, back))
    if origin:
        found += _of_origin(project, chain, origin, back)
    told = {one.about for one in found} | {one.previous["tag"] for one in chain.receipts if one.previous}
    for name in sorted(back.keys() - told):
        found.append(new_finding("receipt", name, f"{name} is missing", "", [back[name]]))
    held = {(one.commit, one.body["content"]): one.name for one in registrations(chain.receipts).values()}
    for where, wrong in other_provenance(project, list(held)).items():
        cure = "no cure: it was written for a commit that is not the version's"
        found.append(new_finding("receipt", held[where], f"{held[where]}: {wrong}", cure))
    sound = bool(asked) and not found
    for tag in chain.foreign:
        stage = re.search(r"#([\w/-]+?)!?(#\d+)?$", tag.name)
        told = f"{tag.name} of {tag.who} is no receipt: it was made by GTO or by hand"
        known = bool(stage) and stage[1] in STAGES
        cure = f"`git tag -d {shlex.quote(tag.name)}`, here and on origin"
        found.append(Finding("foreign tag", tag.name, told, cure if known else None, note=not known))
    return found, sound


def _damage(chain: Chain, back: dict[str, Step]) -> Iterator[Finding]:
    """What the chain itself tells; what another tag's loss has done to it is mended with that tag."""
    for damage in chain.damage:
        alone = damage.kind in ("lightweight", "unreadable", "moved")
        steps = [back[damage.tag]] if damage.tag in back else [] if alone else list(back.values())
        name = shlex.quote(damage.tag)
        cure = {
            "lightweight": f"`git tag -d {name}`, here and on origin",
            "moved": f"`git tag -d {name}`; `git fetch CLONE tag {name}` from one that has it as it was",
            "fork": f"`git tag -d` the one that origin has not (`git ls-remote origin`), then {FIX}",
        }.get(damage.kind, "`git fetch CLONE 'refs/tags/*:refs/tags/*'` from a clone that has it as it was")
        yield new_finding("receipt", damage.tag, f"{damage.tag}: {damage.told}", cure, steps)


def _of_origin(project: Project, chain: Chain, origin: Origin, back: dict[str, Step]) -> Iterator[Finding]:
    for damage in origin.damage:
        name = shlex.quote(damage.tag)
        cure = (
            f"where origin's is wrong: `git push --force origin refs/tags/{name}`; else `git tag -d {name}`"
        )
        steps = [back[damage.tag]] if damage.tag in back else []
        yield new_finding("receipt", damage.tag, f"{damage.tag}: {damage.told}", f"{cure}, then {FIX}", steps)
    for name in origin.missing:
        yield new_finding(
            "origin",
            name,
            f"{name} is on origin and not here (`git fetch --tags`)",
            "",
            [back.get(name, ("fetch",))],
        )
    known = {receipt.name: receipt.object for receipt in chain.receipts}
    if origin.head not in {None, *known.values(), *origin.tags.values()}:
        told = f"the last receipt that was pushed, {origin.head}, is gone: here, and from origin"
        here = tag_text(project.repository, origin.head) is not None
        steps = list(back.values()) if here else [("fetch",)]
        cure = "`git push origin refs/tags/…` from a clone that has it"
        yield new_finding("receipt", chain.model, told, cure, steps)
    settled = not (chain.damage or origin.missing or origin.damage or back)
    for name in origin.unpushed:
        if name in known:
            cure = "`git push origin` it, when the rest of the chain is whole"
            yield new_finding(
                "origin", name, f"{name} is not on origin", cure, [("push",)] if settled else []
            )
