"""Does MLflow's registry say what the receipts say: stages, aliases, tags, one version for one content?"""

from collections.abc import Iterator

from predictflow.adapters.mlflow_entities import RECEIPT_TAG, VERSION_TAG, Run, Version
from predictflow.audit.finding import FIRST_RECEIPTS, FIX, RESTORE, Finding, Step, new_finding
from predictflow.errors import masked
from predictflow.formatting import some_of
from predictflow.ledger.chain import Chain, standing_receipts
from predictflow.ledger.receipts import Receipt
from predictflow.lineage.project import Project
from stages.tracking.registry import STAGES, RegistryStage
from stages.tracking.store import tracking_uri


def check_stage(project: Project, chain: Chain, stage: str, sound: bool) -> Iterator[Finding]:
    """How a stage of MLflow's, and its alias, differ from what the receipts say.

    Args:
        sound: whether MLflow should follow the receipts.
    """
    versions = versions_of(project, chain.model)
    inside = [version for version in versions if version.stage == STAGES[stage]]
    aliased = [version for version in versions if stage in version.aliases]
    holder, receipt = _holders(project, chain)[stage], standing_receipts(chain.receipts).get(stage)
    said = (
        f"the receipt puts content {receipt.body['content']} in {stage}"
        if receipt
        else f"no receipt puts a version in {stage}"
    )
    promoted = holder is None or (receipt is not None and holder.content == receipt.body["content"])
    if inside != ([holder] if holder else []):
        steps = _moves(project, chain, stage, inside) if sound and chain.receipts else []
        cure = RESTORE if receipt else f"`predictflow promote {names_of(inside)} --to {stage}`, or archived"
        told = f"{said}; MLflow has {names_of(inside)} there"
        yield new_finding("stage", f"{chain.model}@{stage}", told, cure if sound else FIRST_RECEIPTS, steps)
    if not promoted:
        told = f"{holder.name} is in {STAGES[stage]}, where register puts a new version; {said}"
        cure = f"`predictflow promote {holder.name} --to {stage}`"
        yield Finding("not promoted", holder.name, told, cure, note=True)
    if aliased != inside:
        told = f"MLflow's alias {stage} is on {names_of(aliased)}, not on what its stage holds"
        steps = [_alias(stage, holder)] if sound and (holder or chain.receipts) else []
        yield new_finding("alias", f"{chain.model}@{stage}", told, FIRST_RECEIPTS, steps)


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
    spoken_of = {receipt.body["content"] for receipt in chain.receipts if receipt.stage}
    standing = standing_receipts(chain.receipts)
    found: dict[str, Version | None] = {}
    for stage in STAGES:
        inside = [version for version in versions if version.stage == STAGES[stage]]
        if stage in standing:
            content = standing[stage].body["content"]
            same = [version for version in versions if version.content == content]
            found[stage] = min(
                same, key=lambda version: (version not in inside, version.number), default=None
            )
        else:
            found[stage] = None
        new = [version for version in inside if version.content not in spoken_of]
        if stage == RegistryStage.STAGING.alias and found[stage] not in inside and new:
            aliased = [version for version in new if stage in version.aliases]
            found[stage] = max(aliased or new, key=lambda version: version.number)
    return found


def _moves(project: Project, chain: Chain, stage: str, inside: list[Version]) -> list[Step]:
    """What lets a stage hold the one version that it should."""
    holders = _holders(project, chain)
    holder = holders[stage]
    if holder:  # who was there is archived
        return [("move", str(holder.number), STAGES[stage])]
    if stage in standing_receipts(chain.receipts):
        return []  # the registry lacks it
    out = [version for version in inside if version not in holders.values()]
    return [("move", str(version.number), "Archived") for version in out]


def _alias(stage: str, holder: Version | None) -> Step:
    return ("move", str(holder.number), STAGES[stage]) if holder else ("drop alias", stage)


def check_tags(project: Project, chain: Chain, sound: bool) -> Iterator[Finding]:
    """Versions of receipts that the registry lacks, and tags of versions that name other receipts."""
    versions = versions_of(project, chain.model)
    standing = {one.body["content"]: one.name for one in standing_receipts(chain.receipts).values()}
    named: dict[str, list[Receipt]] = {}
    for receipt in chain.receipts:
        named.setdefault(receipt.body["content"], []).append(receipt)
    for content, of_it in named.items():
        if not any(version.content == content for version in versions):
            told = f"no version of the registry has content {content}, of which {of_it[0].name} tells"
            yield new_finding("version", f"version {of_it[0].version}", told, RESTORE)
    for version in versions if sound else ():
        of_it = named.get(version.content or "", [])
        wanted: dict[str, str | None] = {VERSION_TAG: f"v{of_it[0].version}.0.0" if of_it else None}
        if version.content in standing:
            wanted[RECEIPT_TAG] = standing[version.content]
        elif version.tags.get(RECEIPT_TAG) not in {None, *(one.name for one in of_it)}:
            wanted[RECEIPT_TAG] = of_it[-1].name if of_it else None
        for tag, value in wanted.items():
            if version.tags.get(tag) != value:
                has, said = version.tags.get(tag) or "none", value or "none"
                told = f"the tag {tag} of {version.name} is {has}, by the receipts {said}"
                yield new_finding("tag", version.name, told, "", [tag_step(version, tag, value)])


def tag_step(version: Version, tag: str, value: str | None) -> Step:
    number = str(version.number)
    return ("drop tag", number, tag) if value is None else ("set tag", number, tag, value)


def check_duplicates(project: Project, model: str) -> Iterator[Finding]:
    """Several versions of one content; several runs that made it are told, for training may be repeated."""
    same: dict[str, list[Version]] = {}
    for version in versions_of(project, model):
        same.setdefault(version.content or version.name, []).append(version)
    for content, versions in same.items():
        if len(versions) > 1:
            told = f"content {content} is registered more than once: {names_of(versions)}"
            where = masked(tracking_uri())
            cure = f"delete all but one in `mlflow ui --backend-store-uri {where}`, then {FIX}"
            yield new_finding("duplicate", names_of(versions), told, cure)
    made: dict[tuple[str, str | None], list[Run]] = {}
    for run in project.all_runs:
        if run.content and run.status == "FINISHED":
            made.setdefault((run.content, run.experiment), []).append(run)
    for (content, _), runs in made.items():
        if len(runs) > 1:
            told = f"content {content} was made by {len(runs)} runs: {some_of([run.id for run in runs])}"
            yield Finding("duplicate", runs[0].id, told, None, note=True)
