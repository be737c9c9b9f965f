"""How answers look: on a terminal of any width, in a file, as JSON."""

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

MANY = 200  # things that a person waits for without a word
NAMED = 8  # names that are told; the others are counted
SHORT = 12  # digits of an md5 or commit that are shown where the whole one does not matter


def console() -> "Console":
    """Standard output, in colour where it is a terminal; NO_COLOR turns it off, COLUMNS sets the width."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def unseen(console: "Console", reasons: list[str]) -> None:
    """What could not be looked at, beneath an answer."""
    for reason in reasons:
        console.print(f"not looked at: {reason}", style="yellow", markup=False)


def as_json(answer: Any) -> None:
    print(json.dumps(answer, indent=2, sort_keys=True, ensure_ascii=False))


def track(
    things: Iterable[Any], total: int, what: str = "reading Git's history", most: int = MANY
) -> Iterator[Any]:
    """Go through things, with a bar on standard error, gone when it is done; `most` need none."""
    if total <= most or not sys.stderr.isatty():
        yield from things
        return
    from rich.console import Console
    from rich.progress import track as bar

    yield from bar(things, what, total, console=Console(stderr=True), transient=True)


def moment(seconds: float) -> str:
    """A time as text: 2026-11-20T09:30:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def line(head: str, *told: str) -> "Text":
    """One fact: its name, then what there is to tell."""
    from rich.text import Text

    return Text.assemble((head, "bold cyan"), " ", " · ".join(filter(None, told)))


def place(stage: str, aliases: Iterable[str]) -> str:
    """Where a version stands: `Staging @staging`."""
    return " ".join(["in no stage" if stage == "None" else stage, *(f"@{alias}" for alias in aliases)])


def some(names: list[str], most: int = NAMED) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
