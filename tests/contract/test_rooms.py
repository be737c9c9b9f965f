"""The rooms of the house: which way imports go, who may import what, and how long a file may be.

Each rule is asked of the real files, and shown to fail on a file that breaks it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.declared import REPOSITORY, imports, in_git, syntax

# From the top down: a room imports from the rooms below it. Those of one line do not know each other.
FLOORS = (
    ("cli", "telco", "stack"),
    ("commands",),
    ("maintenance",),
    ("doctor",),
    ("audit",),
    ("tuning",),
    ("promotion",),
    ("exchange",),
    ("reproduction",),
    ("verification",),
    ("lineage",),
    ("ledger",),
    ("scoring",),
    ("adapters",),
    ("console",),
    ("errors", "formatting"),
)
STAGE_FLOORS = (
    ("prepare", "train", "evaluate", "register"),
    ("tracking",),
    ("data",),
    ("model",),
    ("support",),
)
# what the commands share beside what lies below them
SHARED_COMMANDS = {"checks", "completion", "decision", "objects"}
OUTSIDE = {"mlflow", "dvc", "dvc_data", "sqlalchemy"}
SHELL = {"click"}
PROCESSES = {"subprocess", "multiprocessing"}
LONGEST = 300  # lines
EXCUSED: dict[str, str] = {}  # longer files, each with its reason: the list may only get shorter


def python_files(package: str) -> list[str]:
    return [path for path in in_git() if path.startswith(f"{package}/") and path.endswith(".py")]


def room(name: str) -> str | None:
    """The room of a dotted name: the second part of it."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else None


def upward(path: str, tree: ast.AST, floors: tuple[tuple[str, ...], ...]) -> Iterator[str]:
    """The imports of a file that do not go down: to a room above, or beside it on one floor."""
    package = path.split("/")[0]
    here = room(path.removesuffix(".py").replace("/", "."))
    place = {name: floor for floor, names in enumerate(floors) for name in names}
    if here == "__init__":
        return
    assert here in place, f"{path}: no floor for {here}"
    for name in sorted(imports(tree)):
        there = room(name) if name.split(".")[0] == package else None
        if there in place and there != here and place[there] <= place[here]:
            yield f"{path} imports {name}"


def fenced(path: str, tree: ast.AST) -> Iterator[str]:
    """What a file of predictflow/ imports that only other rooms may."""
    here = room(path.removesuffix(".py").replace("/", "."))
    for top in sorted({name.split(".")[0] for name in imports(tree)}):
        if top in OUTSIDE and here != "adapters":
            yield f"{path} imports {top}: only adapters/ may"
        if top in SHELL and here not in ("cli", "commands", "console"):
            yield f"{path} imports {top}: only commands/, cli and console may"
        if top in PROCESSES and here != "adapters":
            yield f"{path} imports {top}: only adapters/ starts processes"


def between_commands(path: str, tree: ast.AST) -> Iterator[str]:
    """Commands that a command imports."""
    for name in sorted(imports(tree)):
        parts = name.split(".")
        if parts[:2] == ["predictflow", "commands"] and len(parts) == 3 and parts[2] not in SHARED_COMMANDS:
            yield f"{path} imports {name}"


def too_long(path: str, lines: int) -> bool:
    return lines > LONGEST and path not in EXCUSED


@pytest.mark.parametrize("path", python_files("predictflow"))
def test_an_import_only_goes_down(path):
    assert not list(upward(path, syntax(REPOSITORY / path), FLOORS))


@pytest.mark.parametrize("path", python_files("stages"))
def test_an_import_of_a_stage_only_goes_down(path):
    assert not list(upward(path, syntax(REPOSITORY / path), STAGE_FLOORS))


@pytest.mark.parametrize("path", python_files("predictflow"))
def test_a_file_imports_only_what_its_room_may(path):
    assert not list(fenced(path, syntax(REPOSITORY / path)))


@pytest.mark.parametrize("path", python_files("predictflow/commands"))
def test_nobody_imports_a_command(path):
    assert not list(between_commands(path, syntax(REPOSITORY / path)))


def test_no_file_is_longer_than_a_person_reads_at_once():
    paths = [*python_files("predictflow"), *python_files("stages")]
    lengths = {path: len((REPOSITORY / path).read_text(encoding="utf-8").splitlines()) for path in paths}
    assert [path for path, lines in lengths.items() if too_long(path, lines)] == []
    assert [path for path in EXCUSED if lengths.get(path, 0) <= LONGEST] == [], "no longer to be excused"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("predictflow/adapters/git.py", "from predictflow.lineage import history"),
        ("predictflow/ledger/chain.py", "import predictflow.promotion.policy"),
        ("predictflow/lineage/answers.py", "from predictflow.commands.lineage import command"),
        ("predictflow/errors.py", "from predictflow import formatting"),
    ],
)
def test_an_import_that_goes_up_is_noticed(path, line):
    assert list(upward(path, ast.parse(line), FLOORS))


def test_a_stage_that_another_one_imports_is_noticed():
    assert list(upward("stages/train.py", ast.parse("from stages import prepare"), STAGE_FLOORS))
    assert list(upward("stages/support/files.py", ast.parse("from stages.data import split"), STAGE_FLOORS))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("predictflow/lineage/project.py", "import mlflow.entities"),
        ("predictflow/audit/bytes.py", "def f():\n    from dvc.repo import Repo"),
        ("predictflow/ledger/ledger.py", "import click"),
        ("predictflow/commands/status.py", "import subprocess"),
    ],
)
def test_an_import_over_a_fence_is_noticed(path, line):
    assert list(fenced(path, ast.parse(line)))


def test_a_command_that_another_one_imports_is_noticed():
    line = "from predictflow.commands import decision, lineage"
    assert list(between_commands("predictflow/commands/diff.py", ast.parse(line))) == [
        "predictflow/commands/diff.py imports predictflow.commands.lineage"
    ]


def test_a_file_that_is_too_long_is_noticed():
    assert too_long("predictflow/ledger/chain.py", LONGEST + 1)
    assert not too_long("predictflow/ledger/chain.py", LONGEST)


def test_a_new_room_needs_a_floor():
    with pytest.raises(AssertionError, match="no floor for attic"):
        list(upward(Path("predictflow/attic/box.py").as_posix(), ast.parse(""), FLOORS))
