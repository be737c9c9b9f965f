"""Writing a receipt, and taking it back. `Ledger.append` sees to it that nobody else writes meanwhile."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from predictflow.adapters.git import Repository
from predictflow.formatting import moment
from predictflow.ledger.chain import Chain
from predictflow.ledger.receipts import (
    NAME,
    RECEIPT_LAYOUT,
    VERSION_KEYS,
    Receipt,
    ReceiptDraft,
    summary,
    tag_name,
)
from predictflow.ledger.tags import Tag, format_message, identity, read_tags, write_tag
from stages.support.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock


def write_receipt(
    repository: Repository,
    chain: Chain,
    draft: ReceiptDraft,
    *,
    why: str | None = None,
    sign: bool = False,
    now: float | None = None,
) -> Receipt:
    """Write the next receipt of a chain.

    Args:
        sign: with the key that Git is set up with.
        now: seconds since 1970; by default the clock's.

    Raises UserError where Git cannot write the tag; then nothing was written.
    """
    if not NAME.fullmatch(chain.model):
        raise UserError(
            f"{chain.model} cannot be part of a tag's name: GTO allows letters, digits, - and _.\n"
            "Cure: another tracking.model in params.yaml."
        )
    former = chain.standing().get(draft.stage or "")
    date = chain.next_time(time.time() if now is None else now)
    body = {key: draft.facts[key] for key in VERSION_KEYS} | {
        "receipt": RECEIPT_LAYOUT,
        "action": draft.action,
        "model": chain.model,
        "version": draft.version,
        "stage": draft.stage,
        "from": former.version if former else None,
        "commit": draft.commit,
        "who": identity(repository),
        "when": moment(date),
        "why": why,
        "previous": chain.last and {"tag": chain.last.name, "object": chain.last.object},
    }
    name = tag_name(body, chain.next_counter)
    write_tag(repository, name, format_message(summary(body), body), draft.commit, date, sign)
    (fields,) = read_tags(repository, f"refs/tags/{name}")
    return Receipt(**vars(Tag.from_fields(fields)), body=body)


def writers_lock(repository: Repository) -> "FileLock":
    """One writer at a time in a clone and all its working trees: tags of two stages have different names.

    Who holds it may take it again.
    """
    from filelock import FileLock

    folder = repository.read("rev-parse", "--path-format=absolute", "--git-common-dir").strip()
    path = Path(folder) / "predictflow/receipts.lock"
    path.parent.mkdir(exist_ok=True)
    return FileLock(path, is_singleton=True)


def remove_receipts(repository: Repository, written: list[Receipt]) -> None:
    """Take back what was just written: all of it or, where a tag is no longer the one, nothing."""
    repository.read(
        "update-ref",
        "--stdin",
        given="".join(f"delete refs/tags/{receipt.name} {receipt.object}\n" for receipt in written),
    )
