"""What rebuilds have come to: a receipt of its own kind, where the version has one.

Such a receipt, `churn-predictor/rebuilt/v3.0.0/2`, is an annotated Git tag on the version's commit: a line
for people, an empty line, and a line of canonical JSON, as in `ledger/receipts.py`. GTO does not take
the name for one of its own. It is no link of the chain: it names the receipt that registers its version, and
may be missing without any harm to the others.
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from predictflow.adapters.git import Repository
from predictflow.adapters.mlflow_entities import REBUILT_TAG, Version
from predictflow.errors import Unreachable
from predictflow.formatting import Json, moment
from predictflow.ledger.origin import has_origin
from predictflow.ledger.receipts import MESSAGE, Receipt, canonical, in_tag
from predictflow.ledger.writer import identity, write_tag

REBUILD_LAYOUT = 1
IDENTICAL, SAME, DIFFERENT = "identical", "same predictions", "different"
GRADES = (IDENTICAL, SAME, DIFFERENT)  # the best first

# What a rebuild comes to; docs/reference/json.md says what each means.
RESULT_KEYS = {
    "verdict",
    "entries",
    "differs",
    "predictions",
    "inputs",
    "environment",
    "requirements",
    "machine",
}
REBUILD_KEYS = RESULT_KEYS | {
    "receipt",
    "action",
    "model",
    "version",
    "content",
    "commit",
    "registered",
    "who",
    "when",
}
REBUILD_TAG_FIELDS = (
    "refname:strip=2",
    "objecttype",
    "*objectname",
    "taggername",
    "taggeremail",
    "taggerdate:unix",
    "contents",
)


@dataclass(frozen=True)
class RebuildReceipt:
    """A receipt of a rebuild.

    Attributes:
        time: seconds since 1970.
        body: all of REBUILD_KEYS.
        broken: what is wrong with it, in words.
    """

    name: str
    commit: str
    time: int
    who: str
    body: Json
    broken: list[str]


def rebuild_prefix(model: str) -> str:
    """How the names of all receipts of a model's rebuilds begin."""
    return f"{in_tag(model)}/rebuilt/"


def read_rebuilds(repository: Repository, model: str) -> list[RebuildReceipt]:
    """All receipts of rebuilds of a model, the newest last. A tag of that name with no such message is
    passed over."""
    form = "".join(f"%({field})%00" for field in REBUILD_TAG_FIELDS)
    told = repository.read("for-each-ref", f"--format={form}", f"refs/tags/{rebuild_prefix(model)}").split(
        "\0"
    )
    found = []
    for start in range(0, len(told) - 1, len(REBUILD_TAG_FIELDS)):
        name, _, commit, *who, date, text = told[start : start + len(REBUILD_TAG_FIELDS)]
        body = _body(text)
        if body is not None:
            one = RebuildReceipt(name.removeprefix("\n"), commit, int(date or 0), " ".join(who), body, [])
            one.broken.extend(_broken(model, one))
            found.append(one)
    return sorted(found, key=lambda one: (one.time, one.name))


def _body(text: str) -> Json | None:
    parts = MESSAGE.fullmatch(text)
    if parts is None:
        return None
    try:
        body = json.loads(parts[1])
        known = (
            canonical(body) == parts[1] and set(body) == REBUILD_KEYS and body["receipt"] == REBUILD_LAYOUT
        )
    except (ValueError, RecursionError):
        return None
    return body if known and body["verdict"] in GRADES and isinstance(body["machine"], dict) else None


def _broken(model: str, one: RebuildReceipt) -> list[str]:
    """Where a receipt's body and its tag do not say the same."""
    body = one.body
    if body["model"] != model or not one.name.startswith(f"{rebuild_prefix(model)}v{body['version']}.0.0/"):
        return [f"its body is of version {body['version']} of {body['model']}"]
    pairs = (("commit", one.commit), ("who", one.who), ("when", moment(one.time)))
    return [f"its {key} is {told}, its body says {body[key]}" for key, told in pairs if body[key] != told]


def write_rebuild(repository: Repository, registered: Receipt, given: Json) -> RebuildReceipt:
    """Write the next receipt of a version's rebuilds.

    Args:
        registered: the receipt that registers the version.
        given: the values of RESULT_KEYS.

    Raises UserError where Git cannot write it.
    """
    model, version = registered.body["model"], registered.version
    now = int(time.time())
    body = {key: given[key] for key in RESULT_KEYS} | {
        "receipt": REBUILD_LAYOUT,
        "action": "rebuilt",
        "model": model,
        "version": version,
        "content": registered.body["content"],
        "commit": registered.commit,
        "registered": {"tag": registered.name, "object": registered.object},
        "who": identity(repository),
        "when": moment(now),
    }
    stem = f"{rebuild_prefix(model)}v{version}.0.0/"
    names = repository.read("for-each-ref", "--format=%(refname:strip=2)", f"refs/tags/{stem}").split()
    numbers = [int(end) for name in names if (end := name.removeprefix(stem)).isdigit()]
    name = f"{stem}{1 + max(numbers, default=0)}"
    line = f"{model} version {version} rebuilt: {given['verdict']}"
    message = f"{line}\n\n{canonical(body)}\n"
    write_tag(repository, name, message, registered.commit, now, sign=False)
    return next(one for one in read_rebuilds(repository, model) if one.name == name)


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
        names = [f"refs/tags/{one.name}" for one in written]
        failed = f"origin does not take {', '.join(one.name for one in written)}"
        _ask_origin(repository, "push", "--quiet", "origin", *names, failed=failed)


def newest_verdict(repository: Repository, version: Version) -> tuple[str, int] | None:
    """The last verdict on a version and its time, in seconds since 1970, as its receipts or its tag tell it;
    None where nobody has rebuilt it."""
    told = [
        (one.time, one.body["verdict"])
        for one in read_rebuilds(repository, version.model)
        if one.body["content"] == version.content and not one.broken
    ]
    verdict, _, when = version.tags.get(REBUILT_TAG, "").rpartition(" ")
    if verdict in GRADES:
        with suppress(ValueError):  # somebody has edited it
            told.append((int(datetime.fromisoformat(when).timestamp()), verdict))
    return max(told)[::-1] if told else None


def recorded_machine(told: list[RebuildReceipt], content: str) -> dict[str, str]:
    """The machine on which a content was last rebuilt to the byte; empty where that is not recorded."""
    whole = [one for one in told if one.body["content"] == content and not one.broken]
    same = [one for one in whole if one.body["verdict"] == GRADES[0]]
    return same[-1].body["machine"] if same else {}
