"""All that does not agree: receipts, registry, store and bytes; and what `audit --fix` does about it."""

from collections.abc import Iterator
from dataclasses import dataclass

from predictflow.audit import registry
from predictflow.audit.bytes import check_cache, check_version
from predictflow.audit.file_fixes import DropIndex
from predictflow.audit.finding import FINDING_KINDS, FIRST, Finding, new_finding
from predictflow.audit.fixes import Fix, FixContext, apply_fix
from predictflow.audit.receipts import of_rebuilds, receipt_findings
from predictflow.audit.runs import check_runs
from predictflow.errors import Unreachable
from predictflow.formatting import some_of
from predictflow.ledger.chain import Chain
from predictflow.lineage.index import disagreements, load_index, location
from predictflow.lineage.project import Project
from stages.support.errors import UserError
from stages.tracking.registry import STAGES


@dataclass(frozen=True)
class Mended:
    """What came of `audit --fix`.

    Attributes:
        project: as it is now.
        findings: what is left.
        mended: what was done, a sentence each.
        failed: what could not be done, each with its reason.
    """

    project: Project
    findings: list[Finding]
    mended: list[str]
    failed: list[str]


def find_all(project: Project, model: str, by_origin: bool = True) -> list[Finding]:
    """All that does not agree, and the notes; what could not be looked at is in `project.unseen`. `by_origin`
    asks origin for its receipts."""
    chain, findings, ledger_is_whole = receipt_findings(project, model, by_origin)
    findings += of_rebuilds(project, chain)
    if project.registry_answers:
        for stage in STAGES:
            findings += registry.check_stage(project, chain, stage, ledger_is_whole)
        findings += registry.check_tags(project, chain, ledger_is_whole)
        findings += registry.check_numbers(project, chain)
        project.runs.bring(version.run_id for version in project.versions)
        for version in registry.versions_of(project, model):
            findings += check_version(project, chain, version)
        findings += registry.check_duplicates(project, model)
        findings += check_runs(project, chain, ledger_is_whole)
    findings += project.look(lambda: list(check_cache(project)), [])
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


def mend(project: Project, model: str) -> Mended:
    """Mend what can be mended without a decision, and look again."""
    root = project.repository.root
    if root is None:
        raise UserError(
            "a bare repository has nothing to mend.\nCure: `predictflow audit --fix` in a clone with files."
        )
    findings = find_all(project, model)
    tried: set[Fix] = set()
    mended: list[str] = []
    failed: list[str] = []
    while fixes := _next(findings, tried):
        context = FixContext(project, model)
        for fix in fixes:
            tried.add(fix)
            try:
                mended.append(apply_fix(fix, context))
            except (UserError, Unreachable, OSError) as error:
                failed.append(f"{fix}: {error}")
        project = Project.enter(root)
        findings = find_all(project, model)
    return Mended(project, findings, mended, failed)


def _next(findings: list[Finding], tried: set[Fix]) -> list[Fix]:
    """The fixes that come now: receipts before contents, and both before what depends on them."""
    for kinds in (*FIRST, tuple(FINDING_KINDS)):
        fixes = (fix for finding in findings if finding.kind in kinds for fix in finding.fixes)
        if new := [fix for fix in dict.fromkeys(fixes) if fix not in tried]:
            return new
    return []


def follow(project: Project, chain: Chain) -> None:
    """Let MLflow's stages, aliases and tags of versions say what whole receipts say.

    Raises UserError, Unreachable or OSError where it does not take that.
    """
    in_stages = [finding for stage in STAGES for finding in registry.check_stage(project, chain, stage, True)]
    for findings in (in_stages, registry.check_tags(project, chain, True)):
        context = FixContext(project, chain.model)
        for fix in dict.fromkeys(fix for finding in findings for fix in finding.fixes):
            apply_fix(fix, context)
