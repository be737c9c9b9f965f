"""Who reads the answers in JSON beside their manual, docs/reference/json.md."""

from functools import cache

from tests.people.project import REPOSITORY

NAMES = ("params", "metrics", "files", "code", "columns", "packages", "settings", "comparison", "changed")


def keys(answer: object, told: str = "") -> set[str]:
    """The keys of an answer; those under params, metrics and the like are names that others gave."""
    if isinstance(answer, list):
        return set().union(*(keys(item) for item in answer))
    if not isinstance(answer, dict) or told in NAMES:
        return set()
    return set(answer).union(*(keys(value, key) for key, value in answer.items()))


@cache
def json_manual() -> str:
    return (REPOSITORY / "docs/reference/json.md").read_text(encoding="utf-8")


def json_keys_of(command: str) -> str:
    """The section that documents the JSON of a command; it must be there."""
    _, heading, rest = json_manual().partition(f"\n## `predictflow {command} ")
    assert heading, f"docs/reference/json.md has no section on {command}"
    return rest.partition("\n## ")[0]
