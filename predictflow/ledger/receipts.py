"""Receipts: who put which version in which stage, when and why, as annotated Git tags that form a chain.

A receipt is named as GTO names its tags, which locks: `churn-predictor@v3.0.0` says that version 3 is
registered, `churn-predictor#production#7` that one was put in Production, `churn-predictor#production!#9`
that one was taken out; the last number is one more than any before it. Its message is a line for people, an
empty line, and a line of canonical JSON, which names the receipt before it by the id of its tag object: what
was written cannot be changed without breaking the chain behind it. Only the last receipts of a chain can be
deleted unseen; `origin` keeps the id of its last one in refs/receipts/<model>, which tells that.
"""

import re
from dataclasses import dataclass

from predictflow.formatting import Json
from predictflow.ledger.tags import Tag, parse_message
from stages.support.errors import UserError
from stages.tracking.registry import STAGES

RECEIPT_LAYOUT = 1
REGISTERED, PROMOTED, ROLLED_BACK, ARCHIVED = "registered", "promoted", "rolled back", "archived"
# What the writer of a receipt tells of a version: all that a new registry needs, but for its files.
VERSION_KEYS = {"content", "md5s", "run", "registered", "tags", "description", "decision"}
OF_TRANSITION = {"action", "model", "version", "stage", "from", "commit", "why"}
RECEIPT_KEYS = VERSION_KEYS | OF_TRANSITION | {"receipt", "who", "when", "previous"}
# What GTO allows as a name, and what it reads as its tag behind the name.
NAME = re.compile(r"([A-Za-z0-9_./-]+:)?[A-Za-z0-9]([A-Za-z0-9/_-]*[A-Za-z0-9])?")
CLOCKS_DIFFER = 300  # seconds
LOOKS_LIKE_ONE = re.compile(r"^\{", re.MULTILINE)  # a message that was not GTO's own


class StaleLedger(UserError):
    """Somebody else has written a receipt in the meantime."""


@dataclass(frozen=True)
class Damage:
    """Something that is wrong with a chain, and the tag where it is seen."""

    kind: str  # one of those in docs/reference/json.md
    tag: str
    message: str


@dataclass(frozen=True)
class ReceiptDraft:
    """A receipt that is to be written.

    Attributes:
        action: REGISTERED, PROMOTED, ROLLED_BACK or ARCHIVED.
        commit: the id of the commit that holds the version's dvc.lock.
        facts: what is told of the version: the values of VERSION_KEYS.
        stage: production or staging; None for a registration.
    """

    action: str
    version: int
    commit: str
    facts: Json
    stage: str | None = None


@dataclass(frozen=True)
class Receipt(Tag):
    """A receipt. Its `body` has all of RECEIPT_KEYS; docs/reference/json.md says what each means."""

    body: Json

    @classmethod
    def parse(cls, tag: Tag, text: str) -> "Receipt | Damage | None":
        """What a tag's message is: a receipt, one that cannot be read, or none: GTO's own words."""
        body = parse_message(text, RECEIPT_KEYS, RECEIPT_LAYOUT)
        if body is not None and _typed(body):
            return cls(**vars(tag), body=body)
        if LOOKS_LIKE_ONE.search(text):
            return Damage("unreadable", tag.name, "its message is no receipt: not canonical JSON")
        return None

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
    def content(self) -> str:
        return self.body["content"]

    @property
    def md5s(self) -> dict[str, str]:
        """{path: md5} of all that the version was made from, and of its files."""
        return self.body["md5s"]

    @property
    def run(self) -> Json | None:
        """The run that made the version; None where MLflow did not know it any more."""
        return self.body["run"]

    @property
    def decision(self) -> Json | None:
        return self.body["decision"]

    @property
    def when(self) -> str:
        """As its text says it: 2026-11-20T09:30:00Z."""
        return self.body["when"]

    @property
    def previous(self) -> dict[str, str] | None:
        """The tag and object of the receipt before it; None for the first."""
        return self.body["previous"]


def _typed(body: Json) -> bool:
    """Whether the values are what a reader may rely on."""
    action, stage, previous = body["action"], body["stage"], body["previous"]
    texts = (body[key] for key in ("model", "commit", "content", "description", "who", "when"))
    return (
        action in (REGISTERED, PROMOTED, ROLLED_BACK, ARCHIVED)
        and (stage is None if action == REGISTERED else stage in list(STAGES))  # it may be no text
        and type(body["version"]) is int
        and (body["from"] is None or type(body["from"]) is int)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(body[key], dict) for key in ("md5s", "tags"))
        and all(body[key] is None or isinstance(body[key], dict) for key in ("run", "decision"))
        and (body["why"] is None or isinstance(body["why"], str))
        and (previous is None or names_a_receipt(previous))
    )


def names_a_receipt(previous: object) -> bool:
    if not isinstance(previous, dict) or set(previous) != {"tag", "object"}:
        return False
    return all(isinstance(text, str) for text in previous.values())


def in_tag(model: str) -> str:
    """A model's name as GTO writes it into a tag."""
    return model.replace(":", "=")


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
