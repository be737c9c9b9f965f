"""`predictflow doctor`: is everything that the pipeline stands on as it should be?"""

import click

from predictflow.commands.checks import checks_as_json, draw_checks
from predictflow.console import open_console, print_json
from predictflow.doctor.check import Asked
from predictflow.doctor.doctor import Examined, examine, exit_code, mend
from predictflow.formatting import Json
from predictflow.lineage.project import Project

BESIDE = {"deep": "reads every object too", "remote": "asks what is in a network too"}  # by option


@click.command(short_help="Is all that the pipeline stands on as it should be?")
@click.option("--fix", is_flag=True, help="Mend what can be mended without a decision, and look again.")
@click.option("--deep", is_flag=True, help="Read every object to its end, too.")
@click.option("--remote", is_flag=True, help="Ask a remote or a store in a network, too.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, fix: bool, deep: bool, remote: bool, as_json: bool) -> None:
    """Is all that the pipeline stands on as it should be?

    The environment, Git, the pipeline, the disk, DVC's cache and remote, MLflow's store and registry: a line
    a check, with its cure, and where the runbook tells more. A warning may stay as it is. Nothing is written
    without --fix, which removes what killed commands have left, and mends what `predictflow audit --fix`
    does. No password or key is asked for or shown.

    Exit codes: 0 healthy, 1 something is wrong (after --fix: what is left), 2 something could not be told.

    \b
    Examples:
      predictflow doctor
      predictflow doctor --deep --remote
    """
    project = Project.enter(context.obj, by_index=not fix, keep=False)
    asked = Asked(deep, remote)
    done = mend(project, asked) if fix else Examined(examine(project, asked), [], [])
    if as_json:
        print_json(_as_json(done))
    else:
        _draw(done, asked)
    context.exit(exit_code(done.checks))


def _as_json(done: Examined) -> Json:
    return checks_as_json(done.checks) | {"mended": done.mended, "not_mended": done.failed}


def _draw(done: Examined, asked: Asked) -> None:
    from rich.text import Text

    console = open_console()
    for sentence in done.mended:
        console.print(f"mended: {sentence}", style="green", markup=False)
    for sentence in done.failed:
        console.print(f"not mended: {sentence}", style="red", markup=False)
    draw_checks(console, done.checks)
    left = [f"--{option} {what}" for option, what in BESIDE.items() if not getattr(asked, option)]
    if left:
        console.print(Text(" · ".join(left), "dim"))
