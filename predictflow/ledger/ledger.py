"""The ledger of a model: its receipts, the same here and on origin, and the one place that adds to them."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from predictflow.adapters.git import Repository
from predictflow.errors import Unreachable
from predictflow.formatting import moment
from predictflow.ledger import receipts
from predictflow.ledger.chain import GONE, Chain, last_ref, read_chain
from predictflow.ledger.declared import GAP_DECLARED, GAP_LAYOUT, DeclaredGap, gap_prefix
from predictflow.ledger.origin import (
    WRITTEN,
    Origin,
    fetch_receipts,
    lost_receipts,
    note_written,
    own_folder,
    push_chain,
    tag_objects,
    tag_text,
)
from predictflow.ledger.proof import read_both
from predictflow.ledger.receipts import Damage, Receipt, ReceiptDraft
from predictflow.ledger.signatures import verify
from predictflow.ledger.tags import Tag, format_message, identity, read_tags, write_tag
from stages.support.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock


BEGUN = "begun"  # beside WRITTEN, while receipts are written: how many, and how much was noted before


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
        with writers_lock(repository):
            take_back_part(repository, model)
        ledger = cls(repository, *_fetch(repository, model))
        last = ledger.chain.last
        if ledger.origin and last and last.name not in ledger.origin.tags:
            with writers_lock(repository):
                ledger.fetch()  # somebody was about to push them
                if ledger.origin and ledger.chain.last:
                    ledger.origin = push_chain(repository, ledger.chain, ledger.origin)
        with writers_lock(repository):
            note_last(repository, ledger.chain)
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
            sign: with the key that Git is set up with; where only some people's receipts count, in any case.
            now: seconds since 1970; by default the clock's.

        Raises StaleLedger where the chain has gone on since, here or on origin, and UserError where Git
        cannot write them, their signature does not count, or origin does not take them.
        """
        chain = self.chain
        sign = sign or chain.signers is not None
        written: list[Receipt] = []
        with writers_lock(self.repository):  # nobody's receipt may follow one that is still taken back
            held = read_chain(self.repository, chain.model)
            if (held.names, held.last) != (chain.names, chain.last):
                raise chain.outdated_by(held)
            drafts = list(drafts)
            begun = note_begun(self.repository, len(drafts))
            try:
                for draft in drafts:
                    written.append(write_receipt(self.repository, chain, draft, why=why, sign=sign, now=now))
                    ensure_signed(self.repository, written[-1], chain)
                    chain = chain.followed_by(written[-1])
                begun.unlink()
                if written and self.origin:
                    self.origin = push_chain(self.repository, chain, self.origin)
                note_last(self.repository, chain)
            except BaseException:
                remove_receipts(self.repository, {receipt.name: receipt.object for receipt in written})
                begun.unlink(missing_ok=True)
                raise
        self.chain = chain
        return written


def _read(repository: Repository, model: str) -> tuple[Chain, Origin | None]:
    try:
        return read_both(repository, model, fetch_receipts)
    except Unreachable as error:
        raise UserError(f"{error}\nCure: `git fetch origin` must work before a version moves.") from error


def _fetch(repository: Repository, model: str) -> tuple[Chain, Origin | None]:
    chain, origin = _read(repository, model)
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
    note_written(repository, name, body)
    write_tag(repository, name, format_message(receipts.summary(body), body), draft.commit, date, sign)
    (fields,) = read_tags(repository, f"refs/tags/{name}")
    return Receipt(**vars(Tag.from_fields(fields)), body=body)


def ensure_signed(repository: Repository, tag: Tag, chain: Chain) -> None:
    """Raises UserError where only some people's receipts count, and this is signed by none of them."""
    good, said = verify(repository, tag, chain.signers) if chain.signers else (True, "")
    if chain.signers and not good:
        where = f"promote.signers ({chain.signers.where})"
        raise UserError(
            f"the signature of {tag.name} does not count, by {where}: {said}\n"
            "Cure: sign with a key that is listed there (`git config user.signingkey …`), or list yours."
        )


def declare_gap(repository: Repository, model: str, why: str, gone: Iterable[str] = ()) -> DeclaredGap:
    """Let a chain that is broken for good go on from here: what is wrong with it now is listed, and told as a
    note from then on.

    Args:
        gone: the names of receipts which only MLflow's versions still name.

    Raises UserError where nothing is broken, where what is lost can be brought back, or where Git or origin
    does not take it: then nothing was written.
    """
    with writers_lock(repository):
        chain, origin = _read(repository, model)
        known = {link.object for link in chain.links}
        lost = [origin.head] if origin and origin.head and origin.head not in known else []
        damage = [*chain.damage, *(origin.damage if origin else ())]
        damage += [Damage(GONE, name, "") for name in gone]
        back = lost_receipts(repository, chain, origin)
        if any(tag_text(repository, object) for object in back.values()):
            raise UserError("what is missing can be brought back.\nCure: `predictflow audit --fix`.")
        if not damage and not lost:
            raise UserError(f"the receipts of {model} are whole: there is no gap.\nCure: none is needed.")
        commit = chain.last.commit if chain.last else repository.head
        held = tag_objects(repository, model)
        listed = [
            {"kind": kind, "tag": tag, "object": held.get(tag)}
            for kind, tag in dict.fromkeys((found.kind, found.tag) for found in damage)
        ]
        date = chain.next_time(time.time())
        body = {
            "receipt": GAP_LAYOUT,
            "action": GAP_DECLARED,
            "model": model,
            "who": identity(repository),
            "when": moment(date),
            "why": why,
            "previous": chain.last and {"tag": chain.last.name, "object": chain.last.object},
            "damage": listed,
            "lost": lost,
        }
        numbers = (name.removeprefix(gap_prefix(model)) for name in chain.names)
        number = 1 + max((int(end) for end in numbers if end.isdigit()), default=0)
        name = f"{gap_prefix(model)}{number}"
        note_written(repository, name, body)
        message = format_message(f"{model}: a gap is declared: {' '.join(why.split())}", body)
        write_tag(repository, name, message, commit or "HEAD", date, chain.signers is not None)
        (fields,) = read_tags(repository, f"refs/tags/{name}")
        gap = DeclaredGap(**vars(Tag.from_fields(fields)), body=body)
        try:
            ensure_signed(repository, gap, chain)
            if origin:
                push_chain(repository, chain.followed_by(gap), replace(origin, missing=[], damage=[]))
            note_last(repository, chain.followed_by(gap))
        except BaseException:
            remove_receipts(repository, {gap.name: gap.object})
            raise
    return gap


def writers_lock(repository: Repository) -> "FileLock":
    """One writer at a time in a clone and all its working trees: tags of two stages have different names.

    Who holds it may take it again.
    """
    from filelock import FileLock

    own_folder(repository).mkdir(exist_ok=True)
    return FileLock(own_folder(repository) / "receipts.lock", is_singleton=True)


def remove_receipts(repository: Repository, written: Mapping[str, str]) -> None:
    """Take back what was just written, {name: id}: all of it or, where a tag is another by now, nothing."""
    lines = "".join(f"delete refs/tags/{name} {object}\n" for name, object in written.items())
    repository.read("update-ref", "--stdin", given=lines)


def note_last(repository: Repository, chain: Chain) -> None:
    """Remember the last receipt of a chain, which keeps it too: from now on it is told where it is gone.

    Under the lock nobody takes it back meanwhile; one that was taken back before is not remembered.
    """
    if chain.last and chain.last.object != chain.noted:
        lines = f"verify refs/tags/{chain.last.name} {chain.last.object}\n"
        lines += f"update {last_ref(chain.model)} {chain.last.object}\n"
        repository.git("update-ref", "--stdin", given=lines)


def note_begun(repository: Repository, count: int) -> Path:
    """Remember that so many receipts are about to be written, after those that were noted until now."""
    folder = own_folder(repository)
    (folder / WRITTEN).touch()
    (folder / BEGUN).write_text(f"{count} {(folder / WRITTEN).stat().st_size}", encoding="utf-8")
    return folder / BEGUN


def take_back_part(repository: Repository, model: str) -> None:
    """Take back the receipts of a writer that was killed before it had written all that belong together."""
    folder = own_folder(repository)
    begun = folder / BEGUN
    if not begun.exists():
        return
    count, _, size = begun.read_text(encoding="utf-8").partition(" ")
    noted = (folder / WRITTEN).read_bytes()[int(size or 0) :].decode().splitlines() if size else []
    names = {line.partition(" ")[2] for line in noted}
    written = {name: object for name, object in tag_objects(repository, model).items() if name in names}
    if len(written) < int(count or 0):
        remove_receipts(repository, written)
    begun.unlink()
