"""The ledger of a model: its receipts, the same here and on origin, and the one place that adds to them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from predictflow.adapters.git import Repository
from predictflow.errors import Unreachable
from predictflow.formatting import moment
from predictflow.ledger import receipts
from predictflow.ledger.chain import Chain, read_chain
from predictflow.ledger.origin import Origin, fetch_receipts, push_chain
from predictflow.ledger.receipts import Receipt, ReceiptDraft
from predictflow.ledger.tags import Tag, format_message, identity, read_tags, write_tag
from stages.support.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock


@dataclass
class Ledger:
    """The receipts of a model, as they were when they were last fetched or written.

    Attributes:
        origin: what origin had then; None where there is no origin.
    """

    repository: Repository
    chain: Chain
    origin: Origin | None

    @classmethod
    def open(cls, repository: Repository, model: str) -> "Ledger":
        """The receipts, those that only origin has too. What a kill has left unpushed is pushed first.

        Raises UserError where they are broken, or where origin does not answer or take them.
        """
        ledger = cls(repository, *_fetch(repository, model))
        last = ledger.chain.last
        if ledger.origin and last and last.name not in ledger.origin.tags:
            with writers_lock(repository):
                ledger.fetch()  # somebody was about to push them
                if ledger.origin and ledger.chain.last:
                    ledger.origin = push_chain(repository, ledger.chain, ledger.origin)
        return ledger

    def fetch(self) -> None:
        """Look again, here and on origin. Raises UserError as `open` does."""
        self.chain, self.origin = _fetch(self.repository, self.chain.model)

    def ensure_current(self) -> None:
        """Raises StaleLedger where somebody has written a receipt since, here or on origin; it is fetched."""
        before = self.chain
        self.fetch()
        if self.chain.last != before.last:
            raise before.outdated_by(self.chain)

    def append(
        self,
        drafts: Iterable[ReceiptDraft],
        *,
        why: str | None = None,
        sign: bool = False,
        now: float | None = None,
    ) -> list[Receipt]:
        """Write receipts one after the other and push them together: all of them or none.

        Args:
            sign: with the key that Git is set up with.
            now: seconds since 1970; by default the clock's.

        Raises StaleLedger where the chain has gone on since, here or on origin, and UserError where Git
        cannot write them, or origin does not take them.
        """
        chain = self.chain
        written: list[Receipt] = []
        with writers_lock(self.repository):  # nobody's receipt may follow one that is still taken back
            held = read_chain(self.repository, chain.model)
            if (held.names, held.last) != (chain.names, chain.last):
                raise chain.outdated_by(held)
            try:
                for draft in drafts:
                    written.append(write_receipt(self.repository, chain, draft, why=why, sign=sign, now=now))
                    chain = chain.followed_by(written[-1])
                if written and self.origin:
                    self.origin = push_chain(self.repository, chain, self.origin)
            except BaseException:
                remove_receipts(self.repository, written)
                raise
        self.chain = chain
        return written


def _fetch(repository: Repository, model: str) -> tuple[Chain, Origin | None]:
    try:
        origin = fetch_receipts(repository, model)
    except Unreachable as error:
        raise UserError(f"{error}\nCure: `git fetch origin` must work before a version moves.") from error
    chain = read_chain(repository, model)
    if damage := [*chain.damage, *(origin.damage if origin else ())]:
        lines = "\n".join(f"  {damaged.tag}: {damaged.message}" for damaged in damage)
        raise UserError(
            f"the receipts of {model} are broken, so no version moves:\n{lines}\n"
            "Cure: `predictflow audit --fix` brings back what is proven, and tells what to do with the rest."
        )
    return chain, origin and replace(origin, missing=[])


def write_receipt(
    repository: Repository,
    chain: Chain,
    draft: ReceiptDraft,
    *,
    why: str | None = None,
    sign: bool = False,
    now: float | None = None,
) -> Receipt:
    """Write the next receipt of a chain. Raises UserError where Git cannot; then nothing was written."""
    if not receipts.NAME.fullmatch(chain.model):
        raise UserError(
            f"{chain.model} cannot be part of a tag's name: GTO allows letters, digits, - and _.\n"
            "Cure: another tracking.model in params.yaml."
        )
    former = chain.standing().get(draft.stage or "")
    date = chain.next_time(time.time() if now is None else now)
    body = {key: draft.facts[key] for key in receipts.VERSION_KEYS} | {
        "receipt": receipts.RECEIPT_LAYOUT,
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
    name = receipts.tag_name(body, chain.next_counter)
    write_tag(repository, name, format_message(receipts.summary(body), body), draft.commit, date, sign)
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
