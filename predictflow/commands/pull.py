"""`predictflow pull`: what is needed comes from the remote, and nothing wrong with it."""

import click

from predictflow.commands.completion import complete_handle
from predictflow.commands.objects import draw_objects
from predictflow.console import exit_code, open_console, print_gaps, print_json
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.maintenance.pull import pull


@click.command(short_help="Bring data and models, every byte proven.")
@click.argument("handle", required=False, shell_complete=complete_handle)
@click.option("--all", "everything", is_flag=True, help="Also what every branch and tag needs.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, handle: str | None, everything: bool, as_json: bool) -> None:
    """Bring what the working tree, or HANDLE, needs from the default remote into DVC's cache.

    Every object is hashed: one with other bytes is not kept, and no file is written from it; one that was
    wrong in the cache before is moved aside and brought anew. With no HANDLE the working tree is checked out
    then, as `dvc pull` does. The remote is asked only for what is not here. After a kill the same command
    goes on.

    Exit codes: 0 all is here, 1 something is not, 2 the remote could not be asked.

    \b
    Examples:
      predictflow pull
      predictflow pull churn-predictor@production
    """
    answer = pull(Project.enter(context.obj), handle, everything)
    if as_json:
        print_json(answer)
    else:
        _draw(answer)
    context.exit(exit_code(not answer["problems"] and not answer["checkout"]["error"]))


def _draw(answer: Json) -> None:
    console = open_console()
    words = {"moved_aside": "wrong in DVC's cache, moved to .dvc/tmp/wrong-objects", "pulled": "pulled"}
    draw_objects(answer, words)
    if said := answer["checkout"]["error"]:
        console.print(f"not checked out: {said}", style="red", markup=False)
    here = answer["needed"] - len(answer["problems"])
    console.print(f"{here:,} of {answer['needed']:,} objects are here", style="bold", markup=False)
    print_gaps(console, answer["not_looked_at"])
