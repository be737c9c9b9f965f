"""The registry, the receipts and the runs: what `predictflow audit` finds, summed up in a line."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from predictflow.audit import audit
from predictflow.audit.finding import FINDING_KINDS, RESTORE
from predictflow.audit.fixes import Fix, FixContext
from predictflow.doctor.check import Asked, Check, Group
from predictflow.errors import CouldNotTell, Unreachable
from predictflow.formatting import some_of
from predictflow.lineage.project import Project
from predictflow.lineage.status import store_is_missing
from stages.tracking.store import SQLITE, tracking_uri

GROUP = Group("registry", {"registry": "something-does-not-agree"})
KINDS = 3  # kinds of findings that are told
AUDIT = "`predictflow audit` tells each with its cure"


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    if asked.remote or tracking_uri().startswith(SQLITE):
        yield GROUP.look("registry", lambda: _registry(project))


def _registry(project: Project) -> Check:
    """By Git's objects themselves and not by the index of its history: it is to decide."""
    project = Project.enter(project.repository.folder)
    model = project.require_model()
    receipts = project.chain(model).receipts
    if store_is_missing(project):
        if receipts:
            return GROUP.problem("registry", f"{len(receipts)} receipts, and MLflow's store is lost", RESTORE)
        return GROUP.warning("registry", "nothing is registered yet: there is no store", "`dvc repro`")
    findings = [finding for finding in audit.find_all(project, model) if not finding.note]
    if findings:
        kinds = Counter(FINDING_KINDS[finding.kind] for finding in findings)
        told = some_of([f"{count} {kind}" for kind, count in kinds.items()], KINDS)
        fixes = [AuditFix()] if any(finding.fixable for finding in findings) else []
        return GROUP.problem("registry", f"does not agree with receipts and bytes: {told}", AUDIT, fixes)
    if project.unseen:
        return GROUP.unknown("registry", project.unseen[0], AUDIT)
    versions = len([version for version in project.versions if version.model == model])
    if not versions and not receipts:
        return GROUP.warning("registry", "nothing is registered yet", "`dvc repro`")
    return GROUP.ok("registry", f"{versions} versions and {len(receipts)} receipts agree with their bytes")


@dataclass(frozen=True)
class AuditFix(Fix):
    """Mend what `predictflow audit --fix` mends."""

    name = "audit --fix"

    def apply(self, context: FixContext) -> str:
        if not context.model:
            raise CouldNotTell("the model's name cannot be read")
        done = audit.mend(context.project, context.model)
        if done.failed:
            raise Unreachable("; ".join([*done.mended, *done.failed]))
        return "; ".join(done.mended)
