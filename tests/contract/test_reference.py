"""The lists of commands, in docs/reference/commands.md and in the README, are those of the command itself."""

import re

import click
import pytest

from predictflow import cli
from tests.contract.reference import PAGE, written
from tests.people.pages import README, text_of
from tests.people.project import REPOSITORY


def test_the_reference_is_what_the_commands_say():
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "`python -m tests.contract.reference` writes it anew"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_of_a_command_is_in_the_reference(name):
    section = PAGE.read_text(encoding="utf-8").partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    command = cli.predictflow.get_command(click.Context(cli.predictflow), name)
    options = {option for parameter in command.params for option in parameter.opts if option[:2] == "--"}
    told = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", section.partition("\nOptions:\n")[2], re.MULTILINE))
    assert told == options | {"--help"}


def test_the_readme_lists_the_commands_in_their_groups_each_with_its_page():
    listed = text_of(README).partition("\n## The commands\n")[2].partition("\n## ")[0]
    group, found = "", {}
    for line in listed.splitlines():
        if row := re.fullmatch(r"\| (\w*) +\| \[`([\w-]+)`\]\((docs/[\w./-]+)\) +\| (.*?) +\|", line):
            group = row[1] or group
            found[row[2]] = (group, row[4])
            assert f"predictflow {row[2]}" in (REPOSITORY / row[3]).read_text(encoding="utf-8"), row[3]
    assert found == cli.COMMANDS
    assert list(found) == list(cli.COMMANDS)
