"""The command `predictflow` itself: its help, its completion, its exit codes, how it starts."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import textwrap
import tomllib

import click
import pytest

from predictflow import cli
from tests.people.history import History
from tests.people.manual import json_keys_of, json_manual, keys
from tests.people.project import BIN, REPOSITORY, WAIT

HEAVY = {"mlflow", "pandas", "numpy", "pyarrow", "sklearn", "xgboost", "dvc", "sqlalchemy", "rich"}


def commands() -> dict[str, click.Command]:
    context = click.Context(cli.predictflow)
    return {name: cli.predictflow.get_command(context, name) for name in cli.COMMANDS}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_ends_in_an_example_that_names_the_command(name):
    said = subprocess.run([BIN / "predictflow", name, "--help"], capture_output=True, text=True, check=True)
    text, _, options = said.stdout.partition("\nOptions:")
    assert text.rstrip().splitlines()[-1].startswith(f"    predictflow {name}")
    assert "--json" in options, "every reader has it"


def test_the_installed_command_is_this_one():
    said = subprocess.run([BIN / "predictflow", "--help"], capture_output=True, text=True, check=True)
    listed = said.stdout.partition("\nAsk:\n")[2]
    told = [line.split(maxsplit=1) for line in listed.splitlines() if line.startswith("  ")]
    assert told == [[name, help] for name, (_, help) in cli.COMMANDS.items()], "none is cut short"
    headings = [line.removesuffix(":") for line in said.stdout.splitlines() if re.match(r"\w+:$", line)]
    groups = list(dict.fromkeys(group for group, _ in cli.COMMANDS.values()))
    assert headings == ["Options", *groups], "a group is told once, and none is empty"


def test_the_list_of_commands_says_what_each_says_of_itself():
    told = {name: help for name, (_, help) in cli.COMMANDS.items()}
    assert {name: command.short_help for name, command in commands().items()} == told


def test_the_list_of_commands_and_the_version_import_no_command():
    code = "import sys; from predictflow import cli; cli.run(sys.argv[1:]); print(*sys.modules)"
    for asked in ("--help", "--version"):
        said = subprocess.run(
            [sys.executable, "-c", code, asked], capture_output=True, text=True, check=True, cwd=REPOSITORY
        )
        loaded = set(said.stdout.splitlines()[-1].split())
        assert not loaded & (HEAVY | {command.callback.__module__ for command in commands().values()})


def test_the_version_is_the_one_of_pyproject():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = subprocess.run([BIN / "predictflow", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"predictflow {project['version']}\n"


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = f"""
import sys, click
from predictflow import cli
for name in cli.COMMANDS:
    cli.predictflow.get_command(click.Context(cli.predictflow), name)
print(*sorted({HEAVY} & set(sys.modules)))
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert said.stdout.split() == []


def test_a_mistake_is_told_without_a_traceback(history: History, tmp_path):
    assert "No such command 'linage'. Did you mean lineage?" in history.told("linage", code=2)
    assert history.told("xyz", code=2).endswith("No such command 'xyz'.\n")
    assert "88 is too short for the beginning of an md5" in history.told("lineage", "88", code=1)
    said = history.told("--repo", str(tmp_path), "lineage", code=1)
    assert "is in no Git repository" in said and "Cure: " in said
    (tmp_path / "empty").mkdir()
    history.project.run("git", "init", "--quiet", str(tmp_path / "empty"))
    assert "no PredictFlow project" in history.told("--repo", str(tmp_path / "empty"), "lineage", code=1)
    (tmp_path / "empty/params.yaml").touch()
    assert "there is no model here yet" in history.told("--repo", str(tmp_path / "empty"), "lineage", code=1)


def test_the_shell_completes_refs_versions_aliases_and_experiments(history: History):
    def completed(typed: str) -> set[str]:
        asked = {"_PREDICTFLOW_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
        asked |= {"COMP_WORDS": f"predictflow lineage {typed}"}
        said = history.project.run("predictflow", env=asked).stdout
        return {line.partition(",")[2] for line in said.splitlines() if line.startswith("plain,")}

    assert completed("sh") == {"shallow"}
    assert completed("churn-predictor/1") == {"churn-predictor/1"}
    assert completed("churn-predictor@") == {"churn-predictor@staging"}
    assert {"main", "feature", "v1", "light"} <= completed("")


def test_an_answer_in_json_is_the_same_every_time(history: History):
    for words in (["lineage"], ["lineage", "data/customers.csv"], ["find-customer", "M-30"]):
        first, second = (history.ask(*words, "--json") for _ in range(2))
        assert first == second
        assert first == json.dumps(json.loads(first), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def in_a_terminal(history: History, *words: str, code: int = 0, **env: str) -> str:
    """What a person sees who types a command."""
    ours, theirs = pty.openpty()
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    env = {"TERM": "xterm-256color", "COLUMNS": "80"} | env
    with history.project.begun(
        sys.executable, "-m", "predictflow.cli", *words, env=env, **terminal
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes any more
            while part := os.read(ours, 65536):
                said += part
        os.close(ours)
        assert process.wait(WAIT) == code
    return said.decode()


def test_an_error_breaks_between_words_on_a_terminal_alone(history: History):
    words = ("tune", "--apply", "--exp", "name")
    error, cure = "ERROR: --apply and --exp exclude each other.", "Cure: one of them."
    shown = in_a_terminal(history, *words, code=1, COLUMNS="30")
    assert [line.rstrip() for line in shown.splitlines()] == [*textwrap.wrap(error, 30), cure]
    assert history.told(*words, code=1).splitlines()[-2:] == [error, cure]


def test_a_terminal_has_colours_and_a_file_has_none(history: History):
    yellow = "\x1b[33m"
    assert yellow in in_a_terminal(history, "lineage")
    assert yellow not in in_a_terminal(history, "lineage", NO_COLOR="1")
    assert "\x1b" not in history.ask("lineage")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["lineage"], 0),
        (["lineage", "data/customers.csv"], 0),
        (["diff", "v1", "main"], 1),
        (["status"], 1),
        (["find-customer", "M-30"], 0),
        (["promote", "v1", "--to", "production"], 0),
        (["history"], 0),
        (["gate", "churn-predictor@production"], 1),
        (["audit"], 0),
        (["rebuild", "churn-predictor/7"], 2),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_key_of_the_json_is_documented_under_its_command(history: History, words, code):
    section = json_keys_of(words[0])
    answer = history.answer(*words, code=code)
    assert len(answer) >= 3
    for key in keys(answer) - {"not_looked_at"}:
        assert f"`{key}`" in section, key
    assert "`not_looked_at`" in json_manual()
