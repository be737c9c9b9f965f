"""Does MLflow's registry say what the receipts say: stages, aliases, tags, one version for one content?"""

from collections.abc import Iterator

from predictflow.adapters.mlflow_entities import RECEIPT_TAG, VERSION_TAG, Version
from predictflow.audit.finding import FIRST_RECEIPTS, FIX, RESTORE, Finding, new_finding
from predictflow.audit.fixes import DropAlias, DropTag, Fix, Move, SetTag
from predictflow.errors import masked
from predictflow.ledger.chain import Chain
from predictflow.ledger.receipts import Receipt, in_tag
from predictflow.lineage.project import Project
from stages.tracking.registry import STAGES, RegistryStage
from stages.tracking.store import own_artifacts, tracking_uri


def check_stage(project: Project, chain: Chain, stage: str, ledger_is_whole: bool) -> Iterator[Finding]:
    """How a stage of MLflow's, and its alias, differ from what the receipts say.

    Args:
        ledger_is_whole: whether MLflow should follow the receipts.
    """
    versions = versions_of(project, chain.model)
    inside = [version for version in versions if version.stage == STAGES[stage]]
    aliased = [version for version in versions if stage in version.aliases]
    holders, receipt = _holders(project, chain), chain.standing().get(stage)
    holder = holders[stage]
    said = (
        f"the receipt puts content {receipt.body['content']} in {stage}"
        if receipt
        else f"no receipt puts a version in {stage}"
    )
    if inside != ([holder] if holder else []):
        moves: list[Fix] = []
        if holder:  # who was there is archived
            moves = [Move(holder.number, STAGES[stage])]
        elif not receipt:  # else the registry lacks the version
            moves = [Move(other.number, "Archived") for other in inside if other not in holders.values()]
        fixes = moves if ledger_is_whole and chain.receipts else []
        cure = RESTORE if receipt else f"`predictflow promote {names_of(inside)} --to {stage}`, or archived"
        message = f"{said}; MLflow has {names_of(inside)} there"
        cure = cure if ledger_is_whole else FIRST_RECEIPTS
        yield new_finding("stage", f"{chain.model}@{stage}", message, cure, fixes)
    if holder and not (receipt and holder.content == receipt.content):
        message = f"{holder.name} is in {STAGES[stage]}, where register puts a new version; {said}"
        cure = f"`predictflow promote {holder.name} --to {stage}`"
        yield Finding("not promoted", holder.name, message, cure, note=True)
    if aliased != inside:
        message = f"MLflow's alias {stage} is on {names_of(aliased)}, not on what its stage holds"
        can_fix = ledger_is_whole and (holder or chain.receipts)
        fix = Move(holder.number, STAGES[stage]) if holder else DropAlias(stage)
        about = f"{chain.model}@{stage}"
        yield new_finding("alias", about, message, FIRST_RECEIPTS, [fix] if can_fix else [])


def versions_of(project: Project, model: str) -> list[Version]:
    return [version for version in project.versions if version.model == model]


def names_of(versions: list[Version]) -> str:
    return " and ".join(version.name for version in versions) or "no version"


def _holders(project: Project, chain: Chain) -> dict[str, Version | None]:
    """{stage: the version that should be in it}.

    What the receipts say; but register puts a version that nobody has promoted yet in Staging, and there it
    stays until one is promoted.
    """
    versions = versions_of(project, chain.model)
    spoken_of = {receipt.content for receipt in chain.receipts if receipt.stage}
    standing = chain.standing()
    holders: dict[str, Version | None] = {}
    for stage in STAGES:
        inside = [version for version in versions if version.stage == STAGES[stage]]
        content = standing[stage].content if stage in standing else None
        # One that is there already comes first: several may be of one content.
        same = [version for version in versions if content and version.content == content]
        same.sort(key=lambda version: (version.stage != STAGES[stage], version.number))
        holders[stage] = same[0] if same else None
        new = [version for version in inside if version.content not in spoken_of]
        if stage == RegistryStage.STAGING.alias and holders[stage] not in inside and new:
            aliased = [version for version in new if stage in version.aliases]
            holders[stage] = max(aliased or new, key=lambda version: version.number)
    return holders


def check_tags(project: Project, chain: Chain, ledger_is_whole: bool) -> Iterator[Finding]:
    """Versions of receipts that the registry lacks, and tags of versions that name other receipts."""
    versions = versions_of(project, chain.model)
    receipts = chain.by_content
    for content, (first, *_) in receipts.items():
        if not any(version.content == content for version in versions):
            message = f"no version of the registry has content {content}, of which {first.name} tells"
            yield new_finding("version", f"version {first.version}", message, RESTORE)
    standing = {receipt.content: receipt for receipt in chain.standing().values()}
    for version in versions if ledger_is_whole else ():
        content = version.content or ""
        wanted = _receipt_tags(version, receipts.get(content, []), standing.get(content))
        for tag, value in wanted.items():
            if version.tags.get(tag) != value and not _of_gone(chain, tag, version.tags.get(tag, "")):
                has, said = version.tags.get(tag) or "none", value or "none"
                message = f"the tag {tag} of {version.name} is {has}, by the receipts {said}"
                yield new_finding("tag", version.name, message, "", [tag_fix(version, tag, value)])


def _of_gone(chain: Chain, tag: str, value: str) -> bool:
    """Whether a tag of a version names a receipt that a gap was declared for: that evidence stays."""
    return chain.declares_gone(f"{in_tag(chain.model)}@{value}" if tag == VERSION_TAG else value)


def check_numbers(project: Project, chain: Chain) -> Iterator[Finding]:
    """Versions that have another number than their receipts tell. A server gives out its own."""
    for content, versions in project.versions_with.items():
        receipts = chain.by_content.get(content or "", [])
        own = [version for version in versions if version.model == chain.model]
        if own and receipts and receipts[0].version not in {version.number for version in own}:
            message = f"{own[0].name} is version {receipts[0].version} by its receipts"
            cure = RESTORE if own_artifacts() else None
            yield Finding("number", own[0].name, message, cure, note=cure is None)


def _receipt_tags(
    version: Version, receipts: list[Receipt], standing: Receipt | None
) -> dict[str, str | None]:
    """{tag: what it should be, None for not there} of those by which a version names its receipts."""
    tags: dict[str, str | None] = {VERSION_TAG: f"v{receipts[0].version}.0.0" if receipts else None}
    if standing:
        tags[RECEIPT_TAG] = standing.name
    elif version.tags.get(RECEIPT_TAG) not in {None, *(receipt.name for receipt in receipts)}:
        tags[RECEIPT_TAG] = receipts[-1].name if receipts else None
    return tags


def tag_fix(version: Version, tag: str, value: str | None) -> Fix:
    return DropTag(version.number, tag) if value is None else SetTag(version.number, tag, value)


def check_duplicates(project: Project, model: str) -> Iterator[Finding]:
    """Several versions of one content."""
    registered: dict[str, list[Version]] = {}
    for version in versions_of(project, model):
        registered.setdefault(version.content or version.name, []).append(version)
    for content, versions in registered.items():
        if len(versions) > 1:
            message = f"content {content} is registered more than once: {names_of(versions)}"
            where = masked(tracking_uri())
            cure = f"delete all but one in `mlflow ui --backend-store-uri {where}`, then {FIX}"
            yield new_finding("duplicate", names_of(versions), message, cure)
