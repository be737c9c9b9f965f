"""What is wrong with a chain of receipts, as far as its own tags tell."""

from collections.abc import Iterator

from predictflow.formatting import moment
from predictflow.ledger.receipts import REGISTERED, Damage, Receipt, counter, summary, tag_name


def damage_of(model: str, receipts: list[Receipt], names: list[str]) -> list[Damage]:
    """What is wrong with receipts that should follow one another.

    That the last ones were deleted, or written anew by somebody who knew how, cannot be seen here:
    `ask_origin` compares them with origin's, and a signature says who wrote one.

    Args:
        names: of all tags of the model, readable or not.
    """
    known = {receipt.name: receipt for receipt in receipts}
    followers: dict[str | None, set[str]] = {}
    registered: dict[int, Receipt] = {}
    damage: list[Damage] = []
    for receipt in receipts:
        previous = receipt.previous
        followers.setdefault(previous["object"] if previous else None, set()).add(receipt.name)
        if receipt.action == REGISTERED:
            registered[receipt.version] = receipt
        damage += _of_itself(model, receipt)
        damage += _of_its_version(receipt, registered.get(receipt.version))
        if previous:
            damage += _of_its_place(receipt, previous, known.get(previous["tag"]), names)
    for same in followers.values():
        for name in sorted(same) if len(same) > 1 else ():
            others = ", ".join(sorted(same - {name}))
            damage.append(Damage("fork", name, f"it follows the same receipt as {others}"))
    return damage


def _of_itself(model: str, receipt: Receipt) -> Iterator[Damage]:
    """Where a receipt's body and its tag do not say the same."""
    name, body = receipt.name, receipt.body
    if body["model"] != model or tag_name(body, counter(name)) != name:
        yield Damage("altered", name, f"its body is of another tag: {summary(body)}")
    if body["who"] != receipt.who:
        yield Damage("altered", name, f"its body says {body['who']} wrote it, its tag says {receipt.who}")
    if body["commit"] != receipt.commit:
        place, meant = receipt.commit[:10], body["commit"][:10]
        yield Damage("moved", name, f"it is at commit {place}, its body says {meant}")
    if receipt.when != moment(receipt.time):
        yield Damage("misdated", name, f"its date is {moment(receipt.time)}, its body says {receipt.when}")


def _of_its_version(receipt: Receipt, registration: Receipt | None) -> Iterator[Damage]:
    if registration is None:
        message = f"no receipt before it registers version {receipt.version}"
        yield Damage("unregistered", receipt.name, message)
    elif any(receipt.body[key] != registration.body[key] for key in ("commit", "content")):
        yield Damage("altered", receipt.name, f"it has another commit or content than {registration.name}")


def _of_its_place(
    receipt: Receipt, previous: dict[str, str], before: Receipt | None, names: list[str]
) -> Iterator[Damage]:
    """Where a receipt does not follow the one that it names."""
    if before is None:
        gone = "is no receipt any more" if previous["tag"] in names else "is missing"
        yield Damage("gap", receipt.name, f"the receipt before it, {previous['tag']}, {gone}")
        return
    if before.object != previous["object"]:
        yield Damage("altered", before.name, f"it was written anew after {receipt.name}, which names another")
    if receipt.time <= before.time:
        yield Damage("misdated", receipt.name, f"it is not younger than the one before it, {before.name}")
