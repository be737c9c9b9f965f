"""The names that a person may give for a model: for the shell to complete, and for who has mistyped one."""

from difflib import get_close_matches

from predictflow.formatting import some_of
from predictflow.lineage.project import Project

NEAR = 3  # names that are told of those that resemble a handle


def known_names(project: Project) -> list[str]:
    """Every branch, tag, experiment, version and alias."""
    names = {ref.name for ref in project.repository.refs}
    for version in project.versions:
        names |= {version.name, *(f"{version.model}@{alias}" for alias in version.aliases)}
    return sorted(names)


def nearest_names(project: Project, handle: str) -> list[str]:
    """The names that a handle may be meant for, the likeliest first."""
    return get_close_matches(handle, known_names(project), NEAR)


def what_there_is(project: Project) -> list[str]:
    """A line for each kind of name that there is, to be told with a handle that names nothing."""
    kinds = {
        "versions": [version.name for version in project.versions],
        "aliases": [f"{version.model}@{alias}" for version in project.versions for alias in version.aliases],
        "experiments": [ref.name for ref in project.repository.refs if ref.kind == "experiment"],
        "branches": [ref.name for ref in project.repository.refs if ref.kind == "branch"],
    }
    return [f"{kind}: {some_of(names)}" for kind, names in kinds.items() if names]
