"""`predictflow gate`: is what stands in a stage what the receipts say, to the byte?"""

import re
from typing import Any

import click

from predictflow import findings, receipts, show
from predictflow.handles import CouldNotTell, suggest
from predictflow.project import Project
from predictflow.transition import STAGES
from stages.errors import UserError

HANDLE = re.compile(r"(?P<model>[^@#/]+)[@#](?P<stage>" + "|".join(STAGES) + r")(?P<receipt>#\d+)?")


@click.command(short_help="May what stands in a stage be deployed?")
@click.argument("handle", metavar="MODEL@STAGE|RECEIPT", shell_complete=suggest)
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
    project = Project(context.obj)
    if not project.versions and project.unseen:
        raise CouldNotTell(f"the registry cannot be asked: {project.unseen[-1]}")
    answer = look(project, asked["model"], asked["stage"], handle if asked["receipt"] else None)
    if as_json:
        show.as_json(answer)
    else:
        console = show.console()
        for reason in answer["against"]:
            console.print(f"no {reason}", style="red", markup=False)
        if answer["passed"]:
            told = f"yes {handle} is version {answer['version']}, content {answer['content']}, by the receipt"
            console.print(f"{told} {answer['receipt']}", markup=False)
        show.unseen(console, answer["not_looked_at"])
    context.exit(1 if answer["against"] else 0 if answer["passed"] else 2)


def look(project: Project, model: str, stage: str, name: str | None = None) -> dict[str, Any]:
    """What speaks against a stage; it passes where nothing does and all could be looked at.

    Args:
        name: of the receipt that must be the one which stands; None for whichever does.
    """
    chain = project.chain(model)
    found, sound = findings.of_receipts(project, chain)
    against = [
        one.told for one in found if not one.note and (one.kind != "foreign tag" or f"#{stage}" in one.about)
    ]
    receipt = receipts.standing(chain.receipts).get(stage)
    if receipt is None:
        against.append(f"no receipt puts a version in {stage}")
    else:
        against += [one.told for one in findings.of_stage(project, chain, stage, sound)]
        for version in project.versions_with.get(receipt.body["content"], []):
            if version.model == model and version.stage == STAGES[stage]:
                against += [doubt.told for doubt in findings.of_content(project, version)]
        if name not in (None, receipt.name):
            against.append(f"{name} does not stand in {stage}: {receipt.name} does")
    return {
        "model": model,
        "stage": stage,
        "version": receipt.version if receipt else None,
        "content": receipt.body["content"] if receipt else None,
        "commit": receipt.commit if receipt else None,
        "receipt": receipt.name if receipt else None,
        "against": against,
        "passed": not against and not project.unseen,
        "not_looked_at": project.unseen,
    }
