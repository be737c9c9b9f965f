"""What the shell completes."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from predictflow.lineage.project import Project
from stages.support.errors import UserError
from stages.tracking.store import SQLITE, tracking_uri


def complete_handle(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """What a handle that begins so may become, for the shell: refs, versions, aliases, and files."""
    names: list[str] = []
    try:
        project = Project.enter(context.find_root().params.get("repo") or Path())
        names += [ref.name for ref in project.repository.refs]
        if tracking_uri().startswith(SQLITE):  # another store takes longer than a person waits
            names += [version.name for version in project.versions]
            names += [f"{version.model}@{alias}" for version in project.versions for alias in version.aliases]
    except UserError:
        pass  # no project here: files are left
    items = [CompletionItem(name) for name in sorted(set(names)) if name.startswith(typed)]
    return [*items, CompletionItem(typed, type="file")]
