"""`git status`: what of the working tree is not committed, and how far a branch is from its upstream."""

from dataclasses import dataclass

from predictflow.adapters.git import Repository

CONFLICT = "u"  # in `git status --porcelain=v2`
WORDS = {"1": 7, "?": 0, CONFLICT: 9}  # that stand before the path, by the kind of a line


@dataclass(frozen=True)
class GitChanges:
    """What `git status` says.

    Attributes:
        headers: {name: value}, as branch.ab, which Git has only where there is an upstream.
        conflicts: the paths that a merge left in conflict, in order.
        uncommitted: the other paths that differ from HEAD or are new, in order.
    """

    headers: dict[str, str]
    conflicts: list[str]
    uncommitted: list[str]


def read_changes(repository: Repository) -> GitChanges:
    """Without Git's own index being refreshed on the disk; nothing in a bare repository."""
    if repository.root is None:
        return GitChanges({}, [], [])
    words = ("--no-optional-locks", "status", "--porcelain=v2", "--branch", "--no-renames", "-z")
    headers: dict[str, str] = {}
    changed: list[tuple[str, str]] = []
    for line in filter(None, repository.read(*words).split("\0")):
        kind, rest = line.split(" ", 1)
        if kind == "#":
            name, value = rest.split(" ", 1)
            headers[name] = value
        else:
            changed.append((kind, rest.split(" ", WORDS[kind])[-1]))
    return GitChanges(
        headers,
        sorted(path for kind, path in changed if kind == CONFLICT),
        sorted(path for kind, path in changed if kind != CONFLICT),
    )


def is_rebasing(repository: Repository) -> bool:
    return any((repository.git_folder / name).is_dir() for name in ("rebase-merge", "rebase-apply"))
