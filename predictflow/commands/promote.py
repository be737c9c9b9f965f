"""`predictflow promote`: put a version in a stage."""

import click

from predictflow.commands.completion import complete_handle
from predictflow.commands.decision import end_decision
from predictflow.ledger.receipts import ARCHIVED, PROMOTED
from predictflow.lineage.project import Project
from predictflow.promotion import transition
from predictflow.promotion.transition import Promotion
from predictflow.promotion.unfinished import open_ledger
from stages.support.errors import UserError
from stages.tracking.registry import STAGES


@click.command(short_help="Put a version in a stage, with a receipt.")
@click.argument("handle", metavar="VERSION", shell_complete=complete_handle)
@click.option(
    "--to",
    "stage",
    type=click.Choice([*STAGES, "archived"]),
    required=True,
    help="Where it goes; archived takes it out of its stage.",
)
@click.option("--reason", "why", help="Why; it stands in the receipt.")
@click.option("--dry-run", is_flag=True, help="Tell the decision and change nothing.")
@click.option("--force", is_flag=True, help="Against the decision, unless the content is in doubt.")
@click.option(
    "--empty-production", "empty", is_flag=True, help="Take it out of Production, which is empty then."
)
@click.option("--sign", is_flag=True, help="Sign the receipt with the key that Git is set up with.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(
    context: click.Context,
    handle: str,
    stage: str,
    why: str | None,
    dry_run: bool,
    force: bool,
    empty: bool,
    sign: bool,
    as_json: bool,
) -> None:
    """Put a version in Production or Staging: the receipt first, then MLflow's stage and alias.

    VERSION is any handle of a registered model. What it must reach stands in params.yaml, under promote. The
    receipt is an annotated Git tag on the commit that holds the version's dvc.lock; where there is an
    origin it is pushed before anything moves, and taken back if origin refuses it.

    A version has one stage, so what goes from Production to Staging would leave Production empty: that is
    refused without --empty-production. --to archived needs no such word.

    Exit codes: 0 promoted, or would be; 1 refused; 2 could not tell.

    \b
    Example:
      predictflow promote churn-predictor@staging --to production --reason "the March data"
    """
    if force and not why:
        raise UserError("--force goes with a reason, which the receipt keeps.\nCure: --reason TEXT.")
    project = Project.enter(context.obj)
    ledger, begun = (None, []) if dry_run else open_ledger(project)
    version = transition.registered(project, handle)
    action = ARCHIVED if stage == "archived" else PROMOTED
    promotion = Promotion(version, action, stage, force, why, sign, empty)
    answer = transition.carry_out(project, ledger, promotion)
    end_decision(context, answer | {"completed": [one.as_json() for one in begun]}, as_json)
