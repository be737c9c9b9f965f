"""Receipts: who put which version in which stage, when and why, as annotated Git tags that form a chain.

A receipt is named as GTO names its tags, which locks: `churn-predictor@v3.0.0` says that version 3 is
registered, `churn-predictor#production#7` that one was put in Production, `churn-predictor#production!#9`
that one was taken out; the last number is one more than any before it. Its message is a line for people, an
empty line, and a line of canonical JSON, which names the receipt before it by the id of its tag object: what
was written cannot be changed without breaking the chain behind it. Only the last receipts of a chain can be
deleted unseen; `origin` keeps the id of its last one in refs/receipts/<model>, which tells that.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictflow.repository import Repository
from predictflow.show import moment
from predictflow.store import Unreachable
from stages.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock

LAYOUT = 1
REGISTERED, PROMOTED, ROLLED_BACK, ARCHIVED = "registered", "promoted", "rolled back", "archived"
STAGES = ("production", "staging")
# What the writer of a receipt tells of a version: all that a new registry needs, but for its files.
GIVEN = {"content", "md5s", "run", "registered", "tags", "description", "decision"}
KEYS = GIVEN | {"receipt", "action", "model", "version", "stage", "from", "commit", "who", "when", "why"}
KEYS |= {"previous"}
# What GTO allows as a name, and what it reads as its tag behind the name.
NAME = re.compile(r"([A-Za-z0-9_./-]+:)?[A-Za-z0-9]([A-Za-z0-9/_-]*[A-Za-z0-9])?")
GTO = re.compile(
    r"(?:@v(?P<version>\d+)\.\d+\.\d+[^#!]*!?|@deprecated|@created|#[A-Za-z0-9][\w/-]*!?)(?:#(?P<counter>\d+))?"
)
FIELDS = (
    *("refname:strip=2", "objecttype", "objectname", "*objecttype", "*objectname", "tag", "taggerdate:unix"),
    *("taggername", "taggeremail", "contents", "contents:signature"),
)
MESSAGE = re.compile(r"[^\n]+\n\n(\{[^\n]*\})\n*")
LOOKS_LIKE_ONE = re.compile(r"^\{", re.MULTILINE)  # a message that was not GTO's own

Facts = dict[str, Any]


class Quicker(UserError):
    """Somebody else has written a receipt in the meantime."""


@dataclass(frozen=True)
class Tag:
    """An annotated tag in GTO's naming.

    Attributes:
        object: the id of the tag itself.
        commit: the id of what it points to.
        time: seconds since 1970.
        who: Name <email>, as Git has it.
    """

    name: str
    object: str
    commit: str
    time: int
    who: str
    signed: bool


@dataclass(frozen=True)
class Receipt(Tag):
    """A receipt. Its `body` has all of KEYS; predictflow/README.md says what each means."""

    body: Facts

    @property
    def action(self) -> str:
        return self.body["action"]

    @property
    def version(self) -> int:
        return self.body["version"]

    @property
    def stage(self) -> str | None:
        return self.body["stage"]

    @property
    def previous(self) -> Facts | None:
        """The tag and object of the receipt before it; None for the first."""
        return self.body["previous"]


@dataclass(frozen=True)
class Damage:
    """Something that is wrong with a chain.

    Attributes:
        kind: unreadable, altered, moved, misdated, gap, fork, unregistered, lightweight or rewritten.
        tag: where it is seen.
        told: what is wrong, in words.
    """

    kind: str
    tag: str
    told: str


@dataclass(frozen=True)
class Chain:
    """What Git's tags say of a model.

    Attributes:
        receipts: in the order of the chain, the last one last.
        foreign: tags in GTO's naming that are no receipts: GTO made them, by hand. GTO and DVC believe them.
        names: of all tags in GTO's naming, whatever they are.
        damage: what is wrong; empty for a chain that holds.
    """

    model: str
    receipts: list[Receipt]
    foreign: list[Tag]
    names: list[str]
    damage: list[Damage]

    @property
    def last(self) -> Receipt | None:
        return self.receipts[-1] if self.receipts else None


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


# --- Reading --------------------------------------------------------------------------------------------


def read(repository: Repository, model: str) -> Chain:
    """All receipts of a model, in one question to Git, and what is wrong with them."""
    form = "".join(f"%({field})%00" for field in FIELDS)
    told = repository.read("for-each-ref", f"--format={form}", *_patterns(model)).split("\0")
    names, tags, receipts, damage = [], [], [], []
    for start in range(0, len(told) - 1, len(FIELDS)):
        name, kind, object, of, commit, title, date, *who, text, signature = told[start : start + len(FIELDS)]
        name = name.removeprefix("\n")
        if not GTO.fullmatch(name.removeprefix(in_tag(model))):
            continue
        names.append(name)
        if kind != "tag":
            damage.append(Damage("lightweight", name, "a tag without a message, which GTO passes over"))
            continue
        tag = Tag(name, object, commit, int(date or 0), " ".join(who), bool(signature))
        if title != name or of != "commit":
            damage.append(Damage("moved", name, f"it was made as {title}, for a {of}"))
        text = text.removesuffix(signature)
        body = _body(text)
        if body is not None:
            receipts.append(Receipt(**vars(tag), body=body))
        elif LOOKS_LIKE_ONE.search(text):
            damage.append(Damage("unreadable", name, "its message is no receipt: not canonical JSON"))
        else:
            tags.append(tag)
    receipts = _ordered(receipts)
    return Chain(model, receipts, tags, names, damage + broken(model, receipts, names))


def in_tag(model: str) -> str:
    """A model's name as GTO writes it into a tag."""
    return model.replace(":", "=")


def _patterns(model: str) -> list[str]:
    return [f"refs/tags/{in_tag(model)}{sign}*" for sign in "@#"]


def canonical(body: Facts) -> str:
    """One line of JSON, the same for the same values. Raises ValueError for what JSON has not (NaN)."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _body(text: str) -> Facts | None:
    """What a receipt's message says; None for any other message."""
    parts = MESSAGE.fullmatch(text)
    if parts is None:
        return None
    try:
        body = json.loads(parts[1])
        known = canonical(body) == parts[1] and set(body) == KEYS and body["receipt"] == LAYOUT
    except (ValueError, RecursionError):
        return None
    return body if known and _typed(body) else None


def _typed(body: Facts) -> bool:
    """Whether the values are what a reader may rely on."""
    action, stage, previous = body["action"], body["stage"], body["previous"]
    texts = (body[key] for key in ("model", "commit", "content", "description", "who", "when"))
    return (
        action in (REGISTERED, PROMOTED, ROLLED_BACK, ARCHIVED)
        and (stage is None if action == REGISTERED else stage in STAGES)
        and type(body["version"]) is int
        and (body["from"] is None or type(body["from"]) is int)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(body[key], dict) for key in ("md5s", "tags"))
        and all(body[key] is None or isinstance(body[key], dict) for key in ("run", "decision"))
        and (body["why"] is None or isinstance(body["why"], str))
        and (previous is None or (isinstance(previous, dict) and set(previous) == {"tag", "object"}))
    )


def _ordered(receipts: list[Receipt]) -> list[Receipt]:
    """Each after the one that it names; where that does not decide, by date."""
    waiting = sorted(receipts, key=lambda receipt: (receipt.time, counter(receipt.name), receipt.name))
    left = {receipt.name for receipt in waiting}
    ordered = []
    while waiting:
        ready = (one for one in waiting if not (one.previous and one.previous["tag"] in left))
        receipt = next(ready, waiting[0])
        waiting.remove(receipt)
        left.remove(receipt.name)
        ordered.append(receipt)
    return ordered


def broken(model: str, receipts: list[Receipt], names: list[str]) -> list[Damage]:
    """What is wrong with a chain, as far as its own tags tell.

    That its last receipts were deleted, or written anew by somebody who knew how, cannot be seen here:
    `ask` compares them with origin's, and a signature says who wrote one.

    Args:
        names: of all tags of the model, readable or not.
    """
    known = {receipt.name: receipt for receipt in receipts}
    followers: dict[str | None, set[str]] = {}
    registered: dict[int, Receipt] = {}
    found = []
    for receipt in receipts:
        previous = receipt.previous
        followers.setdefault(previous and previous["object"], set()).add(receipt.name)
        if receipt.action == REGISTERED:
            registered[receipt.version] = receipt
        found += _of_itself(model, receipt)
        found += _of_its_version(receipt, registered.get(receipt.version))
        if previous:
            found += _of_its_place(receipt, previous, known.get(previous["tag"]), names)
    for same in followers.values():
        for name in sorted(same) if len(same) > 1 else ():
            others = ", ".join(sorted(same - {name}))
            found.append(Damage("fork", name, f"it follows the same receipt as {others}"))
    return found


def _of_itself(model: str, receipt: Receipt) -> Iterator[Damage]:
    """Where a receipt's body and its tag do not say the same."""
    name, body = receipt.name, receipt.body
    if body["model"] != model or _name(body, counter(name)) != name:
        yield Damage("altered", name, f"its body is of another tag: {_line(body)}")
    if body["who"] != receipt.who:
        yield Damage("altered", name, f"its body says {body['who']} wrote it, its tag says {receipt.who}")
    if body["commit"] != receipt.commit:
        yield Damage(
            "moved", name, f"it is at commit {receipt.commit[:10]}, its body says {body['commit'][:10]}"
        )
    if body["when"] != moment(receipt.time):
        yield Damage("misdated", name, f"its date is {moment(receipt.time)}, its body says {body['when']}")


def _of_its_version(receipt: Receipt, registration: Receipt | None) -> Iterator[Damage]:
    if registration is None:
        told = f"no receipt before it registers version {receipt.version}"
        yield Damage("unregistered", receipt.name, told)
    elif any(receipt.body[key] != registration.body[key] for key in ("commit", "content")):
        yield Damage("altered", receipt.name, f"it has another commit or content than {registration.name}")


def _of_its_place(
    receipt: Receipt, previous: Facts, before: Receipt | None, names: list[str]
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


def counter(name: str) -> int:
    """The number at the end of a tag; 0 where it has none."""
    end = re.search(r"#(\d+)$", name)
    return int(end[1]) if end else 0


# --- What they come to ----------------------------------------------------------------------------------


def standing(receipts: list[Receipt], at: float | None = None) -> dict[str, Receipt]:
    """{stage: the receipt that put the version there which stands there now, or stood there at a moment}.

    A new version ends the former one's stay. `at` is in seconds since 1970; that second counts.
    """
    found: dict[str, Receipt] = {}
    for receipt in receipts:
        stage = receipt.stage
        if stage is None or (at is not None and receipt.time > at):
            continue
        if receipt.action != ARCHIVED:
            found[stage] = receipt
        elif stage in found and found[stage].version == receipt.version:
            del found[stage]
    return found


def assigned(receipts: list[Receipt], stage: str) -> list[int]:
    """The versions that GTO holds in a stage, the one that it shows last.

    GTO remembers those before: when the last is taken out, the one before it stands there again. To leave a
    stage empty, write that each was taken out, in this order.
    """
    found: list[int] = []
    for receipt in receipts:
        if receipt.stage == stage:
            found = [version for version in found if version != receipt.version]
            found += [receipt.version] * (receipt.action != ARCHIVED)
    return found


def versions(receipts: list[Receipt]) -> dict[int, Receipt]:
    """{version: the receipt that registers it}."""
    return {receipt.version: receipt for receipt in receipts if receipt.action == REGISTERED}


def numbers(chain: Chain) -> set[int]:
    """Those that a tag of any kind has registered."""
    parts = (GTO.fullmatch(name.removeprefix(in_tag(chain.model))) for name in chain.names)
    return {int(part["version"]) for part in parts if part and part["version"]}


def next_counter(chain: Chain) -> int:
    """One more than the highest of any tag, as GTO counts."""
    return 1 + max(map(counter, chain.names), default=0)


def next_time(chain: Chain, now: float) -> int:
    """Now, and at least a second after every other tag: GTO goes by their dates. Seconds since 1970."""
    return max([int(now), *(tag.time + 1 for tag in [*chain.receipts, *chain.foreign])])


# --- Writing --------------------------------------------------------------------------------------------


def write(
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

    Raises Quicker where the chain has gone on since it was read, UserError where Git cannot write the tag;
    then nothing was written.
    """
    if not NAME.fullmatch(chain.model):
        raise UserError(
            f"{chain.model} cannot be part of a tag's name: GTO allows letters, digits, - and _.\n"
            "Cure: another tracking.model in params.yaml."
        )
    with lock(repository):
        held = read(repository, chain.model)
        if (held.names, held.last) != (chain.names, chain.last):
            raise quicker(chain, held.last.who if held.last and held.last != chain.last else "somebody")
        former = standing(chain.receipts).get(stage or "")
        date = next_time(chain, time.time() if now is None else now)
        body = {key: given[key] for key in GIVEN} | {
            "receipt": LAYOUT,
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
        name = _name(body, next_counter(chain))
        write_tag(repository, name, f"{_line(body)}\n\n{canonical(body)}\n", commit, date, sign)
        written = {receipt.name: receipt for receipt in read(repository, chain.model).receipts}
    return written[name]


def lock(repository: Repository) -> "FileLock":
    """One writer at a time in a clone and all its working trees: tags of two stages have different names.

    Who holds it may take it again.
    """
    from filelock import FileLock

    folder = repository.read("rev-parse", "--path-format=absolute", "--git-common-dir").strip()
    path = Path(folder) / "predictflow/receipts.lock"
    path.parent.mkdir(exist_ok=True)
    return FileLock(path, is_singleton=True)


def quicker(chain: Chain, who: str) -> Quicker:
    return Quicker(
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


def _name(body: Facts, number: int) -> str:
    model = in_tag(body["model"])
    if body["action"] == REGISTERED:
        return f"{model}@v{body['version']}.0.0"
    return f"{model}#{body['stage']}{'!' if body['action'] == ARCHIVED else ''}#{number}"


def _line(body: Facts) -> str:
    """A receipt for people."""
    how = {
        REGISTERED: "registered",
        PROMOTED: f"promoted to {body['stage']}",
        ROLLED_BACK: f"in {body['stage']} again",
        ARCHIVED: f"taken out of {body['stage']}",
    }[body["action"]]
    why = f": {' '.join(body['why'].split())}" if body["why"] else ""
    return f"{body['model']} version {body['version']} {how}{why}"


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


def remove(repository: Repository, written: list[Receipt]) -> None:
    """Take back what was just written: all of it or, where a tag is no longer the one, nothing."""
    repository.read(
        "update-ref",
        "--stdin",
        given="".join(f"delete refs/tags/{receipt.name} {receipt.object}\n" for receipt in written),
    )


# --- origin ---------------------------------------------------------------------------------------------


def has_origin(repository: Repository) -> bool:
    return repository.git("remote", "get-url", "origin").returncode == 0


def ask(repository: Repository, model: str) -> Origin | None:
    """How origin's tags differ from those here; None where there is no origin. Raises Unreachable."""
    if not has_origin(repository):
        return None
    done = repository.git("ls-remote", "origin", _head(model), *_patterns(model))
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
    here = objects(repository, model)
    differing = sorted(name for name in there.keys() & here.keys() if there[name] != here[name])
    return Origin(
        head,
        there,
        *(sorted(one.keys() - other.keys()) for one, other in ((there, here), (here, there))),
        [Damage("rewritten", name, "it is another tag on origin than here") for name in differing],
    )


def objects(repository: Repository, model: str) -> dict[str, str]:
    """{name: id} of all tags of a model, whatever they are."""
    listed = repository.read("for-each-ref", "--format=%(refname:strip=2) %(objectname)", *_patterns(model))
    return dict(line.split() for line in listed.splitlines())


def fetch(repository: Repository, model: str) -> Origin | None:
    """Bring the receipts that origin has and this clone has not. One that is another there than here stays
    as it is, and is told. Raises Unreachable."""
    origin = ask(repository, model)
    if origin and origin.missing:
        refspecs = "".join(f"refs/tags/{name}:refs/tags/{name}\n" for name in origin.missing)
        done = repository.git("fetch", "--quiet", "--no-tags", "--stdin", "origin", given=refspecs)
        if done.returncode:
            raise Unreachable(f"origin's tags cannot be read: {done.stderr.decode(errors='replace').strip()}")
    return origin


def publish(repository: Repository, model: str, written: list[Receipt]) -> None:
    """Push the receipts that origin lacks, all of them or none; `written` are the last ones.

    Their names alone do not keep two writers apart (one may write of Production, the other of Staging), so
    origin also holds the id of the last one, which moves only from what it was.

    Raises UserError where origin does not take them, and Quicker where it holds a receipt that is not here;
    `written` are taken back then. Does nothing where there is no origin.
    """
    try:
        push(repository, model, written)
    except BaseException:
        remove(repository, written)
        raise


def push(repository: Repository, model: str, written: Iterable[Receipt] = ()) -> None:
    """`publish`, but nothing is taken back."""
    try:
        origin = ask(repository, model)
    except Unreachable as error:
        raise UserError(f"{error}\nCure: `git fetch origin` must work.") from error
    if origin is None:
        return
    chain = read(repository, model)
    if {receipt.name for receipt in written} & {damage.tag for damage in origin.damage}:
        raise quicker(chain, "somebody")  # who had the same next number
    if origin.damage:
        tags = ", ".join(damage.tag for damage in origin.damage)
        raise UserError(
            f"not the same on origin as here: {tags}.\n"
            "Cure: bring back the tag that another clone has; `git ls-remote origin` shows what is there."
        )
    known = {receipt.name: receipt.object for receipt in chain.receipts}
    if origin.missing or chain.last is None or origin.head not in {None, *known.values()}:
        raise quicker(chain, "somebody")
    last = chain.last.object
    done = repository.git(
        *("push", "--quiet", "--atomic", f"--force-with-lease={_head(model)}:{origin.head or ''}", "origin"),
        *(f"refs/tags/{name}:refs/tags/{name}" for name in origin.unpushed if name in known),
        f"{last}:{_head(model)}",
    )
    if done.returncode == 0:
        return
    try:
        after = ask(repository, model)
    except Unreachable:
        after = None
    if after and after.head == last:  # it arrived; only the answer did not
        return
    if after and (after.missing or after.damage or after.head != origin.head):
        raise quicker(chain, "somebody")
    raise UserError(
        f"origin does not take the receipt: {done.stderr.decode(errors='replace').strip()}\n"
        f"Cure: it must allow tags {in_tag(model)}@… and {in_tag(model)}#…, and {_head(model)}."
    )


def _head(model: str) -> str:
    return f"refs/receipts/{in_tag(model)}"


# --- What was lost --------------------------------------------------------------------------------------


def lost(repository: Repository, chain: Chain, origin: Origin | None) -> dict[str, str]:
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
    held = objects(repository, chain.model)
    return {name: object for name, object in proven.items() if held.get(name) != object}


def _behind(repository: Repository, last: str) -> dict[str, str]:
    """{name: id} of a receipt and all before it, as each names the one before; as far as Git has them."""
    found, object = {}, last
    while asked := text_of(repository, object):
        head, _, message = asked.partition("\n\n")
        body = MESSAGE.match(message)
        name = re.search(r"^tag (.+)$", head, re.MULTILINE)
        if not (name and body):
            break
        found[name[1]] = object
        previous = json.loads(body[1])["previous"]
        if previous is None:
            break
        found[previous["tag"]] = object = previous["object"]
    return found


def text_of(repository: Repository, object: str) -> str | None:
    """The text of a tag, which Git keeps for a while after the tag was deleted; None where it has none."""
    asked = repository.git("cat-file", "tag", object)
    return None if asked.returncode else asked.stdout.decode(errors="replace")


def bring_back(repository: Repository, name: str, object: str) -> None:
    """Give a tag's name to what it was again. Raises Unreachable where neither Git nor origin has that."""
    if text_of(repository, object) is None:
        repository.git("fetch", "--quiet", "--no-tags", "origin", f"refs/tags/{name}")
        if text_of(repository, object) is None:
            raise Unreachable(f"{object}, which was {name}, is neither here nor on origin")
    repository.read("update-ref", f"refs/tags/{name}", object)


def fetch_last(repository: Repository, model: str) -> None:
    """Bring the last receipt that was pushed to origin, also where its tag was deleted there."""
    repository.git("fetch", "--quiet", "--no-tags", "origin", _head(model))
