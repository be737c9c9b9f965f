"""What `audit --fix` does: it applies the fixes of findings, receipts first, and looks again."""

from dataclasses import dataclass

from predictflow.audit.audit import find_all
from predictflow.audit.finding import FINDING_KINDS, FIRST, Finding
from predictflow.audit.fixes import Fix, FixContext
from predictflow.audit.registry import check_stage, check_tags
from predictflow.errors import Unreachable, masked
from predictflow.ledger.chain import Chain
from predictflow.lineage.project import Project
from stages.support.errors import UserError
from stages.tracking.registry import STAGES


@dataclass(frozen=True)
class Mended:
    """What came of it.

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
                mended.append(_apply(fix, context))
            except (UserError, Unreachable, OSError) as error:
                failed.append(f"{fix}: {error}")
        project = Project.enter(root)
        findings = find_all(project, model)
    return Mended(project, findings, mended, failed)


def _next(findings: list[Finding], tried: set[Fix]) -> list[Fix]:
    """The fixes that come now: receipts before contents, and both before what depends on them."""
    for kinds in (*FIRST, tuple(FINDING_KINDS)):
        fixes = (fix for finding in findings if finding.kind in kinds for fix in finding.fixes)
        new = [fix for fix in dict.fromkeys(fixes) if fix not in tried]
        if new:
            return new
    return []


def follow(project: Project, chain: Chain) -> None:
    """Let MLflow's stages, aliases and tags of versions say what whole receipts say.

    Raises UserError, Unreachable or OSError where it does not take that.
    """
    in_stages = [finding for stage in STAGES for finding in check_stage(project, chain, stage, True)]
    for findings in (in_stages, check_tags(project, chain, True)):
        context = FixContext(project, chain.model)
        for fix in dict.fromkeys(fix for finding in findings for fix in finding.fixes):
            _apply(fix, context)


def _apply(fix: Fix, context: FixContext) -> str:
    """Raises UserError, Unreachable or OSError where it cannot be applied."""
    try:
        return fix.apply(context)
    except (UserError, Unreachable, OSError):
        raise
    except Exception as error:  # of MLflow, of its database's driver, of the network
        raise Unreachable(masked(str(error))) from error
