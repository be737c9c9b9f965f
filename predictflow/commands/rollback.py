"""`predictflow rollback`: the version that was in a stage before comes back."""

from dataclasses import asdict

import click

from predictflow.commands.decision import end_decision
from predictflow.ledger.chain import assigned_versions, registrations
from predictflow.ledger.receipts import ROLLED_BACK
from predictflow.lineage.project import Project
from predictflow.promotion import transition
from stages.support.errors import UserError
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
    about its content stops it.

    Exit codes: 0 it is back, or would be; 1 refused; 2 could not tell.

    \b
    Example:
      predictflow rollback --reason "too many complaints"
    """
    project = Project.enter(context.obj)
    read = transition.chain(project)
    before = assigned_versions(read.receipts, stage)[:-1]
    if not before:
        raise UserError(
            f"no receipt tells of a version that was in {stage} before.\n"
            "Cure: `predictflow promote VERSION --to` names one."
        )
    content = registrations(read.receipts)[before[-1]].body["content"]
    version = transition.registered(project, content)
    found, decision = transition.decide(project, version, stage)
    forced = decision.forcible and not decision.passed
    answer = {
        "version": version.name,
        "stage": stage,
        "decision": asdict(decision) | {"forced": forced},
        "receipts": [],
        "done": decision.forcible and not dry_run,
    }
    if answer["done"]:
        written = transition.put(project, version, stage, ROLLED_BACK, found, answer["decision"], why, sign)
        answer["receipts"] = [receipt.name for receipt in written]
    answer["not_looked_at"] = project.unseen
    end_decision(context, answer, decision.forcible, as_json)
