"""A table for the terminal, or in Markdown to paste into a page."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def show(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool, numbers: bool = True
) -> None:
    """Print a table on standard output; columns of `numbers`, all but the first, are set flush right."""
    side = "--:" if numbers else "---"
    if markdown:
        print(f"**{title}**\n")
        for row in (header, ["---"] + [side] * (len(header) - 1), *rows):
            print(f"| {' | '.join(row)} |")
        print()
        return
    table = Table(title=title, title_justify="left")
    for at, name in enumerate(header):
        table.add_column(name, justify="right" if at and numbers else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
