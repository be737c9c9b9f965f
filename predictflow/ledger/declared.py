"""Declared gaps: a chain of receipts that is broken for good goes on from here, as a person says.

Such a tag, `churn-predictor/gap/1`, is a link of the chain: it names the last one before it, the next receipt
names it, and its message lists what is wrong with those before. That is told as a note from then on; what is
not listed there is damage as ever. GTO does not take the name for one of its own.
"""

from dataclasses import dataclass

from predictflow.formatting import Json
from predictflow.ledger.receipts import Damage, in_tag, names_a_receipt
from predictflow.ledger.tags import Tag, parse_message

GAP_LAYOUT = 1
GAP_DECLARED = "gap declared"
GAP_KEYS = {"receipt", "action", "model", "who", "when", "why", "previous", "damage", "lost"}


@dataclass(frozen=True)
class DeclaredGap(Tag):
    """A declared gap. Its `body` has all of GAP_KEYS; docs/reference/json.md says what each means."""

    body: Json

    @classmethod
    def parse(cls, tag: Tag, text: str) -> "DeclaredGap | Damage":
        """What a tag's message is: a declared gap, or one that cannot be read."""
        body = parse_message(text, GAP_KEYS, GAP_LAYOUT)
        if body is None or not _typed(body):
            return Damage("unreadable", tag.name, "its message declares no gap: not canonical JSON")
        return cls(**vars(tag), body=body)

    @property
    def previous(self) -> dict[str, str] | None:
        """The tag and object of the link before it; None where there is none."""
        return self.body["previous"]

    @property
    def when(self) -> str:
        return self.body["when"]

    def names(self, damage: Damage, object: str | None) -> bool:
        """Whether it lists what is wrong with a tag, as that is now.

        Args:
            object: the id of the tag; None where it is gone.
        """
        return {"kind": damage.kind, "tag": damage.tag, "object": object} in self.body["damage"]


def _typed(body: Json) -> bool:
    """Whether the values are what a reader may rely on."""
    previous = body["previous"]
    return (
        body["action"] == GAP_DECLARED
        and all(isinstance(body[key], str) and body[key] for key in ("model", "who", "when", "why"))
        and all(isinstance(body[key], list) for key in ("damage", "lost"))
        and all(isinstance(entry, dict) and isinstance(entry.get("tag"), str) for entry in body["damage"])
        and (previous is None or names_a_receipt(previous))
    )


def gap_prefix(model: str) -> str:
    """How the names of all declared gaps of a model begin."""
    return f"{in_tag(model)}/gap/"
