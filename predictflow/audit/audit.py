"""All that does not agree: receipts, registry, store and bytes. Nothing is changed here."""

from collections.abc import Iterator

from predictflow.audit.bytes import check_runs, check_version
from predictflow.audit.finding import FINDING_KINDS, Finding, new_finding
from predictflow.audit.fixes import DropIndex
from predictflow.audit.receipts import receipt_findings
from predictflow.audit.registry import check_duplicates, check_stage, check_tags, versions_of
from predictflow.formatting import some_of
from predictflow.lineage.index import disagreements, load_index, location
from predictflow.lineage.project import Project
from stages.tracking.registry import STAGES


def find_all(project: Project, model: str) -> list[Finding]:
    """All that does not agree, and the notes; what could not be looked at is in `project.unseen`."""
    chain = project.chain(model)
    findings, ledger_is_whole = receipt_findings(project, chain)
    if project.registry_answers:
        for stage in STAGES:
            findings += check_stage(project, chain, stage, ledger_is_whole)
        findings += check_tags(project, chain, ledger_is_whole)
        for version in versions_of(project, model):
            findings += check_version(project, chain, version)
        findings += check_duplicates(project, model)
        findings += check_runs(project)
    findings += [*_check_index(project), *_check_git(project)]
    order = list(FINDING_KINDS)
    return sorted(dict.fromkeys(findings), key=lambda finding: order.index(finding.kind))


def _check_index(project: Project) -> Iterator[Finding]:
    """Whether the index by which `lineage` finds says what Git says."""
    if wrong := disagreements(load_index(project.repository), project.history.index):
        path = location(project.repository)
        message = f"{path} says what Git does not of {some_of(wrong, 3)}: somebody has edited it"
        yield new_finding("index", str(path), message, "", [DropIndex(path)])


def _check_git(project: Project) -> Iterator[Finding]:
    """What is not what its id says, and what shows Git's other commands, and DVC's, something else than is
    stored and read here."""
    if broken := project.repository.broken:
        message = f"Git holds other bytes than ids say, or lacks some: {some_of(broken, 3)}"
        cure = "remove the files that `git fsck` names, then `git fetch` from a clone that has them"
        yield new_finding("git", "objects", message, cure)
    for about, command in project.repository.disguises.items():
        message = (
            f"{about} shows `git log` and DVC something else than Git has stored; it is not followed here"
        )
        yield new_finding("git", about, message, f"`{command}`, here and on origin")
