"""docs/reference/json.md is the manual of what the commands answer: tests hold them to it."""

from functools import cache

from tests.conftest import REPOSITORY


@cache
def json_manual() -> str:
    return (REPOSITORY / "docs/reference/json.md").read_text(encoding="utf-8")


def json_keys_of(command: str) -> str:
    """The section that documents the JSON of a command; it must be there."""
    _, heading, rest = json_manual().partition(f"\n## `predictflow {command} ")
    assert heading, f"docs/reference/json.md has no section on {command}"
    return rest.partition("\n## ")[0]
