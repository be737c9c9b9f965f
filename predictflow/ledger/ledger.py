"""The ledger of a model: its receipts, the same here and on origin, and the one place that adds to them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from predictflow.adapters.git import Repository
from predictflow.errors import Unreachable
from predictflow.ledger.chain import Chain, read_chain
from predictflow.ledger.origin import Origin, fetch_receipts, push_chain
from predictflow.ledger.receipts import Receipt, ReceiptDraft
from predictflow.ledger.writer import remove_receipts, write_receipt, writers_lock
from stages.support.errors import UserError


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
