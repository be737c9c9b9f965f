"""The receipts that `origin` has: fetched, pushed all or none, and brought back where they were lost."""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from predictflow.adapters.git import Repository
from predictflow.errors import Unreachable, masked
from predictflow.formatting import Json
from predictflow.ledger.chain import Chain, last_ref, read_chain, tag_patterns
from predictflow.ledger.receipts import Damage, in_tag, names_a_receipt
from predictflow.ledger.tags import MESSAGE, canonical
from stages.support.errors import UserError

WRITTEN = "written"  # beside Git's own files: a line for each receipt that this clone has ever begun to write


@dataclass(frozen=True)
class Origin:
    """How the tags of `origin` differ from those here.

    Attributes:
        default: the commit of its default branch; None where it has no such branch.
        head: the id of the last receipt that was pushed there; None before the first.
        tags: {name: id} of what it has.
        missing: names of tags that are there and not here.
        unpushed: names of tags that are here and not there.
        damage: tags that are another object there than here.
    """

    default: str | None
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


def default_branch(repository: Repository) -> str | None:
    """The commit of origin's default branch as this clone knows it; without origin, the one checked out."""
    known = (repository.commit(f"refs/remotes/origin/{name}") for name in ("HEAD", "main", "master"))
    return next(filter(None, known), repository.head) if has_origin(repository) else repository.head


def ask_origin(repository: Repository, model: str) -> Origin | None:
    """How origin's tags differ from those here; None where there is no origin. Raises Unreachable."""
    if not has_origin(repository):
        return None
    done = repository.git("ls-remote", "origin", "HEAD", last_ref(model), *tag_patterns(model))
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
        raise Unreachable(f"origin cannot be read: {reason[0]}")
    there = {
        ref: object
        for object, ref in (line.split("\t") for line in done.stdout.decode().splitlines())
        if not ref.endswith("^{}")
    }
    default, head = there.get("HEAD"), there.get(last_ref(model))
    if default and repository.commit(default) is None:
        repository.git("fetch", "--quiet", "--no-tags", "origin", "HEAD")
    prefix = "refs/tags/"
    there = {ref.removeprefix(prefix): object for ref, object in there.items() if ref.startswith(prefix)}
    here = tag_objects(repository, model)
    differing = sorted(name for name in there.keys() & here.keys() if there[name] != here[name])
    return Origin(
        default,
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
    if foreign := unwritten(repository, chain, origin):
        names = " ".join(f"refs/tags/{name}" for name in foreign)
        raise UserError(
            f"this clone did not write {', '.join(foreign)}, and origin has not got it: nothing is pushed.\n"
            f"Cure: `git tag -d {' '.join(foreign)}`; or, if it is right, `git push origin {names}`."
        )
    known = {link.name: link.object for link in chain.links}
    lost = {object for gap in chain.gaps for object in gap.body["lost"]}
    if origin.missing or chain.last is None or origin.head not in {None, *known.values(), *lost}:
        raise chain.outdated_by(chain)
    last, head = chain.last.object, last_ref(chain.model)
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
    return replace(origin, head=last, tags=origin.tags | new, missing=[], unpushed=unpushed, damage=[])


def own_folder(repository: Repository) -> Path:
    """Where a clone, with all its working trees, keeps what is its own affair; `writers_lock` makes it."""
    folder = repository.read("rev-parse", "--path-format=absolute", "--git-common-dir").strip()
    return Path(folder) / "predictflow"


def note_written(repository: Repository, name: str, body: Json) -> None:
    """Remember that this clone is about to write a receipt: it may push it, also after a kill."""
    with (own_folder(repository) / WRITTEN).open("a", encoding="utf-8") as file:
        file.write(f"{_digest(body)} {name}\n")


def _digest(body: Json) -> str:
    return hashlib.sha256(canonical(body).encode(errors="surrogatepass")).hexdigest()


def unwritten(repository: Repository, chain: Chain, origin: Origin) -> list[str]:
    """The names of receipts that origin lacks, that this clone did not write, and that the last one on origin
    does not name: somebody has put them here by hand."""
    lacking = [link for link in chain.links if link.name not in origin.tags]
    notes = own_folder(repository) / WRITTEN
    written = set(notes.read_text(encoding="utf-8").splitlines() if lacking and notes.exists() else ())
    lacking = [link for link in lacking if f"{_digest(link.body)} {link.name}" not in written]
    named = _behind(repository, origin.head) if lacking and origin.head else {}
    return [link.name for link in lacking if named.get(link.name) != link.object]


def push_receipts(repository: Repository, model: str) -> None:
    """Push the receipts that origin lacks, if there is an origin. Raises as `push_chain` does."""
    try:
        origin = ask_origin(repository, model)
    except Unreachable as error:
        raise UserError(f"{error}\nCure: `git fetch origin` must work.") from error
    if origin:
        push_chain(repository, read_chain(repository, model), origin)


def lost_receipts(repository: Repository, chain: Chain, origin: Origin | None) -> dict[str, str]:
    """{name: id} of the receipts that were deleted here, moved or written anew, and are proven.

    What proves a receipt is the one behind it, which names its id, and the id of the last one that this clone
    knew, or on origin. Empty where these and the last one here are of two chains: which is right, a person
    says.
    """
    heads = {link.object for link in chain.links}
    if not chain.damage and (origin is None or (origin.head in {None, *heads} and not origin.damage)):
        return {}
    proven = _behind(repository, chain.last.object) if chain.last else {}
    for last in filter(None, (chain.noted, origin.head if origin else None)):
        there = _behind(repository, last)
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
        try:
            previous = json.loads(body[1])["previous"]
        except (ValueError, KeyError):
            break
        if not names_a_receipt(previous):
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
    repository.git("fetch", "--quiet", "--no-tags", "origin", last_ref(model))
