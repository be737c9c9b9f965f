"""Who put which version where, when and why: what the receipts tell, as plain values for JSON."""

from typing import Any

from predictflow.adapters.git import Repository
from predictflow.formatting import Json, moment
from predictflow.ledger.chain import Chain
from predictflow.ledger.rebuilds import RebuildReceipt, read_rebuilds
from predictflow.ledger.receipts import ARCHIVED, Damage, Receipt
from predictflow.ledger.signatures import verify
from predictflow.lineage import answers
from predictflow.lineage.answers import HEADLINE
from stages.tracking.registry import STAGES


def history_answer(repository: Repository, chain: Chain, at: int | None = None) -> Json:
    """What a chain and the receipts of rebuilds say, as it was at a moment; docs/reference/json.md says what
    each key means."""
    standing = chain.standing(at)
    return {
        "model": chain.model,
        "at": None if at is None else moment(at),
        "standing": {stage: _stands(standing.get(stage)) for stage in STAGES},
        "receipts": [_receipt(repository, chain, receipt) for receipt in reversed(chain.until(at))],
        "rebuilds": [
            _rebuilt(rebuild)
            for rebuild in reversed(read_rebuilds(repository, chain))
            if at is None or rebuild.time <= at
        ],
        "foreign": [
            {"tag": tag.name, "commit": tag.commit, "when": moment(tag.time), "who": tag.who}
            for tag in chain.foreign
            if at is None or tag.time <= at
        ],
        "damage": [_damage(damage) for damage in chain.damage],
        "gaps": [
            {"tag": gap.name} | {key: gap.body[key] for key in ("when", "who", "why")}
            for gap in reversed(chain.gaps)
            if at is None or gap.time <= at
        ],
        "declared": [_damage(damage) for damage in chain.declared],
    }


def _damage(damage: Damage) -> Json:
    return {"kind": damage.kind, "tag": damage.tag, "told": damage.message}


def _stands(receipt: Receipt | None) -> Json | None:
    if receipt is None:
        return None
    return {"version": receipt.version, "since": receipt.when, "tag": receipt.name} | {
        key: receipt.body[key] for key in ("who", "content", "commit")
    }


def _receipt(repository: Repository, chain: Chain, receipt: Receipt) -> Json:
    left = receipt.stage is None or receipt.action == ARCHIVED
    signed, said = verify(repository, receipt, chain.signers)
    return answers.receipt_entry(chain, receipt) | {
        "from": receipt.body["from"],
        "to": None if left else receipt.version,
        "commit": receipt.body["commit"],
        "content": receipt.content,
        "decision": receipt.decision,
        "metrics": _headline((receipt.decision or {}).get("numbers")) or _headline(receipt.run),
        "signed": signed,
        "signature": said if receipt.signature else None,
    }


def _rebuilt(rebuild: RebuildReceipt) -> Json:
    keys = ("version", "verdict", "when", "who", "commit", "content", "inputs", "environment", "machine")
    broken = rebuild.broken + rebuild.unsigned
    return {key: rebuild.body[key] for key in keys} | {"tag": rebuild.name, "broken": broken}


def _headline(record: Any) -> dict[str, float]:
    """The numbers that a version is known by, as the record of a decision or a run has them."""
    metrics = record.get("metrics") if isinstance(record, dict) else None
    if not isinstance(metrics, dict):
        return {}
    return {name: metrics[name] for name in HEADLINE if isinstance(metrics.get(name), int | float)}
