"""The registry, the receipts and the runs: what `predictflow audit` finds, summed up in a line."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from predictflow.audit import audit
from predictflow.audit.finding import FINDING_KINDS, RESTORE
from predictflow.audit.fixes import Fix, FixContext
from predictflow.doctor.check import Asked, Check, Group
from predictflow.errors import Unreachable
from predictflow.formatting import some_of
from predictflow.ledger.origin import origin_url
from predictflow.lineage.project import Project
from predictflow.lineage.status import store_is_missing
from stages.tracking.store import SQLITE, tracking_uri

GROUP = Group("registry", {"registry": "something-does-not-agree"})
KINDS = 3  # kinds of findings that are told
AUDIT = "`predictflow audit` tells each with its cure"


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    if asked.remote or tracking_uri().startswith(SQLITE):
        project = Project.enter(project.repository.folder)  # not by the index of Git's history: it decides
        project.runs.tell = asked.tell
        by_origin = asked.remote or _is_near(project)
        yield GROUP.look("registry", lambda: _registry(project, by_origin))


def _is_near(project: Project) -> bool:
    """Whether origin, if there is one, is a folder."""
    return Path(origin_url(project.repository) or "").is_dir()


def _registry(project: Project, by_origin: bool) -> Check:
    model = project.require_model()
    receipts = project.chain(model).receipts
    if store_is_missing(project):
        if receipts:
            return GROUP.problem("registry", f"{len(receipts)} receipts, and MLflow's store is lost", RESTORE)
        return GROUP.warning("registry", "nothing is registered yet: there is no store", "`dvc repro`")
    findings = [finding for finding in audit.find_all(project, model, by_origin) if not finding.note]
    if findings:
        kinds = Counter(FINDING_KINDS[finding.kind] for finding in findings)
        told = some_of([f"{kind} ({count})" for kind, count in kinds.items()], KINDS)
        fixes = [AuditFix()] if any(finding.fixable for finding in findings) else []
        return GROUP.problem("registry", f"does not agree with receipts and bytes: {told}", AUDIT, fixes)
    if project.unseen:
        return GROUP.unknown("registry", project.unseen[0], AUDIT)
    versions = len([version for version in project.versions if version.model == model])
    if not versions and not receipts:
        return GROUP.warning("registry", "nothing is registered yet", "`dvc repro`")
    beside = "" if by_origin else " (origin was not asked)"
    told = f"versions ({versions}), receipts ({len(receipts)}) and their bytes agree{beside}"
    return GROUP.ok("registry", told)


@dataclass(frozen=True)
class AuditFix(Fix):
    """Mend what `predictflow audit --fix` mends."""

    name = "audit --fix"

    def apply(self, context: FixContext) -> str:
        project = Project.enter(context.project.repository.folder)
        done = audit.mend(project, project.require_model())
        if done.failed:
            raise Unreachable("; ".join([*done.mended, *done.failed]))
        return "; ".join(done.mended) or "`predictflow audit --fix` had nothing left to mend"
