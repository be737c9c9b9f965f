"""What the shell completes."""

from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from predictflow.lineage.names import known_names
from predictflow.lineage.project import Project
from stages.support.errors import UserError
from stages.tracking.store import SQLITE, tracking_uri


def complete_handle(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """What a handle that begins so may become, for the shell: refs, versions, aliases, and files."""
    names: list[str] = []
    with suppress(UserError):  # no project here: files are left
        project = Project.enter(context.find_root().params.get("repo") or Path())
        if tracking_uri().startswith(SQLITE):
            names = known_names(project)
        else:  # such a store takes longer than a person waits
            names = sorted({ref.name for ref in project.repository.refs})
    items = [CompletionItem(name) for name in names if name.startswith(typed)]
    return [*items, CompletionItem(typed, type="file")]
