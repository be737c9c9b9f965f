"""`predictflow gate`: is what stands in a stage what the receipts say, to the byte?"""

import click

from predictflow.audit.gate import ask_of_stage, require_content
from predictflow.commands.completion import complete_handle
from predictflow.console import exit_code, open_console, print_gaps, print_json
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from stages.tracking.registry import STAGES


@click.command(short_help="May what stands in a stage be deployed?")
@click.argument("handle", metavar="MODEL@STAGE|RECEIPT|HANDLE", shell_complete=complete_handle)
@click.option("--require", "stage", type=click.Choice([*STAGES]), help="HANDLE must be what stands there.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, handle: str, stage: str | None, as_json: bool) -> None:
    """Do the receipt, the chain of receipts, the registry and the bytes agree on what stands in a stage?

    Given the name of a receipt, it must also be the one by which the version stands there. With --require,
    HANDLE is any of a model (a folder, a version, an md5): it must be that very content, which is all that is
    then printed to standard output, for a deployment to pin.

    Exit codes: 0 they agree, 1 they do not, 2 could not tell.

    \b
    Examples:
      predictflow gate churn-predictor@production
      predictflow gate churn-predictor#production#7
      predictflow gate --require production models/churn-predictor
    """
    project = Project.enter(context.obj)
    project.require_model()
    project.require_versions()
    answer = require_content(project, stage, handle) if stage else ask_of_stage(project, handle)
    if as_json:
        print_json(answer)
    else:
        _draw(handle, answer, pin=stage is not None)
    context.exit(exit_code(not answer["against"], could_tell=not answer["not_looked_at"]))


def _draw(handle: str, answer: Json, pin: bool) -> None:
    """Tell the answer; where the content is to be pinned, in words to standard error."""
    console = open_console(stderr=pin)
    for reason in answer["against"]:
        console.print(f"no: {reason}", style="red", markup=False)
    if answer["passed"]:
        version = f"version {answer['version']}, content {answer['content']}"
        console.print(f"yes: {handle} is {version}, by the receipt {answer['receipt']}", markup=False)
    print_gaps(console, answer["not_looked_at"])
    if pin and answer["passed"]:
        click.echo(answer["content"])
