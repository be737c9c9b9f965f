"""GitHub's two flows, as linters read them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.declared import text, yaml
from tests.people.project import BIN, REPOSITORY

PULL_REQUEST, PROMOTION = ".github/workflows/pull-request.yml", ".github/workflows/promotion.yml"


LINTERS = {
    "zizmor": ["zizmor", "--offline", "--no-progress", "--persona", "pedantic"],
    "check-jsonschema": ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
}


def lint(linter: str, path: Path) -> int:
    done = subprocess.run(
        [BIN / LINTERS[linter][0], *LINTERS[linter][1:], path], capture_output=True, timeout=60
    )
    return done.returncode


@pytest.mark.parametrize("path", [PULL_REQUEST, PROMOTION])
@pytest.mark.parametrize("linter", LINTERS)
def test_a_linter_finds_nothing(linter, path):
    assert lint(linter, REPOSITORY / path) == 0


@pytest.mark.parametrize(
    ("linter", "right", "wrong"),
    [
        ("zizmor", r"checkout@\w+ # \S+", "checkout@v7"),
        ("zizmor", r'"\$RECEIPT"\n', "${{ inputs.receipt }}\n"),
        ("zizmor", "permissions: {}", "permissions: write-all"),
        ("check-jsonschema", "timeout-minutes:", "timeout:"),
        ("check-jsonschema", "contents: read", "content: read"),
        ("check-jsonschema", "  push:", "  pushes:"),
    ],
)
def test_a_linter_finds_what_is_broken(linter, right, wrong, tmp_path):
    broken, changes = re.subn(right, wrong, text(PROMOTION))
    assert changes
    path = tmp_path / PROMOTION
    path.parent.mkdir(parents=True)
    path.write_text(broken)
    assert lint(linter, path) != 0


def test_no_text_of_githubs_is_written_into_a_command():
    """It would be run: a tag may be called anything."""
    for path in (PULL_REQUEST, PROMOTION):
        for job in yaml(path)["jobs"].values():
            assert not [step["run"] for step in job["steps"] if "${{" in step.get("run", "")]


def test_the_page_on_ci_names_every_secret_and_variable():
    page = text("docs/ci.md")
    for path in (PULL_REQUEST, PROMOTION):
        for name in re.findall(r"(?:secrets|vars)\.(\w+)", text(path)):
            assert f"`{name}`" in page, name


def test_the_tests_of_a_pull_request_are_those_of_everybody():
    commands = [step["run"] for step in yaml(PULL_REQUEST)["jobs"]["tests"]["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert os.access(REPOSITORY / ".ci/run", os.X_OK)
