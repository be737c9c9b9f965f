"""`predictflow gate`: is what stands in a stage what the receipts say, to the byte?"""

import re

import click

from predictflow.audit.gate import ask_gate
from predictflow.commands.completion import complete_handle
from predictflow.console import exit_code, open_console, print_gaps, print_json
from predictflow.lineage.project import Project
from stages.support.errors import UserError
from stages.tracking.registry import STAGES

HANDLE = re.compile(r"(?P<model>[^@#/]+)[@#](?P<stage>" + "|".join(STAGES) + r")(?P<receipt>#\d+)?")


@click.command(short_help="May what stands in a stage be deployed?")
@click.argument("handle", metavar="MODEL@STAGE|RECEIPT", shell_complete=complete_handle)
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, handle: str, as_json: bool) -> None:
    """Do the receipt, the chain of receipts, the registry and the bytes agree on what stands in a stage?

    Given the name of a receipt, it must also be the one by which the version stands there.

    Exit codes: 0 they agree, 1 they do not, 2 could not tell.

    \b
    Examples:
      predictflow gate churn-predictor@production
      predictflow gate churn-predictor#production#7
    """
    asked = HANDLE.fullmatch(handle)
    if asked is None:
        raise UserError(f"{handle} names no stage.\nCure: churn-predictor@production, or @staging.")
    project = Project.enter(context.obj)
    model = project.require_model()
    project.require_versions()
    if asked["model"] != model and not project.chain(asked["model"]).names:
        raise UserError(
            f"{handle}: no model {asked['model']} has receipts here.\nCure: {model}@{asked['stage']}."
        )
    answer = ask_gate(project, asked["model"], asked["stage"], handle if asked["receipt"] else None)
    if as_json:
        print_json(answer)
    else:
        console = open_console()
        for reason in answer["against"]:
            console.print(f"no: {reason}", style="red", markup=False)
        if answer["passed"]:
            version = f"version {answer['version']}, content {answer['content']}"
            console.print(f"yes: {handle} is {version}, by the receipt {answer['receipt']}", markup=False)
        print_gaps(console, answer["not_looked_at"])
    context.exit(exit_code(not answer["against"], could_tell=not answer["not_looked_at"]))
