"""Who reads the answers in JSON beside their manual."""

NAMES = ("params", "metrics", "files", "code", "columns", "packages", "settings", "comparison", "changed")


def keys(answer: object, told: str = "") -> set[str]:
    """The keys of an answer; those under params, metrics and the like are names that others gave."""
    if isinstance(answer, list):
        return set().union(*(keys(item) for item in answer))
    if not isinstance(answer, dict) or told in NAMES:
        return set()
    return set(answer).union(*(keys(value, key) for key, value in answer.items()))
