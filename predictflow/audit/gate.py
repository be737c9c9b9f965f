"""What speaks against deploying a model: one that stands in a stage, or any that is asked for."""

import re
from collections.abc import Iterator

from predictflow.adapters.mlflow_entities import Version
from predictflow.audit.bytes import check_run, content_mismatches
from predictflow.audit.receipts import receipt_findings
from predictflow.audit.registry import check_stage
from predictflow.errors import CouldNotTell
from predictflow.formatting import Json
from predictflow.ledger.chain import Chain
from predictflow.ledger.receipts import Receipt
from predictflow.lineage.handles import VERSION_HANDLE, Target, ambiguous, find_targets
from predictflow.lineage.project import Project
from predictflow.promotion.transition import registered
from predictflow.verification.content import known_model
from predictflow.verification.mlflow_files import folder_mismatches
from stages.support.errors import UserError
from stages.tracking.registry import STAGES

STAGE_HANDLE = re.compile(
    r"(?:models:/)?(?P<model>[^@#/:]+)[@#](?P<stage>" + "|".join(STAGES) + r")(?P<receipt>#\d+)?"
)


def ask_of_stage(project: Project, handle: str) -> Json:
    """The gate's answer on a stage, or on the receipt by which a version is to stand in it.

    Raises UserError for any other handle, and for a model that has no receipts.
    """
    model, asked = project.require_model(), STAGE_HANDLE.fullmatch(handle)
    if asked is None:
        cure = f"{model}@production, or @staging; `--require production` takes any handle of a model"
        raise UserError(f"{handle} names no stage.\nCure: {cure}.")
    if asked["model"] != model and not project.chain(asked["model"]).names:
        raise UserError(
            f"{handle}: no model {asked['model']} has receipts here.\nCure: {model}@{asked['stage']}."
        )
    return ask_gate(project, asked["model"], asked["stage"], handle if asked["receipt"] else None)


def ask_gate(project: Project, model: str, stage: str, name: str | None = None) -> Json:
    """What speaks against a stage; it passes where nothing does and all could be looked at.

    Args:
        name: of the receipt that must be the one which stands; None for whichever does.
    """
    chain, findings, ledger_is_whole = receipt_findings(project, model)
    against = [
        finding.message
        for finding in findings
        if not finding.note and (finding.kind != "foreign tag" or f"#{stage}" in finding.about)
    ]
    receipt = chain.standing().get(stage)
    if receipt is None:
        against.append(f"no receipt puts a version in {stage}")
    else:
        against += [finding.message for finding in check_stage(project, chain, stage, ledger_is_whole)]
        against += _of_versions(project, chain, stage, receipt)
        if name not in (None, receipt.name):
            against.append(f"{name} does not stand in {stage}: {receipt.name} does")
    return {
        "model": model,
        "stage": stage,
        "version": receipt.version if receipt else None,
        "content": receipt.content if receipt else None,
        "commit": receipt.commit if receipt else None,
        "receipt": receipt.name if receipt else None,
        "against": against,
        "passed": not against and not project.unseen,
        "not_looked_at": project.unseen,
    }


def _of_versions(project: Project, chain: Chain, stage: str, receipt: Receipt) -> Iterator[str]:
    """What speaks against the version that a receipt puts in a stage, where MLflow has it; and that MLflow
    has none, for then nothing was compared."""
    versions = _versions(project, chain.model, stage, receipt.content)
    if not versions:
        yield f"no version in MLflow's {STAGES[stage]} has content {receipt.content}, by {receipt.name}"
    for version in versions:
        for finding in check_run(project, chain, version):
            yield finding.message
        for mismatch in content_mismatches(project, version):
            yield mismatch.message


def _versions(project: Project, model: str, stage: str, content: str) -> list[Version]:
    """Those that MLflow has in a stage, of a content."""
    versions = project.versions_with.get(content, [])
    return [version for version in versions if (version.model, version.stage) == (model, STAGES[stage])]


def require_content(project: Project, stage: str, handle: str) -> Json:
    """The gate's answer on a stage, and what speaks against a handle's being what stands there: it names
    another content (`asked`), or what lies under it, a folder or a version, has other files.

    Raises UserError for a handle that names nothing, CouldNotTell for one that may be another model too.
    """
    answer = ask_gate(project, project.require_model(), stage)
    against, content = answer["against"], answer["content"]
    targets = _targets(project, handle, content)
    asked = {target.model for target in targets}
    if content and not targets:
        differs = f"{handle} is no recorded model, and not {content}, which stands in {stage}"
        against += [differs, *_of_handle(project, handle, content)]
    elif content is None or content not in asked:
        others = " or ".join(sorted(f"content {other}" if other else "no model" for other in asked))
        stands = f"{content} stands" if content else "nothing stands"
        against.append(f"{handle} is {others}, but {stands} in {stage}")
    elif len(asked) > 1 and not against and not (project.start / handle).is_dir():
        raise ambiguous(project, handle, targets)  # of a folder all files are compared: it is each of them
    else:
        against += [message for message in _of_handle(project, handle, content) if message not in against]
    named = asked & {content} or asked
    answer["asked"] = named.pop() if len(named) == 1 else None
    answer["passed"] = not against and not project.unseen
    return answer


def _targets(project: Project, handle: str, content: str | None) -> list[Target]:
    """What a handle names; nothing for an edited folder, with files of the content's names but of no model.
    Raises UserError for any other that names nothing."""
    try:
        return find_targets(project, handle)
    except UserError:
        names = known_model(project, content).files if content else {}
        if not any((project.start / handle / name).is_file() for name in names):
            raise
        return []


def _of_handle(project: Project, handle: str, content: str) -> Iterator[str]:
    """Where the files that a folder or a version has are not those of the content."""
    folder = project.start / handle
    if folder.is_dir():
        for mismatch in folder_mismatches(folder, known_model(project, content), handle):
            yield mismatch.message
    elif VERSION_HANDLE.fullmatch(handle):
        for version in project.versions_with.get(content, []):
            for mismatch in content_mismatches(project, version):
                yield mismatch.message


def admit(project: Project, handle: str) -> Version:
    """The registered version that a handle names, if nothing speaks against handing it out: of a stage the
    gate is asked, any other is compared with what Git, DVC and MLflow have of it.

    Raises UserError with what speaks against it, CouldNotTell where not all could be looked at.
    """
    if STAGE_HANDLE.fullmatch(handle):
        answer = ask_of_stage(project, handle)
        against, model, stage = answer["against"], answer["model"], answer["stage"]
        versions = _versions(project, model, stage, answer["content"])
    else:
        versions = [registered(project, handle)]
        against = [mismatch.message for mismatch in content_mismatches(project, versions[0])]
    if against or project.unseen:
        reasons = [f"  no: {reason}" for reason in against]
        reasons += [f"  not looked at: {reason}" for reason in project.unseen]
        kind = UserError if against else CouldNotTell
        told = "\n".join([f"{handle} is not handed out:", *reasons])
        raise kind(f"{told}\nCure: `predictflow audit` tells what mends it.")
    return versions[0]
