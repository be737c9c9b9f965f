"""Writing a receipt: one writer at a time in a clone, and never behind one that was not seen."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictflow.adapters.git import Repository
from predictflow.formatting import moment
from predictflow.ledger.chain import Chain, next_counter, next_time, read_chain, standing_receipts
from predictflow.ledger.receipts import (
    NAME,
    RECEIPT_LAYOUT,
    VERSION_KEYS,
    Receipt,
    StaleLedger,
    canonical,
    summary,
    tag_name,
)
from stages.support.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock


def write_receipt(
    repository: Repository,
    chain: Chain,
    action: str,
    version: int,
    commit: str,
    given: Mapping[str, Any],
    *,
    stage: str | None = None,
    why: str | None = None,
    sign: bool = False,
    now: float | None = None,
) -> Receipt:
    """Write the next receipt of a chain. Read the chain again before another is written.

    Args:
        given: the values of GIVEN.
        stage: production or staging; None for a registration.
        sign: with the key that Git is set up with.
        now: seconds since 1970; by default the clock's.

    Raises StaleLedger where the chain has gone on since it was read, UserError where Git cannot write the
    tag; then nothing was written.
    """
    if not NAME.fullmatch(chain.model):
        raise UserError(
            f"{chain.model} cannot be part of a tag's name: GTO allows letters, digits, - and _.\n"
            "Cure: another tracking.model in params.yaml."
        )
    with writers_lock(repository):
        held = read_chain(repository, chain.model)
        if (held.names, held.last) != (chain.names, chain.last):
            raise stale_ledger(chain, held.last.who if held.last and held.last != chain.last else "somebody")
        former = standing_receipts(chain.receipts).get(stage or "")
        date = next_time(chain, time.time() if now is None else now)
        body = {key: given[key] for key in VERSION_KEYS} | {
            "receipt": RECEIPT_LAYOUT,
            "action": action,
            "model": chain.model,
            "version": version,
            "stage": stage,
            "from": former.version if former else None,
            "commit": commit,
            "who": identity(repository),
            "when": moment(date),
            "why": why,
            "previous": chain.last and {"tag": chain.last.name, "object": chain.last.object},
        }
        name = tag_name(body, next_counter(chain))
        write_tag(repository, name, f"{summary(body)}\n\n{canonical(body)}\n", commit, date, sign)
        written = {receipt.name: receipt for receipt in read_chain(repository, chain.model).receipts}
    return written[name]


def writers_lock(repository: Repository) -> "FileLock":
    """One writer at a time in a clone and all its working trees: tags of two stages have different names.

    Who holds it may take it again.
    """
    from filelock import FileLock

    folder = repository.read("rev-parse", "--path-format=absolute", "--git-common-dir").strip()
    path = Path(folder) / "predictflow/receipts.lock"
    path.parent.mkdir(exist_ok=True)
    return FileLock(path, is_singleton=True)


def stale_ledger(chain: Chain, who: str) -> StaleLedger:
    return StaleLedger(
        f"{who} was quicker: {chain.model} has a new receipt.\n"
        "Cure: `predictflow history` tells what it says; then run this again."
    )


def identity(repository: Repository) -> str:
    """Who writes, as Git will have it in the tag. Raises UserError where Git does not know."""
    asked = repository.git("var", "GIT_COMMITTER_IDENT")
    if asked.returncode:
        raise UserError(
            "Git does not know who you are, and a receipt names who wrote it.\n"
            "Cure: `git config user.name …` and `git config user.email …`."
        )
    return asked.stdout.decode(errors="replace").rsplit(" ", 2)[0]


def write_tag(repository: Repository, name: str, message: str, commit: str, date: int, sign: bool) -> None:
    """Write an annotated tag, dated `date` (seconds since 1970). Raises UserError where Git cannot."""
    words = ["tag", "-a", *(["-s"] if sign else []), "-F", "-", "--cleanup=verbatim", "--", name, commit]
    try:
        done = repository.git(*words, given=message, env={"GIT_COMMITTER_DATE": f"@{date} +0000"})
    except UnicodeEncodeError as error:
        raise UserError(f"a receipt is UTF-8, and its text is not: {error}\nCure: other words.") from None
    if done.returncode:
        raise UserError(
            f"the receipt {name} cannot be written: {done.stderr.decode(errors='replace').strip()}\n"
            + (
                "Cure: `git config user.signingkey …`, or go without a signature."
                if sign
                else "Cure: `git fsck`."
            )
        )


def remove_receipts(repository: Repository, written: list[Receipt]) -> None:
    """Take back what was just written: all of it or, where a tag is no longer the one, nothing."""
    repository.read(
        "update-ref",
        "--stdin",
        given="".join(f"delete refs/tags/{receipt.name} {receipt.object}\n" for receipt in written),
    )
