"""The README's commands work in the order in which they stand there, and print what it says."""

import os
import re
import time
from fnmatch import fnmatchcase

from tests.people.project import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def transcript() -> list[tuple[str, list[str]]]:
    """(command, the lines it prints) of every console block; a line of … stands for any lines."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line.removeprefix("$ "), []))
            elif line != "…":
                steps[-1][1].append(line)
    return steps


def test_the_commands_of_the_readme_run_in_their_order_and_print_what_it_says(project):
    # The environment is there already: made long after the locks, which this clone has just written.
    (project.folder / ".venv").symlink_to(REPOSITORY / ".venv")
    long_ago = time.time() - 10 * 365 * 86400
    for name in ("requirements.lock", "requirements-dev.lock", "Makefile"):
        os.utime(project.folder / name, (long_ago, long_ago))
    steps = transcript()
    assert len(steps) > 10
    for command, lines in steps:
        done = project.run("sh", "-c", command)
        printed = (done.stdout + done.stderr).splitlines()
        for line in lines:
            if line.startswith("[1/3]"):
                continue
            pattern = line.replace("[", "[[]").replace("…", "*")
            assert any(fnmatchcase(told, pattern) for told in printed), (command, line, printed)


def test_every_file_that_the_readme_names_is_there():
    linked = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert linked
    for path in linked:
        assert (REPOSITORY / path).exists(), path


def test_make_help_lists_every_target(project):
    listed = project.run("make", "help").stdout
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"repro", "test", "test-slow", "lock"} <= set(targets)
    for target in targets:
        assert f"make {target} " in listed, target
