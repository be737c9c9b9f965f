"""A version changes its stage: the receipt first, then MLflow's stage and alias together.

The receipt is what counts. A kill between the two leaves a receipt that MLflow has not followed yet; the
same command again makes it follow, and writes no second receipt.
"""

from typing import Any

from predictflow.adapters.mlflow_entities import REBUILT_TAG, RECEIPT_TAG, VERSION_TAG, Version
from predictflow.errors import Unreachable, masked
from predictflow.ledger.chain import (
    Chain,
    assigned_versions,
    read_chain,
    registrations,
    standing_receipts,
    version_numbers,
)
from predictflow.ledger.origin import fetch_receipts, publish_receipts, push_receipts
from predictflow.ledger.receipts import ARCHIVED, REGISTERED, VERSION_KEYS, Receipt
from predictflow.ledger.writer import remove_receipts, stale_ledger, write_receipt, writers_lock
from predictflow.lineage import answers
from predictflow.lineage.handles import resolve
from predictflow.lineage.project import Project
from predictflow.promotion import policy
from predictflow.promotion.evidence import gather_evidence
from predictflow.promotion.policy import Evidence, PromotionDecision
from stages.support import params
from stages.support.errors import UserError

# IMPORTS
from stages.tracking.registry import STAGES
from stages.tracking.store import BEGAN_TAG, HOST_TAG, MD5_PREFIX, PID_TAG, open_store


def registered(project: Project, handle: str) -> Version:
    """The registered version that a handle names; the newest, should there be several of its content.

    Raises UserError where it is not registered, CouldNotTell where the registry cannot be asked.
    """
    project.require_versions(
        "Cure: start its server, or set MLFLOW_TRACKING_URI; `dvc repro` registers this commit's model."
    )
    content = resolve(project, handle).model
    versions = [one for one in project.versions_with.get(content, []) if one.model == project.model]
    if not versions:
        raise UserError(
            f"{handle} is no registered version of {project.model}.\n"
            "Cure: `dvc repro` at its commit registers it, if it passes register.gate."
        )
    return versions[0]


def chain(project: Project) -> Chain:
    """The receipts of the project's model, the same here and on origin.

    What a kill has left unpushed is pushed first. Raises UserError where they are broken, or where origin
    does not answer or take them.
    """
    try:
        origin = fetch_receipts(project.repository, project.model)
    except Unreachable as error:
        raise UserError(f"{error}\nCure: `git fetch origin` must work before a version moves.") from error
    project.forget_receipts()
    read = project.chain(project.model)
    damage = [*read.damage, *(origin.damage if origin else ())]
    if damage:
        told = "\n".join(f"  {found.tag}: {found.told}" for found in damage)
        raise UserError(
            f"the receipts of {project.model} are broken, so no version moves:\n{told}\n"
            "Cure: `predictflow audit --fix` brings back what is proven, and tells what to do with the rest."
        )
    if origin and read.last and read.last.name in origin.unpushed:
        with writers_lock(project.repository):  # somebody may be about to push them
            push_receipts(project.repository, project.model)
    return read


def decide(project: Project, version: Version, stage: str) -> tuple[Evidence, PromotionDecision]:
    """Whether a version may take a stage, and what that is decided from."""
    settings = policy.read(params.load())
    found = gather_evidence(project, version, stage, settings)
    return found, policy.decide(found, settings)


def put(
    project: Project,
    version: Version,
    stage: str,
    action: str,
    found: Evidence,
    decision: dict[str, Any],
    why: str | None,
    sign: bool,
) -> list[Receipt]:
    """Put a version in a stage; the receipts that were written, none where it stands there already.

    Raises UserError where a receipt speaks against it, or cannot be written or pushed: nothing has changed.
    """
    decided = project.chain(project.model)
    read = chain(project)
    if read.last != decided.last:  # the champion may be another one now
        raise stale_ledger(read, read.last.who if read.last else "somebody")
    number = _number(read, version, found.commit)
    standing = standing_receipts(read.receipts).get(stage)
    written: list[Receipt] = []
    if standing is None or standing.body["content"] != version.content:
        given = _given(project, version, decision)
        steps = [(action, number, found.commit, given, stage)]
        if number not in registrations(read.receipts):
            steps.insert(0, (REGISTERED, number, found.commit, given, None))
        steps += _taken_out(read, version, [other for other in STAGES if other != stage])
        written = _write(project, read, steps, why, sign)
    name = next((receipt.name for receipt in written if receipt.stage == stage), standing and standing.name)
    _follow(project, version, STAGES[stage], {VERSION_TAG: f"v{number}.0.0", RECEIPT_TAG: name})
    return written


def take_out(project: Project, version: Version, why: str | None, sign: bool) -> list[Receipt]:
    """Archive a version: take it out of the stages in which receipts have put it, and out of MLflow's."""
    read = chain(project)
    steps = _taken_out(read, version, list(STAGES))
    written = _write(project, read, steps, why, sign)
    tags = {RECEIPT_TAG: written[-1].name} if written else {}
    _follow(project, version, "Archived", tags)
    return written


def _taken_out(read: Chain, version: Version, stages: list[str]) -> list[tuple[Any, ...]]:
    """The receipts that end a version's stay in some stages.

    GTO remembers who stood there before: all are taken out, or one of them would stand there again.
    """
    steps = []
    for stage, standing in standing_receipts(read.receipts).items():
        if stage in stages and standing.body["content"] == version.content:
            put_there = {receipt.version: receipt for receipt in read.receipts if receipt.stage == stage}
            for number in assigned_versions(read.receipts, stage):
                body = put_there[number].body
                given = {key: body[key] for key in VERSION_KEYS} | {"decision": None}
                steps.append((ARCHIVED, number, body["commit"], given, stage))
    return steps


def _number(read: Chain, version: Version, commit: str) -> int:
    """The number of a content among the receipts: its own, else the registry's, else the next free one."""
    numbered = registrations(read.receipts)
    for number, receipt in numbered.items():
        if receipt.body["content"] == version.content:
            return number
        if receipt.commit == commit:
            raise UserError(
                f"commit {commit[:10]} is that of version {number}, {receipt.body['content']}, by the receipt"
                f" {receipt.name}: GTO allows one version a commit.\n"
                "Cure: commit the dvc.lock of this version on its own."
            )
    taken = version_numbers(read)
    return version.number if version.number not in taken else 1 + max(taken)


def _given(project: Project, version: Version, decision: dict[str, Any]) -> dict[str, Any]:
    """What a receipt tells of a version, so that nothing it needs lives in the database alone."""
    model = answers.recorded(project, version.content)
    return {
        "content": version.content,
        "md5s": model.md5s,
        "run": _run(project, version),
        "registered": version.registered,
        "tags": _kept(version.tags),
        "description": version.description,
        "decision": decision,
    }


def _run(project: Project, version: Version) -> dict[str, Any] | None:
    runs = [run for run in project.all_runs if run.id == version.run_id]
    if not runs:
        return None
    (run,) = runs
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "began": run.began,
        "ended": run.ended,
        "experiment": run.experiment,
        "tags": _kept(project.store.tags(runs).get(run.id, {})),
        "params": project.store.params(runs).get(run.id, {}),
        "metrics": project.store.metrics(runs).get(run.id, {}),
    }


def _kept(tags: dict[str, str]) -> dict[str, str]:
    """The tags of a run or version that a receipt keeps: not those that receipts tell themselves, nor which
    process it was."""
    left_out = (MD5_PREFIX, VERSION_TAG, RECEIPT_TAG, REBUILT_TAG, HOST_TAG, PID_TAG, BEGAN_TAG)
    return {tag: value for tag, value in tags.items() if not tag.startswith(left_out)}


def _write(
    project: Project, read: Chain, steps: list[tuple[Any, ...]], why: str | None, sign: bool
) -> list[Receipt]:
    """Write receipts one after the other and push them together; all of them or none."""
    written: list[Receipt] = []
    with writers_lock(project.repository):  # nobody's receipt may follow one that is still taken back
        try:
            for action, number, commit, given, stage in steps:
                receipt = write_receipt(
                    project.repository, read, action, number, commit, given, stage=stage, why=why, sign=sign
                )
                written.append(receipt)
                read = read_chain(project.repository, project.model)
        except BaseException:
            remove_receipts(project.repository, written)
            raise
        if written:
            publish_receipts(project.repository, project.model, written)
    return written


def _follow(project: Project, version: Version, stage: str, tags: dict[str, str]) -> None:
    """Let MLflow's stage, alias and tags say what the receipts say. Raises UserError where it does not take
    them: the receipts stay, and the cure makes it follow them."""
    from mlflow.exceptions import MlflowException

    from stages.tracking import registry

    try:
        store = open_store(params.load())
        registry.move(store, version.model, str(version.number), stage)
        for name, value in tags.items():
            store.client.set_model_version_tag(version.model, str(version.number), name, value)
    except (UserError, MlflowException) as error:
        told = str(error).splitlines() or [type(error).__name__]
        raise UserError(
            f"the receipts say it, but MLflow does not yet: {masked(told[0])}\n"
            f"Cure: once it answers, `predictflow promote {version.name} --to {stage.lower()}` moves stage"
            " and alias, and writes no second receipt."
        ) from error
