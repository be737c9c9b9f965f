"""`predictflow doctor`: is everything that the pipeline stands on as it should be?"""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

import click

from predictflow.console import open_console, print_json
from predictflow.doctor.check import Asked, Check, State
from predictflow.doctor.doctor import GROUPS, Examined, examine, exit_code, mend
from predictflow.formatting import Json
from predictflow.lineage.project import Project

STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red", State.UNKNOWN: "magenta"}
RUNBOOK = "docs/runbook.md"
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
    project = Project.enter(context.obj, by_index=True, keep=False)
    asked = Asked(deep, remote)
    done = mend(project, asked) if fix else Examined(examine(project, asked), [], [])
    if as_json:
        print_json(_as_json(done))
    else:
        _draw(done, asked)
    context.exit(exit_code(done.checks))


def _as_json(done: Examined) -> Json:
    unknown = (check for check in done.checks if check.state is State.UNKNOWN)
    return {
        "checks": [_check_as_json(check) for check in done.checks],
        "mended": done.mended,
        "not_mended": done.failed,
        "not_looked_at": [f"{check.name}: {check.message}" for check in unknown],
    }


def _check_as_json(check: Check) -> Json:
    return {
        "name": check.name,
        "group": check.group,
        "state": check.state.value,
        "message": check.message,
        "cure": check.cure,
        "entry": check.entry and f"{RUNBOOK}#{check.entry}",
        "fixable": bool(check.fixes),
    }


def _draw(done: Examined, asked: Asked) -> None:
    from rich.text import Text

    console = open_console()
    for sentence in done.mended:
        console.print(f"mended: {sentence}", style="green", markup=False)
    for sentence in done.failed:
        console.print(f"not mended: {sentence}", style="red", markup=False)
    widest = max(len(name) for group, _ in GROUPS for name in group.entries)
    for group, checks in groupby(done.checks, key=attrgetter("group")):
        console.print(Text(group, "bold"))
        for check in _shortened(checks):
            head = f"  {check.name:{widest}}  "
            indent = len(head) + len(f"{State.WARNING}  ")
            message = textwrap.wrap(
                check.message, console.width - indent, break_long_words=False, break_on_hyphens=False
            )
            state = (f"{check.state.value:{len(State.WARNING)}}", STYLES[check.state])
            console.print(Text.assemble(head, state, "  ", f"\n{' ' * indent}".join(message)))
            for what, how in _what_to_do(check).items():  # a line each, however long: to be copied
                console.print(Text.assemble((f"    {what}: ", "bold"), how), soft_wrap=True)
    console.print(Text(_summary(done.checks), "bold"))
    left = [f"--{option} {what}" for option, what in BESIDE.items() if not getattr(asked, option)]
    if left:
        console.print(Text(" · ".join(left), "dim"))


def _shortened(checks: Iterable[Check]) -> Iterator[Check]:
    """Of checks in a row that could not be made for one reason, the reason once."""
    reason = None
    for check in checks:
        again = check.state is State.UNKNOWN and (check.message, check.cure) == reason
        reason = check.message, check.cure
        yield replace(check, message="for the same reason", cure=None) if again else check


def _what_to_do(check: Check) -> dict[str, str]:
    more = f"{RUNBOOK}#{check.entry}" if check.entry else None
    return {what: how for what, how in (("Cure", check.cure), ("More", more)) if how}


def _summary(checks: list[Check]) -> str:
    """How many are of each state, and the names of those that matter."""
    parts = []
    for state in (State.PROBLEM, State.UNKNOWN, State.WARNING):
        if names := [check.name for check in checks if check.state is state]:
            more = "s" if len(names) > 1 and state is not State.UNKNOWN else ""
            parts.append(f"{len(names)} {state}{more}: {', '.join(names)}")
    healthy = sum(check.state is State.OK for check in checks)
    return " · ".join([*parts, f"{healthy} of {len(checks)} ok"])
