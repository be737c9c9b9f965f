"""`predictflow push`: the remote holds every byte that is needed, and that was seen."""

import click

from predictflow.commands.completion import complete_handle
from predictflow.commands.objects import draw_objects
from predictflow.console import exit_code, open_console, print_gaps, print_json
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.maintenance.push import push


@click.command(short_help="Let the remote hold every byte, and see that it does.")
@click.argument("handle", required=False, shell_complete=complete_handle)
@click.option("--all", "everything", is_flag=True, help="Also what every branch and tag needs.")
@click.option("--deep", is_flag=True, help="Read every object on the remote to its end, and hash it.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, handle: str | None, everything: bool, deep: bool, as_json: bool) -> None:
    """Let the default remote hold what the working tree, or HANDLE, needs.

    DVC transfers, between two checks: an object of the cache goes out only if its bytes are those that its
    name says, and is told as pushed only after it was seen there, by its checksum. What the remote lacks or
    holds wrong is put right, also a file of a folder that DVC believes to be there. An error says which
    object, which code, which right is missing, and whose credentials asked. After a kill the same command
    goes on.

    Exit codes: 0 all is there, 1 something is not, 2 the remote could not be asked.

    \b
    Examples:
      predictflow push
      predictflow push --all --deep
    """
    answer = push(Project.enter(context.obj), handle, everything, deep)
    if as_json:
        print_json(answer)
    else:
        _draw(answer)
    context.exit(exit_code(not answer["problems"]))


def _draw(answer: Json) -> None:
    console = open_console()
    draw_objects(answer, {"pushed": "pushed", "replaced": "put right, for other bytes were there"})
    if answer["unproven"]:
        count = f"{answer['unproven']:,} objects by their sizes alone, for it tells no checksums of them"
        console.print(f"the remote was asked for {count} (--deep reads them)", markup=False)
    there = answer["needed"] - len(answer["problems"])
    sentence = f"{there:,} of {answer['needed']:,} objects are at {answer['remote']}"
    console.print(sentence, style="bold", markup=False)
    print_gaps(console, answer["not_looked_at"])
