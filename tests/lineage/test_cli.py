"""The command `predictflow` itself: its help, its completion, its exit codes, how it starts."""

import json
import subprocess
import sys

import click
import pytest

from predictflow import cli
from tests.conftest import BIN, REPOSITORY
from tests.lineage.conftest import History

HEAVY = {"mlflow", "pandas", "numpy", "pyarrow", "sklearn", "xgboost", "dvc", "sqlalchemy", "rich"}


def commands() -> dict[str, click.Command]:
    context = click.Context(cli.predictflow)
    return {name: cli.predictflow.get_command(context, name) for name in cli.COMMANDS}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_ends_in_an_example_that_names_the_command(name):
    said = subprocess.run([BIN / "predictflow", name, "--help"], capture_output=True, text=True, check=True)
    text, _, options = said.stdout.partition("\nOptions:")
    assert text.rstrip().splitlines()[-1].startswith(f"    predictflow {name} ")
    assert "--json" in options, "every reader has it"


def test_the_installed_command_is_this_one():
    said = subprocess.run([BIN / "predictflow", "--help"], capture_output=True, text=True, check=True)
    listed = [line.split()[0] for line in said.stdout.partition("Commands:\n")[2].splitlines()]
    assert listed == list(cli.COMMANDS)
    assert "..." not in said.stdout, "no help is cut short"


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
    assert "No such command" in history.told("linage", code=2)
    said = history.told("--repo", str(tmp_path), "lineage", code=1)
    assert "is in no Git repository" in said and "Cure: " in said
    (tmp_path / "empty").mkdir()
    history.project.run("git", "init", "--quiet", str(tmp_path / "empty"))
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


def test_no_colour_is_written_to_a_file_and_none_where_it_is_not_wanted(history: History):
    assert "\x1b" not in history.ask("lineage")
    assert "\x1b[1m" in history.ask("lineage", FORCE_COLOR="1")
    assert "\x1b[3" not in history.ask("lineage", FORCE_COLOR="1", NO_COLOR="1")
