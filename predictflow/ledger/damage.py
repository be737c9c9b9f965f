"""What is wrong with a chain of receipts, as far as its own tags tell."""

from collections.abc import Iterator

from predictflow.formatting import moment
from predictflow.ledger.declared import DeclaredGap
from predictflow.ledger.receipts import REGISTERED, Damage, Receipt, counter, summary, tag_name


def damage_of(model: str, links: list[Receipt | DeclaredGap], names: list[str]) -> list[Damage]:
    """What is wrong with receipts, and declared gaps, that should follow one another.

    That the last ones were deleted, or written anew by somebody who knew how, cannot be seen here:
    `ask_origin` compares them with origin's, and a signature says who wrote one.

    Args:
        names: of all tags of the model, readable or not.
    """
    known = {link.name: link for link in links}
    followers: dict[str | None, set[str]] = {}
    registered: dict[int, Receipt] = {}
    damage: list[Damage] = []
    for link in links:
        previous = link.previous
        followers.setdefault(previous["object"] if previous else None, set()).add(link.name)
        damage += _of_itself(model, link)
        if isinstance(link, Receipt):
            if link.action == REGISTERED:
                registered[link.version] = link
            damage += _of_its_version(link, registered.get(link.version))
        if previous:
            damage += _of_its_place(link, previous, known.get(previous["tag"]), names)
    for same in followers.values():
        for name in sorted(same) if len(same) > 1 else ():
            others = ", ".join(sorted(same - {name}))
            damage.append(Damage("fork", name, f"it follows the same receipt as {others}"))
    return damage


def _of_itself(model: str, link: Receipt | DeclaredGap) -> Iterator[Damage]:
    """Where a body and its tag do not say the same."""
    name, body = link.name, link.body
    if isinstance(link, Receipt):
        if body["model"] != model or tag_name(body, counter(name)) != name:
            yield Damage("altered", name, f"its body is of another tag: {summary(body)}")
        if body["commit"] != link.commit:
            place, meant = link.commit[:10], body["commit"][:10]
            yield Damage("moved", name, f"it is at commit {place}, its body says {meant}")
    elif body["model"] != model:
        yield Damage("altered", name, f"its body is of another model: {body['model']}")
    if body["who"] != link.who:
        yield Damage("altered", name, f"its body says {body['who']} wrote it, its tag says {link.who}")
    if link.when != moment(link.time):
        yield Damage("misdated", name, f"its date is {moment(link.time)}, its body says {link.when}")


def _of_its_version(receipt: Receipt, registration: Receipt | None) -> Iterator[Damage]:
    if registration is None:
        message = f"no receipt before it registers version {receipt.version}"
        yield Damage("unregistered", receipt.name, message)
    elif any(receipt.body[key] != registration.body[key] for key in ("commit", "content")):
        yield Damage("altered", receipt.name, f"it has another commit or content than {registration.name}")


def _of_its_place(
    link: Receipt | DeclaredGap,
    previous: dict[str, str],
    before: Receipt | DeclaredGap | None,
    names: list[str],
) -> Iterator[Damage]:
    """Where one does not follow the one that it names."""
    if before is None:
        gone = "is no receipt any more" if previous["tag"] in names else "is missing"
        yield Damage("gap", link.name, f"the receipt before it, {previous['tag']}, {gone}")
        return
    if before.object != previous["object"]:
        yield Damage("altered", before.name, f"it was written anew after {link.name}, which names another")
    if link.time <= before.time:
        yield Damage("misdated", link.name, f"it is not younger than the one before it, {before.name}")
