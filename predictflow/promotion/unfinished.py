"""What a kill has left half-done: a transition of which a receipt tells, and that MLflow has not followed.

It is completed before anything else, whoever asks; then what was asked is looked at anew.
"""

from dataclasses import dataclass

from predictflow.adapters.mlflow_entities import RECEIPT_TAG, VERSION_TAG, Version
from predictflow.adapters.mlflow_store import ensure_own_tables
from predictflow.formatting import Json
from predictflow.ledger.chain import Chain
from predictflow.ledger.ledger import Ledger
from predictflow.ledger.receipts import ARCHIVED, ROLLED_BACK, Receipt
from predictflow.lineage.project import Project
from predictflow.promotion.transition import follow
from stages.tracking.registry import STAGES


@dataclass(frozen=True)
class Unfinished:
    """A transition that a receipt tells of, and that MLflow has not followed yet.

    Attributes:
        receipt: the last one of its stage.
        registry_stage: where the version goes in MLflow.
    """

    receipt: Receipt
    version: Version
    registry_stage: str
    tags: dict[str, str]

    def as_json(self) -> Json:
        return {"receipt": self.receipt.name, "version": self.version.name, "stage": self.registry_stage}


def open_ledger(project: Project) -> tuple[Ledger, list[Unfinished]]:
    """The receipts of the project's model, the same here and on origin, and what MLflow had not followed yet,
    and has now: what is decided on begins with them, so this comes before a handle is resolved.

    Raises UserError where they are broken, where origin, or MLflow, does not answer or take them, or where
    the store is another MLflow's, and CouldNotTell where params.yaml names no model.
    """
    ensure_own_tables()
    ledger = Ledger.open(project.repository, project.require_model())
    project.keep_chain(ledger.chain)
    begun = unfinished(project, ledger.chain)
    for transition in begun:
        follow(transition.version, transition.registry_stage, transition.tags)
    if begun:
        project.forget_store()
    return ledger, begun


def unfinished(project: Project, chain: Chain) -> list[Unfinished]:
    """The last transition of each stage, where MLflow is as it was before it, or half-way.

    Where MLflow has somebody else there, it was edited, or has missed more than that: a person looks at it.
    """
    versions = [version for version in project.versions if version.model == chain.model]
    receipts, found = chain.believed(), []
    contents = {receipt.version: receipt.content for receipt in receipts}
    standing = {receipt.content for receipt in chain.standing().values()}
    for stage, registry_stage in STAGES.items():
        last = next((receipt for receipt in reversed(receipts) if receipt.stage == stage), None)
        inside = [version for version in versions if version.stage == registry_stage]
        if last is None:
            continue
        may_be = {last.content, contents.get(last.body["from"])}
        mine = [version for version in inside if version.content == last.content]
        mine = mine or [version for version in versions if version.content == last.content]
        if not mine or any(version.content not in may_be for version in inside):
            continue
        version, tags = mine[0], {RECEIPT_TAG: last.name}
        if last.action != ARCHIVED:
            tags |= {VERSION_TAG: f"v{last.version}.0.0"}
            follows = inside == [version] and stage in version.aliases
            if not follows or any(version.tags.get(tag) != value for tag, value in tags.items()):
                found.append(Unfinished(last, version, registry_stage, tags))
        elif version in inside and version.content not in standing:
            found.append(Unfinished(last, version, "Archived", tags))
    return found


def rolled_back(begun: list[Unfinished], stage: str) -> str | None:
    """The content that a rollback has begun to bring back: who asks for it again means that one."""
    receipts = [transition.receipt for transition in begun if transition.receipt.stage == stage]
    return next((receipt.content for receipt in receipts if receipt.action == ROLLED_BACK), None)
