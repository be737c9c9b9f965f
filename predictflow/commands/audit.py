"""`predictflow audit`: what does not agree, and what mends it."""

from itertools import groupby
from operator import itemgetter

import click

from predictflow.audit import receipts
from predictflow.audit.audit import Mended, find_all, mend
from predictflow.audit.finding import FINDING_KINDS, Finding
from predictflow.console import exit_code, open_console, print_gaps, print_json
from predictflow.formatting import Json, some_of
from predictflow.lineage.project import Project
from stages.support.errors import UserError

ALIKE = 2  # notes that differ in their name alone, before they are told in one line


@click.command(short_help="What does not agree: receipts, registry, store, bytes.")
@click.option("--fix", is_flag=True, help="Mend what can be mended without a decision, and look again.")
@click.option("--declare-gap", is_flag=True, help="Let receipts that are broken for good go on from here.")
@click.option("--reason", "why", help="Why; it stands in the declaration.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, fix: bool, declare_gap: bool, why: str | None, as_json: bool) -> None:
    """Do receipts, registry, runs and bytes agree, of every version?

    Every disagreement is told with its cure. --fix lets MLflow follow the receipts, ends the runs of dead
    processes, pushes and fetches receipts, and brings back tags, tags of versions and files from where they
    are proven to be right; what takes a decision is left. --declare-gap is such a decision: a tag lists what
    is wrong with the receipts, and they go on behind it. Those that are in doubt stand for nothing.

    Exit codes: 0 all agrees, 1 something does not (after --fix: what is left), 2 could not tell.

    \b
    Example:
      predictflow audit --fix
    """
    project = Project.enter(context.obj)
    model = project.require_model()
    if declare_gap and not why:
        raise UserError("--declare-gap goes with a reason, which it keeps.\nCure: --reason TEXT.")
    if declare_gap and why:
        receipts.declare_gap(project, model, why)
    done = mend(project, model) if fix else Mended(project, find_all(project, model), [], [])
    answer = {
        "model": model,
        "findings": [_as_json(finding) for finding in done.findings if not finding.note],
        "notes": [_as_json(finding) for finding in done.findings if finding.note],
        "mended": done.mended,
        "not_mended": done.failed,
        "not_looked_at": done.project.unseen,
    }
    if as_json:
        print_json(answer)
    else:
        _draw(answer)
    context.exit(exit_code(not answer["findings"], could_tell=not answer["not_looked_at"]))


def _as_json(finding: Finding) -> Json:
    about = {"kind": finding.kind, "about": finding.about, "told": finding.message, "cure": finding.cure}
    return about if finding.note else about | {"fixable": finding.fixable}


def _but_for_its_name(note: Json) -> tuple[str, str | None]:
    return note["told"].replace(note["about"], ""), note["cure"]


def _draw(answer: Json) -> None:
    console = open_console()
    for sentence in answer["mended"]:
        console.print(f"mended: {sentence}", style="green", markup=False)
    for sentence in answer["not_mended"]:
        console.print(f"not mended: {sentence}", style="red", markup=False)
    for kind, group in groupby(answer["findings"], key=itemgetter("kind")):
        findings = list(group)
        console.print(f"{FINDING_KINDS[kind]} ({len(findings)})", style="bold", markup=False)
        for finding in findings:
            console.print(f"  {finding['told']}", style="red", markup=False)
            console.print(f"    Cure: {finding['cure']}", markup=False)
    for (_, cure), group in groupby(answer["notes"], key=_but_for_its_name):
        notes = list(group)
        shown = notes if len(notes) <= ALIKE else notes[:1]
        for note in shown:
            console.print(f"note: {note['told']}{f' ({cure})' if cure else ''}", markup=False)
        if others := [note["about"] for note in notes[len(shown) :]]:
            console.print(f"note: so it is with {some_of(others, ALIKE)}", markup=False)
    count = len(answer["findings"])
    agrees = "all that was looked at agrees" if answer["not_looked_at"] else "all agrees"
    left = "1 disagreement" if count == 1 else f"{count} disagreements"
    console.print(f"{answer['model']}: {left if count else agrees}", style="bold", markup=False)
    print_gaps(console, answer["not_looked_at"])
