"""The receipts that `origin` has: fetched, pushed all or none, and brought back where they were lost."""

import json
import re
from dataclasses import dataclass

from predictflow.adapters.git import Repository
from predictflow.errors import Unreachable, masked
from predictflow.ledger.chain import Chain, read_chain, tag_patterns
from predictflow.ledger.receipts import Damage, in_tag
from predictflow.ledger.tags import MESSAGE
from stages.support.errors import UserError


@dataclass(frozen=True)
class Origin:
    """How the tags of `origin` differ from those here.

    Attributes:
        head: the id of the last receipt that was pushed there; None before the first.
        tags: {name: id} of what it has.
        missing: names of tags that are there and not here.
        unpushed: names of tags that are here and not there.
        damage: tags that are another object there than here.
    """

    head: str | None
    tags: dict[str, str]
    missing: list[str]
    unpushed: list[str]
    damage: list[Damage]


def has_origin(repository: Repository) -> bool:
    return repository.git("remote", "get-url", "origin").returncode == 0


def origin_url(repository: Repository) -> str | None:
    """Where origin is pushed to, without a password; None where there is no origin."""
    asked = repository.git("remote", "get-url", "--push", "origin")
    return None if asked.returncode else masked(asked.stdout.decode(errors="replace").strip())


def ask_origin(repository: Repository, model: str) -> Origin | None:
    """How origin's tags differ from those here; None where there is no origin. Raises Unreachable."""
    if not has_origin(repository):
        return None
    done = repository.git("ls-remote", "origin", _head(model), *tag_patterns(model))
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
        raise Unreachable(f"origin cannot be read: {reason[0]}")
    there = {
        ref: object
        for object, ref in (line.split("\t") for line in done.stdout.decode().splitlines())
        if not ref.endswith("^{}")
    }
    head = there.pop(_head(model), None)
    there = {ref.removeprefix("refs/tags/"): object for ref, object in there.items()}
    here = tag_objects(repository, model)
    differing = sorted(name for name in there.keys() & here.keys() if there[name] != here[name])
    return Origin(
        head,
        there,
        missing=sorted(there.keys() - here.keys()),
        unpushed=sorted(here.keys() - there.keys()),
        damage=[Damage("rewritten", name, "it is another tag on origin than here") for name in differing],
    )


def tag_objects(repository: Repository, model: str) -> dict[str, str]:
    """{name: id} of all tags of a model, whatever they are."""
    listed = repository.read(
        "for-each-ref", "--format=%(refname:strip=2) %(objectname)", *tag_patterns(model)
    )
    return dict(line.split() for line in listed.splitlines())


def fetch_receipts(repository: Repository, model: str) -> Origin | None:
    """Bring the receipts that origin has and this clone has not. One that is another there than here stays
    as it is, and is told. Raises Unreachable."""
    origin = ask_origin(repository, model)
    if origin and origin.missing:
        refspecs = "".join(f"refs/tags/{name}:refs/tags/{name}\n" for name in origin.missing)
        done = repository.git("fetch", "--quiet", "--no-tags", "--stdin", "origin", given=refspecs)
        if done.returncode:
            raise Unreachable(f"origin's tags cannot be read: {done.stderr.decode(errors='replace').strip()}")
    return origin


def push_chain(repository: Repository, chain: Chain, origin: Origin) -> Origin:
    """Push the receipts that origin lacks, all of them or none; what origin has then.

    Their names alone do not keep two writers apart (one may write of Production, the other of Staging), so
    origin also holds the id of the last one, which moves only from what it was when origin was asked.

    Raises UserError where origin does not take them, and StaleLedger where it holds a receipt that is not
    here.
    """
    if origin.damage:
        tags = ", ".join(damage.tag for damage in origin.damage)
        raise UserError(
            f"not the same on origin as here: {tags}.\n"
            "Cure: bring back the tag that another clone has; `git ls-remote origin` shows what is there."
        )
    known = {receipt.name: receipt.object for receipt in chain.receipts}
    if origin.missing or chain.last is None or origin.head not in {None, *known.values()}:
        raise chain.outdated_by(chain)
    last, head = chain.last.object, _head(chain.model)
    new = {name: object for name, object in known.items() if name not in origin.tags}
    done = repository.git(
        *("push", "--quiet", "--atomic", f"--force-with-lease={head}:{origin.head or ''}", "origin"),
        *(f"refs/tags/{name}:refs/tags/{name}" for name in sorted(new)),
        f"{last}:{head}",
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        try:
            after = ask_origin(repository, chain.model)
        except Unreachable as error:
            raise UserError(f"{error}\n{said}\nCure: `git fetch origin` must work.") from error
        if after is None or after.head != last:  # else it arrived; only the answer did not
            if after and (after.missing or after.damage or after.head != origin.head):
                raise chain.outdated_by(chain)
            raise UserError(
                f"origin does not take the receipt: {said}\n"
                f"Cure: it must allow tags {in_tag(chain.model)}@… and {in_tag(chain.model)}#…, and {head}."
            )
    unpushed = [name for name in origin.unpushed if name not in new]
    return Origin(last, origin.tags | new, [], unpushed, [])


def push_receipts(repository: Repository, model: str) -> None:
    """Push the receipts that origin lacks, if there is an origin. Raises as `push_chain` does."""
    try:
        origin = ask_origin(repository, model)
    except Unreachable as error:
        raise UserError(f"{error}\nCure: `git fetch origin` must work.") from error
    if origin:
        push_chain(repository, read_chain(repository, model), origin)


def _head(model: str) -> str:
    return f"refs/receipts/{in_tag(model)}"


def lost_receipts(repository: Repository, chain: Chain, origin: Origin | None) -> dict[str, str]:
    """{name: id} of the receipts that were deleted here, moved or written anew, and are proven.

    What proves a receipt is the one behind it, which names its id, and the id of the last one on origin.
    Empty where the last one here and the last one on origin are of two chains: which is right, a person says.
    """
    heads = {receipt.object for receipt in chain.receipts}
    if not chain.damage and (origin is None or (origin.head in {None, *heads} and not origin.damage)):
        return {}
    proven = _behind(repository, chain.last.object) if chain.last else {}
    if origin and origin.head:
        there = _behind(repository, origin.head)
        if not there.items() <= proven.items():
            proven = there if proven.keys() <= there.keys() else {}
    held = tag_objects(repository, chain.model)
    return {name: object for name, object in proven.items() if held.get(name) != object}


def _behind(repository: Repository, last: str) -> dict[str, str]:
    """{name: id} of a receipt and all before it, as each names the one before; as far as Git has them."""
    ids, object = {}, last
    while text := tag_text(repository, object):
        head, _, message = text.partition("\n\n")
        body = MESSAGE.match(message)
        name = re.search(r"^tag (.+)$", head, re.MULTILINE)
        if not (name and body):
            break
        ids[name[1]] = object
        previous = json.loads(body[1])["previous"]
        if previous is None:
            break
        object = previous["object"]
        ids[previous["tag"]] = object
    return ids


def tag_text(repository: Repository, object: str) -> str | None:
    """The text of a tag, which Git keeps for a while after the tag was deleted; None where it has none."""
    asked = repository.git("cat-file", "tag", object)
    return None if asked.returncode else asked.stdout.decode(errors="replace")


def bring_back(repository: Repository, name: str, object: str) -> None:
    """Give a tag's name to what it was again. Raises Unreachable where neither Git nor origin has that."""
    if tag_text(repository, object) is None:
        repository.git("fetch", "--quiet", "--no-tags", "origin", f"refs/tags/{name}")
        if tag_text(repository, object) is None:
            raise Unreachable(f"{object}, which was {name}, is neither here nor on origin")
    repository.read("update-ref", f"refs/tags/{name}", object)


def fetch_last(repository: Repository, model: str) -> None:
    """Bring the last receipt that was pushed to origin, also where its tag was deleted there."""
    repository.git("fetch", "--quiet", "--no-tags", "origin", _head(model))
