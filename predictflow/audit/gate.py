"""What speaks against deploying what stands in a stage."""

from predictflow.audit.bytes import content_mismatches
from predictflow.audit.receipts import receipt_findings
from predictflow.audit.registry import check_stage
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from stages.tracking.registry import STAGES


def ask_gate(project: Project, model: str, stage: str, name: str | None = None) -> Json:
    """What speaks against a stage; it passes where nothing does and all could be looked at.

    Args:
        name: of the receipt that must be the one which stands; None for whichever does.
    """
    chain = project.chain(model)
    findings, ledger_is_whole = receipt_findings(project, chain)
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
        for version in project.versions_with.get(receipt.content, []):
            if version.model == model and version.stage == STAGES[stage]:
                against += [mismatch.message for mismatch in content_mismatches(project, version)]
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
