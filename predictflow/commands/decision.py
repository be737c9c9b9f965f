"""A decision on a promotion or a rollback, as both commands tell it."""

import click

from predictflow.console import open_console, print_gaps, print_json
from predictflow.formatting import Json


def end_decision(context: click.Context, answer: Json, as_json: bool) -> None:
    """Tell what was decided and done, and end the command: 0 where it is allowed, else 1."""
    decision = answer["decision"]
    allowed = decision is None or decision["passed"] or decision["forced"]
    if as_json:
        print_json(answer)
    else:
        _draw(answer, allowed)
    context.exit(0 if allowed else 1)


def _draw(answer: Json, allowed: bool) -> None:
    """The decision, reason by reason, and what was done."""
    console = open_console()
    decision = answer["decision"]
    for one in answer["completed"]:
        line = f"completed first: {one['version']} to {one['stage']}, by the receipt {one['receipt']}"
        console.print(line, markup=False)
    for reason in decision["reasons"] if decision else []:
        against = reason in decision["against"]
        console.print(f"{'no' if against else 'yes'}: {reason}", style="red" if against else "", markup=False)
    what = f"{answer['version']} to {answer['stage']}"
    if not allowed and not decision["forcible"]:
        verdict = f"refused: {what}. The content is in doubt, which nothing can force."
    elif not allowed:
        verdict = f"refused: {what}. `--force --reason TEXT` does it all the same, and is recorded as forced."
    elif not answer["done"]:
        verdict = f"would be done: {what}"
    elif answer["receipts"]:
        origin = answer["pushed_to"]
        where = f"pushed to origin, {origin}" if origin else "not pushed: Git has no remote named origin"
        verdict = f"done: {what}; receipt {', '.join(answer['receipts'])}, {where}"
    else:
        verdict = f"done: {what}; the receipts said so already"
    if answer["not_copied"]:
        console.print(
            f"no copy of the store was made first: {answer['not_copied']}", style="yellow", markup=False
        )
    console.print(verdict, style="bold", markup=False)
    for stage in answer["leaves_empty"] if allowed else []:
        console.print(f"{stage} {'is' if answer['done'] else 'would be'} empty", style="bold", markup=False)
    print_gaps(console, answer["not_looked_at"])
