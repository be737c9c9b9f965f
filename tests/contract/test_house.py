"""The house of the tests: each tier is what it says it is, and together they are all of the tests."""

import ast
import os
import re
import subprocess
import sys
from itertools import product

import pytest
from _pytest.mark.expression import Expression

from tests.declared import REPOSITORY, imports, syntax, text
from tests.real.witnesses import WITNESSES

TESTS = REPOSITORY / "tests"
TIERS = ["commands", "contract", "real", "unit"]
FILES = sorted(TESTS.rglob("*.py"))


def selections() -> dict[str, str]:
    """{target of make: the expression by which it selects tests}."""
    found = re.findall(
        r"^(test[a-z-]*):.*\n(?:\t.*\n)*?\t@\$\(PYTEST\) -m (.*)\n", text("Makefile"), re.MULTILINE
    )
    return {target: expression.strip("'") for target, expression in found}


def test_every_test_is_run_by_one_target_of_make():
    told = selections()
    assert told.keys() == {"test", "test-real", "test-slow", "test-arm"}
    for marks in product((True, False), repeat=4):
        marked = dict(zip(("real", "witness", "slow", "arm"), marks, strict=True))
        chosen = [name for name, said in told.items() if Expression.compile(said).evaluate(marked.get)]
        assert len(chosen) == 1, (marked, chosen)
        if marked["witness"] and not (marked["slow"] or marked["arm"]):
            assert chosen == ["test"]


def test_a_change_must_pass_all_but_the_slow_ones():
    (targets,) = re.findall(r"^for target in (.*); do$", text(".ci/run"), re.MULTILINE)
    assert targets.split() == ["test", "test-real"]


@pytest.mark.real
def test_every_promise_has_a_witness_that_make_test_runs():
    assert len(set(WITNESSES.values())) == len(WITNESSES) > 8
    assert all(promise.endswith(".") and witness for promise, witness in WITNESSES.items())
    words = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:xdist",
        "-m",
        selections()["test"],
    ]
    asked = [f"tests/real/{witness}" for witness in WITNESSES.values()]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run([*words, *asked], cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if "::" in line] == asked


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_tier_uses_another(path):
    """What they share is with the people who act in them."""
    here = path.relative_to(TESTS).parts[0]
    for name in imports(syntax(path)):
        parts = name.split(".")
        if parts[0] == "tests" and len(parts) > 1 and parts[1] in TIERS and parts[1] != here:
            assert (here, name) in EXCUSED, f"{path} imports {name}"
        assert not name.endswith(".conftest"), f"{path} imports {name}"


EXCUSED = {
    ("conftest.py", "tests.real.witnesses"),
    ("conftest.py", "tests.real.witnesses.WITNESSES"),
    ("contract", "tests.real.witnesses"),
    ("contract", "tests.real.witnesses.WITNESSES"),
}


@pytest.mark.parametrize("path", sorted((TESTS / "unit").rglob("*.py")), ids=lambda path: path.name)
def test_a_unit_test_needs_no_project(path):
    asked = {
        argument.arg
        for function in ast.walk(syntax(path))
        if isinstance(function, ast.FunctionDef)
        for argument in function.args.args
    }
    assert not asked & {"history", "promoted", "restored", "warm", "served", "make_project"}


def test_no_test_lies_outside_of_a_tier():
    tests = [path.relative_to(TESTS) for path in FILES if path.name.startswith("test_")]
    assert {path.parts[0] for path in tests} == set(TIERS)
