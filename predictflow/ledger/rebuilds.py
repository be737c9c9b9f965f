"""What rebuilds have come to: a receipt of its own kind.

Such a receipt, `churn-predictor/rebuilt/v3.0.0/2`, is an annotated Git tag on the version's commit: a line
for people, an empty line, and a line of canonical JSON, as in `ledger/tags.py`. GTO does not take
the name for one of its own. It is no link of the chain: it names the receipt that registers its version, and
may be missing without any harm to the others. Where none registers it yet, its content stands in the name.
What MLflow is told of a rebuild is there for people to see, and decides nothing.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from predictflow.adapters.git import Repository
from predictflow.errors import Unreachable
from predictflow.formatting import Json, moment
from predictflow.ledger.chain import Chain
from predictflow.ledger.ledger import remove_receipts
from predictflow.ledger.origin import has_origin
from predictflow.ledger.receipts import CLOCKS_DIFFER, in_tag
from predictflow.ledger.signatures import verify
from predictflow.ledger.tags import Tag, format_message, identity, parse_message, read_tags, write_tag
from stages.support.errors import UserError
from stages.support.paths import PROVENANCE

REBUILD_LAYOUT = 1
IDENTICAL, SAME, DIFFERENT = "identical", "same predictions", "different"
GRADES = (IDENTICAL, SAME, DIFFERENT)  # the best first

# What a rebuild comes to; docs/reference/json.md says what each means.
OF_RUN = {"inputs", "environment", "requirements", "machine"}
RESULT_KEYS = {"verdict", "entries", "differs", "predictions"} | OF_RUN
OWN_KEYS = {"receipt", "action", "model", "version", "content", "commit", "registered", "who", "when"}
REBUILD_KEYS = RESULT_KEYS | OWN_KEYS


@dataclass(frozen=True)
class RebuildReceipt(Tag):
    """A receipt of a rebuild.

    Attributes:
        body: it has all of REBUILD_KEYS.
        broken: where it is not what its tag, its commit and the chain say, in words.
        unsigned: why its signature does not count, where only some people's do.
    """

    body: Json
    broken: list[str]
    unsigned: list[str]

    @property
    def counts(self) -> bool:
        return not (self.broken or self.unsigned)

    @property
    def content(self) -> str:
        return self.body["content"]

    @property
    def verdict(self) -> str:
        return self.body["verdict"]

    @property
    def when(self) -> str:
        """As its text says it: 2026-11-20T09:30:00Z."""
        return self.body["when"]

    @property
    def machine(self) -> dict[str, str]:
        return self.body["machine"]


def rebuild_prefix(model: str) -> str:
    """How the names of all receipts of a model's rebuilds begin."""
    return f"{in_tag(model)}/rebuilt/"


def _stem(model: str, version: int | None, content: str) -> str:
    """How the names of a version's receipts begin, before their number."""
    return f"{rebuild_prefix(model)}{content if version is None else f'v{version}.0.0'}/"


def read_rebuilds(repository: Repository, chain: Chain) -> list[RebuildReceipt]:
    """All receipts of rebuilds of a model, the newest last. A tag of that name with no such message is
    passed over."""
    found = []
    for fields in read_tags(repository, f"refs/tags/{rebuild_prefix(chain.model)}"):
        text = fields["contents"].removesuffix(fields["contents:signature"])
        body = parse_message(text, REBUILD_KEYS, REBUILD_LAYOUT)
        if body and _typed(body):
            found.append((Tag.from_fields(fields), body))
    if not found:
        return []
    records = repository.ids([f"{tag.commit}:{PROVENANCE}" for tag, _ in found])
    texts = dict(repository.blobs(list({record for record in records if record})))
    receipts = []
    for (tag, body), record in zip(found, records, strict=True):
        content = hashlib.md5(texts[record]).hexdigest() if record else None
        good, said = verify(repository, tag, chain.signers) if chain.signers else (True, "")
        broken, unsigned = list(_broken(chain, tag, body, content)), [] if good else [said]
        receipts.append(RebuildReceipt(**vars(tag), body=body, broken=broken, unsigned=unsigned))
    return sorted(receipts, key=lambda receipt: (receipt.time, receipt.name))


def _typed(body: Json) -> bool:
    """Whether the values are what a reader may rely on."""
    texts = ("model", "content", "commit", "who", "when")
    whole = all(isinstance(body[key], str) for key in texts) and isinstance(body["machine"], dict)
    return whole and body["verdict"] in GRADES


def _broken(chain: Chain, tag: Tag, body: Json, content: str | None) -> Iterator[str]:
    """Where a receipt's body is not what its tag, its commit and the chain say.

    Args:
        content: the model that its commit holds.
    """
    version = body["version"]
    if body["model"] != chain.model or not tag.name.startswith(_stem(chain.model, version, body["content"])):
        yield f"its body is of version {version} of {body['model']}"
        return
    of_tag = {"commit": tag.commit, "content": content, "who": tag.who, "when": moment(tag.time)}
    for key, value in of_tag.items():
        if body[key] != value:
            yield f"its {key} is {value}, its body says {body[key]}"
    registered = {f"v{number}": receipt.content for number, receipt in chain.registrations.items()}
    if registered.get(f"v{version}", content) != content:
        yield f"version {version} is content {registered[f'v{version}']}"
    if tag.time > time.time() + CLOCKS_DIFFER:
        yield f"its date, {moment(tag.time)}, is still to come"


def write_rebuild(
    repository: Repository, chain: Chain, content: str, commit: str, result: Json
) -> RebuildReceipt:
    """Write the next receipt of a version's rebuilds.

    Args:
        commit: the one that was rebuilt, which holds the content.
        result: the values of RESULT_KEYS.

    Raises UserError where Git cannot write it, or where it would not count: then nothing was written.
    """
    model, registrations = chain.model, chain.registrations.values()
    registered = next((receipt for receipt in registrations if receipt.content == content), None)
    version = registered.version if registered else None
    earlier = [receipt for receipt in read_rebuilds(repository, chain) if receipt.content == content]
    # After those that count, also where the clock was set back since: the last verdict is the one that holds.
    now = max(int(time.time()), *(receipt.time + 1 for receipt in earlier if receipt.counts), 0)
    body = {key: result[key] for key in RESULT_KEYS} | {
        "receipt": REBUILD_LAYOUT,
        "action": "rebuilt",
        "model": model,
        "version": version,
        "content": content,
        "commit": commit,
        "registered": registered and {"tag": registered.name, "object": registered.object},
        "who": identity(repository),
        "when": moment(now),
    }
    stem = _stem(model, version, content)
    names = repository.read("for-each-ref", "--format=%(refname:strip=2)", f"refs/tags/{stem}").split()
    numbers = [int(end) for name in names if (end := name.removeprefix(stem)).isdigit()]
    name = f"{stem}{1 + max(numbers, default=0)}"
    what = f"version {version}" if registered else f"content {content}"
    message = format_message(f"{model} {what} rebuilt: {result['verdict']}", body)
    write_tag(repository, name, message, commit, now, sign=chain.signers is not None)
    written = next(receipt for receipt in read_rebuilds(repository, chain) if receipt.name == name)
    if not written.counts:
        remove_receipts(repository, {name: written.object})
        reason = "; ".join(written.broken + written.unsigned)
        raise UserError(f"the receipt of the rebuild of {what} would not count: {reason}")
    return written


def _ask_origin(repository: Repository, *words: str, failed: str) -> None:
    done = repository.git(*words)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
        raise Unreachable(f"{failed}: {reason[-1]}")


def fetch_rebuilds(repository: Repository, model: str) -> None:
    """Bring the receipts of rebuilds that origin has, if there is an origin. Raises Unreachable."""
    if has_origin(repository):
        ref = f"refs/tags/{rebuild_prefix(model)}*"
        words = ("fetch", "--quiet", "--no-tags", "origin", f"{ref}:{ref}")
        _ask_origin(repository, *words, failed="origin's receipts of rebuilds were not fetched")


def push_rebuilds(repository: Repository, written: list[RebuildReceipt]) -> None:
    """Push them to origin, if there is one. Raises Unreachable where it does not take them: they stay."""
    if written and has_origin(repository):
        names = [receipt.name for receipt in written]
        refs = (f"refs/tags/{name}" for name in names)
        failed = f"origin does not take {', '.join(names)}"
        _ask_origin(repository, "push", "--quiet", "origin", *refs, failed=failed)


def newest_verdict(receipts: list[RebuildReceipt], content: str | None) -> tuple[str, int] | None:
    """The last verdict on a content that counts, and its time, in seconds since 1970; None where nobody has
    rebuilt it."""
    counted = (receipt for receipt in reversed(receipts) if receipt.content == content and receipt.counts)
    newest = next(counted, None)
    return (newest.verdict, newest.time) if newest else None


def recorded_machine(receipts: list[RebuildReceipt], content: str) -> dict[str, str]:
    """The machine on which a content was last rebuilt to the byte; empty where that is not recorded."""
    identical = (
        receipt.machine
        for receipt in reversed(receipts)
        if receipt.content == content and receipt.verdict == IDENTICAL and receipt.counts
    )
    return next(identical, {})
