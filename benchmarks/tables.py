"""A table for the terminal, or in Markdown to paste into a page."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    """Print a table on standard output; every column but the first is set flush right."""
    if markdown:
        print(f"**{title}**\n")
        for row in (header, ["---"] + ["--:"] * (len(header) - 1), *rows):
            print(f"| {' | '.join(row)} |")
        print()
        return
    table = Table(title=title, title_justify="left")
    for at, name in enumerate(header):
        table.add_column(name, justify="right" if at else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
