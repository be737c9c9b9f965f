"""Values as short texts, and the one name for values that become JSON."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

NAMED = 8  # names that are told; the others are counted
SHORT = 12  # digits of an md5 or commit that are shown where the whole one does not matter


def moment(seconds: float) -> str:
    """A time as text: 2026-11-20T09:30:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stage_and_aliases(stage: str, aliases: Iterable[str]) -> str:
    """Where a version stands: `Staging @staging`."""
    return " ".join(["in no stage" if stage == "None" else stage, *(f"@{alias}" for alias in aliases)])


def some_of(names: list[str], most: int = NAMED) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
