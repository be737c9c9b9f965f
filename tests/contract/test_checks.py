"""The hooks of pre-commit are the checks of `make test`."""

import re

from tests.declared import text, yaml


def test_the_hooks_are_the_checks_of_make_test():
    recipe = text("Makefile").partition("\ntest: ")[2].partition("\n\n")[0]
    checks = re.findall(r"\$\(BIN\)/((?:ruff|mypy)\b[^&\n]*)", recipe)
    (local,) = yaml(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local", "nothing is downloaded"
    hooks = local["hooks"]
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == [
        check.replace(" --quiet", "").strip() for check in checks
    ]
    assert all(hook["entry"].startswith(".venv/bin/") and not hook["pass_filenames"] for hook in hooks)
    assert {hook["language"] for hook in hooks} == {"system"}


def test_the_guide_for_contributors_names_the_targets_that_there_are():
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", text("CONTRIBUTING.md") + text("README.md")))
    assert named and named <= targets
