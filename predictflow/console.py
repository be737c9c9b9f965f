"""How answers are printed: on a terminal of any width, in a file, as JSON, with a bar while it takes long."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Row = Sequence["str | Text"]  # a table's

MANY = 200  # things that a person waits for without a word
WIDEST = 10_000  # letters that a line may have
GAP = 2  # blanks between two columns


def open_console(stderr: bool = False) -> "Console":
    """Standard output or standard error, in colour where it is a terminal; NO_COLOR turns it off, and COLUMNS
    sets the width.

    Lines break between words: one that is longer than a line, as an address may be, stays whole.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.text import Text

    class WholeWords(Console):
        def print(self, *things: Any, **how: Any) -> None:
            texts = [Text(thing) if isinstance(thing, str) else thing for thing in things]
            any_width = self.options.update(width=WIDEST)
            longest = [Measurement.get(self, any_width, text).minimum for text in texts]
            lines, self.width = self.width, max(self.width, *longest, 0)
            super().print(*things, **how)
            self.width = lines

    out = sys.stderr if stderr else sys.stdout
    return WholeWords(highlight=False, stderr=stderr, force_terminal=out.isatty())


def draw_table(heads: Sequence[str], rows: Iterable[Row], right: Sequence[str] = ()) -> "Table":
    """A table that fits into a line's width and breaks between words: where there is no room for a word, its
    middle is left out.

    Args:
        heads: what stands over the columns; all empty for none.
        right: the heads of columns of numbers.
    """
    from rich.table import Table
    from rich.text import Text

    cells: list[Row] = [heads, *rows]
    room = open_console().width - GAP * (len(heads) - 1)
    widths = fit_columns([_measured([row[at] for row in cells]) for at in range(len(heads))], room)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=any(heads))
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, width=width, justify="right" if head in right else "left")
    for row in cells[1:]:
        texts = [cell if isinstance(cell, Text) else Text(cell) for cell in row]
        short = (shorten_words(text.plain, width) for text, width in zip(texts, widths, strict=True))
        table.add_row(*(Text(cell, text.style) for cell, text in zip(short, texts, strict=True)))
    return table


def _measured(column: Row) -> tuple[int, int]:
    """The lengths of a column's longest word, with what it is indented by, and of its longest line."""
    lines = [line for cell in column for line in str(cell).split("\n")]
    words = [len(word) for line in lines for word in re.findall(r"^\s*\S+|\S+", line)]
    return max(words, default=0), max(map(len, lines))


def fit_columns(measured: Sequence[tuple[int, int]], room: int) -> list[int]:
    """The widths of columns whose longest words and lines were measured: words are kept whole first, then
    the shortest lines."""
    widths = [word for word, _ in measured]
    while sum(widths) > max(room, len(widths)):
        widths[widths.index(max(widths))] -= 1
    while sum(widths) < room and (
        narrow := [at for at, (_, line) in enumerate(measured) if widths[at] < line]
    ):
        widths[min(narrow, key=widths.__getitem__)] += 1
    return widths


def shorten_words(text: str, width: int) -> str:
    """A text without the middle of each word that is longer than `width` letters."""

    def shorten(found: re.Match[str]) -> str:
        indent, word = found[1] or "", found[2]
        room = width - len(indent)
        if len(word) <= room:
            return found[0]
        return f"{indent}{word[: room // 2]}…{word[len(word) - (room - 1) // 2 :]}"

    return re.sub(r"(?m)(^ +)?(\S+)", shorten, text)


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
