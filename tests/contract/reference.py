"""docs/reference/commands.md is what the commands say of themselves.

`python -m tests.contract.reference` writes it anew.
"""

import click
from click.testing import CliRunner

from predictflow import cli
from tests.people.project import REPOSITORY

PAGE = REPOSITORY / "docs/reference/commands.md"


def help_of(*words: str) -> str:
    """What `predictflow … --help` prints, on a terminal of the usual width."""
    said = CliRunner().invoke(cli.predictflow, [*words, "--help"], prog_name="predictflow", terminal_width=80)
    assert said.exit_code == 0, said.output
    return said.output


def written(page: str) -> str:
    """The page with the help of today: its first words are kept, everything after them is written anew."""
    parts = [page.partition("```console\n")[0].rstrip("\n") + "\n", block()]
    for group in dict.fromkeys(group for group, _ in cli.COMMANDS.values()):
        parts.append(f"## {group}\n")
        for name, (of, told) in cli.COMMANDS.items():
            if of == group:
                parts += [f"### {name}\n", f"{told}\n", block(name)]
    return "\n".join(parts)


def block(*words: str) -> str:
    asked = " ".join(["predictflow", *words, "--help"])
    return f"```console\n$ {asked}\n{help_of(*words)}```\n"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    click.echo(f"{PAGE.relative_to(REPOSITORY)} is what the commands say")
