"""How answers are printed: on a terminal of any width, in a file, as JSON, with a bar while it takes long."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

MANY = 200  # things that a person waits for without a word


def open_console() -> "Console":
    """Standard output, in colour where it is a terminal; NO_COLOR turns it off, COLUMNS sets the width."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def print_gaps(console: "Console", reasons: list[str]) -> None:
    """What could not be looked at, beneath an answer."""
    for reason in reasons:
        console.print(f"not looked at: {reason}", style="yellow", markup=False)


def exit_code(yes: bool, could_tell: bool = True) -> int:
    """0 yes, 1 no, 2 could not tell: a no is certain, whatever else could not be looked at."""
    if not yes:
        return 1
    return 0 if could_tell else 2


def print_json(answer: Any) -> None:
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


def fact(head: str, *parts: str | None) -> "Text":
    """One fact: its name, then what there is to tell."""
    from rich.text import Text

    return Text.assemble((head, "bold cyan"), " ", " · ".join(filter(None, parts)))
