"""`predictflow restore`: a lost store comes back from Git, DVC and the receipts."""

import click

from predictflow.console import exit_code, fact, open_console, print_gaps, print_json
from predictflow.errors import CouldNotTell
from predictflow.formatting import Json, some_of
from predictflow.lineage.project import Project
from predictflow.maintenance.restore import restore_store


@click.command(short_help="Bring a lost or broken store back from Git and DVC.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Write what the store lacks: runs, versions, stages and aliases, from Git, DVC and the receipts.

    A version with a receipt gets its own number and, if its run is lost, the run's own id and times; other
    versions get numbers that are free, other runs new ids, and are marked as restored. Files come from DVC's
    cache, or from its default remote. A database that is broken is moved aside first; what a healthy one
    holds stays. A server (HTTP) gives out ids and numbers by itself.

    Exit codes: 0 every version with a receipt is complete, 1 the files of one are not here, 2 could not tell.

    \b
    Example:
      predictflow restore
    """
    project = Project.enter(context.obj)
    if project.repository.root is None:
        raise CouldNotTell("a bare repository has no store.\nCure: call it in a clone.")
    answer = restore_store(project)
    if as_json:
        print_json(answer)
    else:
        _draw(answer)
    context.exit(exit_code(not any(model["version"] for model in answer["incomplete"])))


def _draw(answer: Json) -> None:
    console = open_console()
    if answer["moved_aside"]:
        console.print(f"the broken database lies in {answer['moved_aside']} now", markup=False)
    if answer["relocated"]:
        console.print("the store was moved here: the addresses of its files have followed")
    kinds = {
        "with the id and times of the receipt": [run for run in answer["runs"] if run["own_id"]],
        "with a new id, marked as restored": [run for run in answer["runs"] if not run["own_id"]],
    }
    for how, runs in kinds.items():
        if runs:
            console.print(fact(f"{len(runs)} run{'s' if len(runs) > 1 else ''}", how))
    for name in answer["replaced"]:
        console.print(f"{name} pointed at a run and files that are deleted for good: it is registered anew")
    for change in answer["renumbered"]:
        renamed = f"version {change['from']} is version {change['to']} now"
        console.print(f"{renamed}, as the receipts say", markup=False)
    for version in answer["versions"]:
        stage = "in no stage" if version["stage"] == "None" else version["stage"]
        new = answer["own_ids"] and not version["own_number"]
        number = "a new number: no receipt tells which it had" if new else ""
        console.print(fact(version["version"], stage, f"content {version['content']}", number))
    promoted = [model for model in answer["incomplete"] if model["version"]]
    for model in promoted:
        message = f"version {model['version']} is not complete: {some_of(model['lacking'], 1)}"
        cure = f"`git checkout {model['commit'][:10]} && dvc repro` makes its files again; then restore again"
        console.print(f"{message}\n  Cure: {cure}", style="red", markup=False)
    if others := len(answer["incomplete"]) - len(promoted):
        which = "1 model without a receipt has" if others == 1 else f"{others} models without a receipt have"
        message = f"{which} no files here"
        cure = "`dvc fetch --all-commits` brings what the remote has"
        console.print(f"{message}, so only their numbers are in their runs ({cure})", markup=False)
    if not answer["own_ids"] and (answer["runs"] or answer["versions"]):
        console.print("a server gives out run ids and version numbers by itself: these are new")
    if not any(answer[key] for key in ("relocated", "runs", "versions", "renumbered", "incomplete")):
        console.print("nothing was missing")
    print_gaps(console, answer["not_looked_at"])
