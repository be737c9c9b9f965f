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
from dataclasses import dataclass

from predictflow.formatting import Json
from stages.support.errors import UserError
from stages.tracking.registry import STAGES

RECEIPT_LAYOUT = 1
REGISTERED, PROMOTED, ROLLED_BACK, ARCHIVED = "registered", "promoted", "rolled back", "archived"
# What the writer of a receipt tells of a version: all that a new registry needs, but for its files.
VERSION_KEYS = {"content", "md5s", "run", "registered", "tags", "description", "decision"}
RECEIPT_KEYS = VERSION_KEYS | {
    "receipt",
    "action",
    "model",
    "version",
    "stage",
    "from",
    "commit",
    "who",
    "when",
    "why",
}
RECEIPT_KEYS |= {"previous"}
# What GTO allows as a name, and what it reads as its tag behind the name.
NAME = re.compile(r"([A-Za-z0-9_./-]+:)?[A-Za-z0-9]([A-Za-z0-9/_-]*[A-Za-z0-9])?")
MESSAGE = re.compile(r"[^\n]+\n\n(\{[^\n]*\})\n*")


class StaleLedger(UserError):
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
    """A receipt. Its `body` has all of RECEIPT_KEYS; docs/reference/json.md says what each means."""

    body: Json

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
    def previous(self) -> Json | None:
        """The tag and object of the receipt before it; None for the first."""
        return self.body["previous"]


def in_tag(model: str) -> str:
    """A model's name as GTO writes it into a tag."""
    return model.replace(":", "=")


def canonical(body: Json) -> str:
    """One line of JSON, the same for the same values. Raises ValueError for what JSON has not (NaN)."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_body(text: str) -> Json | None:
    """What a receipt's message says; None for any other message."""
    parts = MESSAGE.fullmatch(text)
    if parts is None:
        return None
    try:
        body = json.loads(parts[1])
        known = (
            canonical(body) == parts[1] and set(body) == RECEIPT_KEYS and body["receipt"] == RECEIPT_LAYOUT
        )
    except (ValueError, RecursionError):
        return None
    return body if known and _typed(body) else None


def _typed(body: Json) -> bool:
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


def counter(name: str) -> int:
    """The number at the end of a tag; 0 where it has none."""
    end = re.search(r"#(\d+)$", name)
    return int(end[1]) if end else 0


def tag_name(body: Json, number: int) -> str:
    model = in_tag(body["model"])
    if body["action"] == REGISTERED:
        return f"{model}@v{body['version']}.0.0"
    return f"{model}#{body['stage']}{'!' if body['action'] == ARCHIVED else ''}#{number}"


def summary(body: Json) -> str:
    """A receipt for people."""
    how = {
        REGISTERED: "registered",
        PROMOTED: f"promoted to {body['stage']}",
        ROLLED_BACK: f"in {body['stage']} again",
        ARCHIVED: f"taken out of {body['stage']}",
    }[body["action"]]
    why = f": {' '.join(body['why'].split())}" if body["why"] else ""
    return f"{body['model']} version {body['version']} {how}{why}"
