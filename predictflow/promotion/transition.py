"""A version changes its stage: the receipt first, then MLflow's stage and alias together.

The receipt is what counts. A kill between the two leaves a receipt that MLflow has not followed yet: whatever
is asked next makes it follow first, and writes no second receipt.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from predictflow.adapters import store_copies
from predictflow.adapters.mlflow_entities import REBUILT_TAG, RECEIPT_TAG, VERSION_TAG, Version
from predictflow.adapters.mlflow_store import ensure_may_move, move_version
from predictflow.errors import Unreachable, masked
from predictflow.formatting import Json, some_of
from predictflow.ledger.chain import Chain
from predictflow.ledger.decisions import Policies
from predictflow.ledger.ledger import Ledger
from predictflow.ledger.origin import origin_url
from predictflow.ledger.receipts import ARCHIVED, REGISTERED, VERSION_KEYS, Receipt, ReceiptDraft, StaleLedger
from predictflow.lineage import answers
from predictflow.lineage.handles import resolve
from predictflow.lineage.project import Project
from predictflow.promotion import policy
from predictflow.promotion.evidence import gather_evidence
from predictflow.promotion.policy import Evidence
from stages.support import params
from stages.support.errors import UserError
from stages.tracking.registry import STAGES
from stages.tracking.store import MD5_PREFIX, PROCESS_TAGS

PRODUCTION = "production"
# The tags of a run or version that a receipt does not keep: those that receipts tell themselves, and which
# process it was.
LEFT_OUT = (MD5_PREFIX, VERSION_TAG, RECEIPT_TAG, REBUILT_TAG, *PROCESS_TAGS)


@dataclass(frozen=True)
class Promotion:
    """What is asked for.

    Attributes:
        action: PROMOTED or ROLLED_BACK, or ARCHIVED: out of every stage.
        stage: production or staging; archived for the last.
        force: do it against the decision too, unless the content is in doubt.
        why: as a person says it.
        sign: the receipts, with the key that Git is set up with.
        empty: production may be left without a version.
    """

    version: Version
    action: str
    stage: str
    force: bool
    why: str | None
    sign: bool
    empty: bool = False


def registered(project: Project, handle: str) -> Version:
    """The registered version that a handle names; the newest, should there be several of its content.

    Raises UserError where it is not registered, CouldNotTell where the registry cannot be asked.
    """
    project.require_versions(
        "Cure: start its server, or set MLFLOW_TRACKING_URI; `dvc repro` registers this commit's model."
    )
    content = resolve(project, handle).model
    versions = project.versions_with.get(content, [])
    version = next((version for version in versions if version.model == project.model), None)
    if version is None:
        raise UserError(
            f"{handle} is no registered version of {project.model}, which has"
            f" {some_of([version.name for version in project.versions]) or 'none'}.\n"
            "Cure: one of these; or `dvc repro` at its commit registers it, if it passes register.gate."
        )
    return version


def former_content(chain: Chain, stage: str) -> str:
    """What was in a stage before the version that is there now. Raises UserError where no receipt says."""
    before = chain.before(stage)
    if not before:
        raise UserError(
            f"no receipt tells of a version that was in {stage} before.\n"
            f"Cure: `predictflow promote VERSION --to {stage}` puts another one there."
        )
    return next(receipt.content for receipt in reversed(chain.receipts) if receipt.version == before[-1])


def carry_out(project: Project, ledger: Ledger | None, promotion: Promotion) -> Json:
    """Decide whether a version may change its stage, and let it; without a ledger it is only decided.

    Returns plain values for JSON; docs/reference/json.md says what each key means. Raises UserError where a
    receipt speaks against it, cannot be written or pushed, or where production would be left empty unasked:
    nothing has changed then.
    """
    chain = ledger.chain if ledger else project.chain(promotion.version.model)
    leaves = _left(chain, promotion)
    answer: Json = {"version": promotion.version.name, "stage": promotion.stage, "decision": None}
    answer |= {"copy": None, "not_copied": None}
    written: list[Receipt] = []
    if promotion.action == ARCHIVED:
        done = ledger is not None
        if ledger:
            answer |= _copy_store()
            written = _take_out(project, ledger, promotion)
    else:
        settings = policy.read(params.load())
        if ledger and not Policies(project.repository).have(asdict(settings)):
            raise UserError(
                "promote in params.yaml is not committed, so a receipt could not be held against it.\n"
                "Cure: `git commit params.yaml`, or `git checkout params.yaml`; --dry-run needs neither."
            )
        evidence = gather_evidence(project, promotion.version, promotion.stage, settings)
        decision = policy.decide(evidence, settings)
        forced = promotion.force and not decision.passed and decision.forcible
        answer["decision"] = asdict(decision) | {"forced": forced}
        done = ledger is not None and (decision.passed or forced)
        if ledger and done:
            answer |= _copy_store()
            written = _put(project, ledger, promotion, evidence, answer["decision"])
    receipts = [receipt.name for receipt in written]
    pushed_to = origin_url(project.repository) if receipts else None
    return answer | {
        "receipts": receipts,
        "pushed_to": pushed_to,
        "done": done,
        "leaves_empty": leaves,
        "not_looked_at": project.unseen,
    }


def _left(chain: Chain, promotion: Promotion) -> list[str]:
    """The stages that have no version any more once a version has left them for another one.

    Raises UserError where production is one of them and nobody has said that this is meant.
    """
    version, stage = promotion.version, promotion.stage
    standing = chain.standing().items()
    leaves = [name for name, receipt in standing if name != stage and receipt.content == version.content]
    if PRODUCTION in leaves and promotion.action != ARCHIVED and not promotion.empty:
        raise UserError(
            f"{version.name} stands in production, which {stage} would leave empty: what loads"
            f" {version.model}@production would find no model.\n"
            "Cure: put another version there first: `predictflow rollback`, or `predictflow promote VERSION"
            " --to production`. If this is what you mean:"
            f" `predictflow promote {version.name} --to {stage} --empty-production`."
        )
    return leaves


def _copy_store() -> Json:
    """Keep a copy of the project's own store. Where that cannot be done it is told, and the version moves all
    the same: a rollback cannot wait, and the receipts bring back what a promotion writes there."""
    database = store_copies.own_database()
    if database is None or not database.is_file():
        return {}
    try:
        return {"copy": str(store_copies.keep_copy(database, store_copies.PROMOTION).path)}
    except Unreachable as error:
        return {"not_copied": str(error)}


def _put(
    project: Project, ledger: Ledger, promotion: Promotion, evidence: Evidence, decision: Json
) -> list[Receipt]:
    """Put a version in a stage; the receipts that were written, none where it stands there already."""
    version, stage, chain, commit = promotion.version, promotion.stage, ledger.chain, evidence.commit
    assert commit is not None, "no decision lets a version pass that no commit holds"
    number = _number(chain, version, commit)
    standing = chain.standing().get(stage)
    drafts: list[ReceiptDraft] = []
    if standing is None or standing.content != version.content:
        facts = _facts(project, version, decision)
        if number not in chain.registrations:
            drafts.append(ReceiptDraft(REGISTERED, number, commit, facts))
        drafts.append(ReceiptDraft(promotion.action, number, commit, facts, stage))
        drafts += _taken_out(chain, version, [other for other in STAGES if other != stage])
    written = _append(ledger, drafts, promotion)
    name = ledger.chain.standing()[stage].name
    follow(version, STAGES[stage], {VERSION_TAG: f"v{number}.0.0", RECEIPT_TAG: name})
    return written


def _take_out(project: Project, ledger: Ledger, promotion: Promotion) -> list[Receipt]:
    """Archive a version: take it out of the stages in which receipts have put it, and out of MLflow's."""
    version = promotion.version
    written = _append(ledger, _taken_out(ledger.chain, version, STAGES), promotion)
    follow(version, "Archived", {RECEIPT_TAG: written[-1].name} if written else {})
    return written


def _append(ledger: Ledger, drafts: list[ReceiptDraft], promotion: Promotion) -> list[Receipt]:
    """Write the receipts, if there are any. Raises StaleLedger where others were written since, and UserError
    where MLflow would not follow them."""
    if not drafts:
        ledger.ensure_current()
        return []
    ensure_may_move(promotion.version, STAGES.get(promotion.stage, "Archived"))
    try:
        return ledger.append(drafts, why=promotion.why, sign=promotion.sign)
    except StaleLedger:
        ledger.ensure_current()  # which fetches the other one, and says whose it is
        raise


def _taken_out(chain: Chain, version: Version, stages: Iterable[str]) -> list[ReceiptDraft]:
    """The receipts that end a version's stay in some stages.

    GTO remembers who stood there before: all are taken out, or one of them would stand there again.
    """
    drafts = []
    for stage, standing in chain.standing().items():
        if stage in stages and standing.content == version.content:
            put_there = {receipt.version: receipt for receipt in chain.receipts if receipt.stage == stage}
            for number in chain.assigned(stage):
                body = put_there[number].body
                facts = {key: body[key] for key in VERSION_KEYS} | {"decision": None}
                drafts.append(ReceiptDraft(ARCHIVED, number, body["commit"], facts, stage))
    return drafts


def _number(chain: Chain, version: Version, commit: str) -> int:
    """The number of a content among the receipts: its own, else the registry's, else the next free one."""
    for number, receipt in chain.registrations.items():
        if receipt.content == version.content:
            return number
        if receipt.commit == commit:
            raise UserError(
                f"commit {commit[:10]} is that of version {number}, {receipt.content}, by the receipt"
                f" {receipt.name}: GTO allows one version a commit.\n"
                "Cure: commit the dvc.lock of this version on its own."
            )
    taken = chain.version_numbers
    return version.number if version.number not in taken else 1 + max(taken)


def _facts(project: Project, version: Version, decision: Json) -> Json:
    """What a receipt tells of a version, so that nothing it needs lives in the database alone."""
    assert version.content is not None, "no decision lets a version pass that carries no content"
    return {
        "content": version.content,
        "md5s": answers.recorded(project, version.content).md5s,
        "run": _run(project, version),
        "registered": version.registered,
        "tags": _kept(version.tags),
        "description": version.description,
        "decision": decision,
    }


def _run(project: Project, version: Version) -> Json | None:
    run = project.runs.with_id(version.run_id)
    if run is None:
        return None
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "began": run.began,
        "ended": run.ended,
        "experiment": run.experiment,
        "tags": _kept(project.store.tags([run]).get(run.id, {})),
        "params": project.store.params([run]).get(run.id, {}),
        "metrics": project.store.metrics([run]).get(run.id, {}),
    }


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {tag: value for tag, value in tags.items() if not tag.startswith(LEFT_OUT)}


def follow(version: Version, registry_stage: str, tags: dict[str, str]) -> None:
    """Let MLflow's stage, alias and tags say what the receipts say. Raises UserError where it does not take
    them: the receipts stay, and the cure makes it follow them."""
    try:
        move_version(version, registry_stage, tags)
    except (UserError, Unreachable) as error:
        reason = masked(str(error).splitlines()[0])
        raise UserError(
            f"the receipts say it, but MLflow does not yet: {reason}\n"
            "Cure: once it answers, and lets you,"
            f" `predictflow promote {version.name} --to {registry_stage.lower()}` moves stage and alias, and"
            " writes no second receipt."
        ) from error
