"""Who put which version where, when and why: what the receipts tell, as plain values for JSON."""

from collections.abc import Iterable
from typing import Any

from predictflow.formatting import Json, moment
from predictflow.ledger.chain import Chain, standing_receipts
from predictflow.ledger.rebuilds import RebuildReceipt
from predictflow.ledger.receipts import ARCHIVED, Receipt
from predictflow.lineage import answers
from predictflow.lineage.answers import HEADLINE
from stages.tracking.registry import STAGES


def history_answer(chain: Chain, at: int | None = None, rebuilds: Iterable[RebuildReceipt] = ()) -> Json:
    """What a chain and the receipts of rebuilds say, as it was at a moment; docs/reference/json.md says what
    each key means."""
    until = [one for one in chain.receipts if at is None or one.time <= at]
    stands = standing_receipts(until)
    return {
        "model": chain.model,
        "at": None if at is None else moment(at),
        "standing": {stage: _stands(stands.get(stage)) for stage in STAGES},
        "receipts": [_receipt(chain, one) for one in reversed(until)],
        "rebuilds": [_rebuilt(one) for one in reversed([*rebuilds]) if at is None or one.time <= at],
        "foreign": [
            {"tag": tag.name, "commit": tag.commit, "when": moment(tag.time), "who": tag.who}
            for tag in chain.foreign
            if at is None or tag.time <= at
        ],
        "damage": [vars(damage) for damage in chain.damage],
    }


def _stands(receipt: Receipt | None) -> Json | None:
    if receipt is None:
        return None
    return {"version": receipt.version, "since": receipt.body["when"], "tag": receipt.name} | {
        key: receipt.body[key] for key in ("who", "content", "commit")
    }


def _receipt(chain: Chain, one: Receipt) -> Json:
    body = one.body
    return answers.receipt_entry(chain, one) | {
        "from": body["from"],
        "to": None if one.stage is None or one.action == ARCHIVED else one.version,
        "commit": body["commit"],
        "content": body["content"],
        "decision": body["decision"],
        "metrics": _headline((body["decision"] or {}).get("numbers")) or _headline(body["run"]),
        "signed": one.signed,
    }


def _rebuilt(one: RebuildReceipt) -> Json:
    keys = ("version", "verdict", "when", "who", "commit", "content", "inputs", "environment", "machine")
    return {key: one.body[key] for key in keys} | {"tag": one.name, "broken": one.broken}


def _headline(told: Any) -> dict[str, float]:
    """The numbers that a version is known by, as a decision or a run tells them."""
    metrics = told.get("metrics") if isinstance(told, dict) else None
    if not isinstance(metrics, dict):
        return {}
    return {name: metrics[name] for name in HEADLINE if isinstance(metrics.get(name), int | float)}
