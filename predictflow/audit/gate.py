"""What speaks against deploying what stands in a stage."""

from collections.abc import Iterator

from predictflow.audit.bytes import check_run, content_mismatches
from predictflow.audit.receipts import receipt_findings
from predictflow.audit.registry import check_stage
from predictflow.formatting import Json
from predictflow.ledger.chain import Chain
from predictflow.ledger.receipts import Receipt
from predictflow.lineage.project import Project
from stages.tracking.registry import STAGES


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
    versions = [
        version
        for version in project.versions_with.get(receipt.content, [])
        if version.model == chain.model and version.stage == STAGES[stage]
    ]
    if not versions:
        yield f"no version in MLflow's {STAGES[stage]} has content {receipt.content}, by {receipt.name}"
    for version in versions:
        for finding in check_run(project, chain, version):
            yield finding.message
        for mismatch in content_mismatches(project, version):
            yield mismatch.message
