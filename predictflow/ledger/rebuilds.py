"""What rebuilds have come to: a receipt of its own kind, where the version has one.

Such a receipt, `churn-predictor/rebuilt/v3.0.0/2`, is an annotated Git tag on the version's commit: a line
for people, an empty line, and a line of canonical JSON, as in `ledger/tags.py`. GTO does not take
the name for one of its own. It is no link of the chain: it names the receipt that registers its version, and
may be missing without any harm to the others.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from predictflow.adapters.git import Repository
from predictflow.adapters.mlflow_entities import REBUILT_TAG, Version
from predictflow.errors import Unreachable
from predictflow.formatting import Json, moment
from predictflow.ledger.origin import has_origin
from predictflow.ledger.receipts import Receipt, in_tag
from predictflow.ledger.tags import Tag, format_message, identity, parse_message, read_tags, write_tag

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
    """A receipt of a rebuild. Its `body` has all of REBUILD_KEYS; `broken` is what is wrong, in words."""

    body: Json
    broken: list[str]

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


def read_rebuilds(repository: Repository, model: str) -> list[RebuildReceipt]:
    """All receipts of rebuilds of a model, the newest last. A tag of that name with no such message is
    passed over."""
    receipts = []
    for fields in read_tags(repository, f"refs/tags/{rebuild_prefix(model)}"):
        body = parse_message(fields["contents"], REBUILD_KEYS, REBUILD_LAYOUT)
        if body and body["verdict"] in GRADES and isinstance(body["machine"], dict):
            tag = Tag.from_fields(fields)
            receipts.append(RebuildReceipt(**vars(tag), body=body, broken=_broken(model, tag, body)))
    return sorted(receipts, key=lambda receipt: (receipt.time, receipt.name))


def _broken(model: str, tag: Tag, body: Json) -> list[str]:
    """Where a receipt's body and its tag do not say the same."""
    if body["model"] != model or not tag.name.startswith(f"{rebuild_prefix(model)}v{body['version']}.0.0/"):
        return [f"its body is of version {body['version']} of {body['model']}"]
    of_tag = {"commit": tag.commit, "who": tag.who, "when": moment(tag.time)}
    return [
        f"its {key} is {value}, its body says {body[key]}"
        for key, value in of_tag.items()
        if body[key] != value
    ]


def write_rebuild(repository: Repository, registered: Receipt, result: Json) -> RebuildReceipt:
    """Write the next receipt of a version's rebuilds.

    Args:
        registered: the receipt that registers the version.
        result: the values of RESULT_KEYS.

    Raises UserError where Git cannot write it.
    """
    model, version = registered.body["model"], registered.version
    now = int(time.time())
    body = {key: result[key] for key in RESULT_KEYS} | {
        "receipt": REBUILD_LAYOUT,
        "action": "rebuilt",
        "model": model,
        "version": version,
        "content": registered.content,
        "commit": registered.commit,
        "registered": {"tag": registered.name, "object": registered.object},
        "who": identity(repository),
        "when": moment(now),
    }
    stem = f"{rebuild_prefix(model)}v{version}.0.0/"
    names = repository.read("for-each-ref", "--format=%(refname:strip=2)", f"refs/tags/{stem}").split()
    numbers = [int(end) for name in names if (end := name.removeprefix(stem)).isdigit()]
    name = f"{stem}{1 + max(numbers, default=0)}"
    message = format_message(f"{model} version {version} rebuilt: {result['verdict']}", body)
    write_tag(repository, name, message, registered.commit, now, sign=False)
    return next(receipt for receipt in read_rebuilds(repository, model) if receipt.name == name)


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


def newest_verdict(repository: Repository, version: Version) -> tuple[str, int] | None:
    """The last verdict on a version and its time, in seconds since 1970, as its receipts or its tag tell it;
    None where nobody has rebuilt it."""
    verdicts = [
        (receipt.time, receipt.verdict)
        for receipt in read_rebuilds(repository, version.model)
        if receipt.content == version.content and not receipt.broken
    ]
    verdict, _, when = version.tags.get(REBUILT_TAG, "").rpartition(" ")
    if verdict in GRADES:
        with suppress(ValueError):  # somebody has edited it
            verdicts.append((int(datetime.fromisoformat(when).timestamp()), verdict))
    seconds, newest = max(verdicts, default=(0, ""))
    return (newest, seconds) if verdicts else None


def recorded_machine(receipts: list[RebuildReceipt], content: str) -> dict[str, str]:
    """The machine on which a content was last rebuilt to the byte; empty where that is not recorded."""
    identical = (
        receipt.machine
        for receipt in reversed(receipts)
        if receipt.content == content and receipt.verdict == IDENTICAL and not receipt.broken
    )
    return next(identical, {})
