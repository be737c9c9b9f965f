"""`predictflow audit`: what does not agree, and what mends it."""

from itertools import groupby
from typing import Any

import click

from predictflow.audit import fixes
from predictflow.audit.audit import find_all
from predictflow.audit.finding import FINDING_KINDS, Finding
from predictflow.console import open_console, print_gaps, print_json

# IMPORTS
from predictflow.errors import CouldNotTell
from predictflow.lineage.project import Project


@click.command(short_help="What does not agree: receipts, registry, store, bytes.")
@click.option("--fix", is_flag=True, help="Mend what can be mended without a decision, and look again.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, fix: bool, as_json: bool) -> None:
    """Do receipts, registry, runs and bytes agree, of every version?

    Every disagreement is told with its cure. --fix lets MLflow follow the receipts, ends the runs of dead
    processes, pushes and fetches receipts, and brings back tags, tags of versions and files from where they
    are proven to be right; what takes a decision is left.

    Exit codes: 0 all agrees, 1 something does not (after --fix: what is left), 2 could not tell.

    \b
    Example:
      predictflow audit --fix
    """
    project = Project.enter(context.obj)
    if project.model is None:
        raise CouldNotTell(
            "params.yaml does not say which model: tracking.model cannot be read.\nCure: mend params.yaml."
        )
    model, mended, failed = project.model, [], []
    if fix:
        project, found, mended, failed = fixes.mend(project, model)
    else:
        found = find_all(project, model)
    answer = {
        "model": model,
        "findings": [_told(one) for one in found if not one.note],
        "notes": [_told(one) for one in found if one.note],
        "mended": mended,
        "not_mended": failed,
        "not_looked_at": project.unseen,
    }
    if as_json:
        print_json(answer)
    else:
        _draw(answer)
    context.exit(1 if answer["findings"] else 2 if project.unseen else 0)


def _told(one: Finding) -> dict[str, Any]:
    told = {key: getattr(one, key) for key in ("kind", "about", "told", "cure")}
    return told if one.note else told | {"fixable": one.fixable}


def _draw(answer: dict[str, Any]) -> None:
    console = open_console()
    for told in answer["mended"]:
        console.print(f"mended: {told}", style="green", markup=False)
    for told in answer["not_mended"]:
        console.print(f"not mended: {told}", style="red", markup=False)
    for kind, group in groupby(answer["findings"], key=lambda one: one["kind"]):
        same = list(group)
        console.print(f"{FINDING_KINDS[kind]} ({len(same)})", style="bold", markup=False)
        for one in same:
            console.print(f"  {one['told']}", style="red", markup=False)
            console.print(f"    Cure: {one['cure']}", markup=False)
    for note in answer["notes"]:
        cure = f" ({note['cure']})" if note["cure"] else ""
        console.print(f"note: {note['told']}{cure}", markup=False)
    count = len(answer["findings"])
    agrees = "all that was looked at agrees" if answer["not_looked_at"] else "all agrees"
    left = "1 disagreement" if count == 1 else f"{count} disagreements"
    console.print(f"{answer['model']}: {left if count else agrees}", style="bold", markup=False)
    print_gaps(console, answer["not_looked_at"])
