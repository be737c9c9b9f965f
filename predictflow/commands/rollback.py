"""`predictflow rollback`: the version that was in a stage before comes back."""

import click

from predictflow.commands.decision import end_decision
from predictflow.ledger.receipts import ROLLED_BACK
from predictflow.lineage.project import Project
from predictflow.promotion import transition
from predictflow.promotion.transition import Promotion
from predictflow.promotion.unfinished import open_ledger, rolled_back, unfinished
from stages.tracking.registry import STAGES, RegistryStage


@click.command(short_help="Put the version back that was in a stage before.")
@click.option(
    "--to", "stage", type=click.Choice([*STAGES]), default=RegistryStage.PRODUCTION.alias, show_default=True
)
@click.option("--reason", "why", help="Why; it stands in the receipt.")
@click.option("--dry-run", is_flag=True, help="Tell what would come back and change nothing.")
@click.option("--sign", is_flag=True, help="Sign the receipt with the key that Git is set up with.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(
    context: click.Context, stage: str, why: str | None, dry_run: bool, sign: bool, as_json: bool
) -> None:
    """Put the version back that was in a stage before the one that is there now.

    Its bars and its comparison with the version that is there now are told and recorded, but only a doubt
    about its content stops it. A rollback that a kill has stopped is completed, not taken back.

    Exit codes: 0 it is back, or would be; 1 refused; 2 could not tell.

    \b
    Example:
      predictflow rollback --reason "too many complaints"
    """
    project = Project.enter(context.obj)
    ledger, begun = (None, []) if dry_run else open_ledger(project)
    chain = project.chain(project.require_model())
    content = rolled_back(begun or unfinished(project, chain), stage)
    version = transition.registered(project, content or transition.former_content(chain, stage))
    promotion = Promotion(version, ROLLED_BACK, stage, force=True, why=why, sign=sign)
    answer = transition.carry_out(project, ledger, promotion)
    end_decision(context, answer | {"completed": [one.as_json() for one in begun]}, as_json)
