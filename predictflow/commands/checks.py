"""Checks, as `doctor` and `store check` tell them."""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from predictflow.doctor.check import Check, State
from predictflow.doctor.doctor import GROUPS
from predictflow.formatting import Json

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red", State.UNKNOWN: "magenta"}
RUNBOOK = "docs/runbook.md"


def checks_as_json(checks: list[Check]) -> Json:
    """The keys of an answer that tell of its checks."""
    unknown = (check for check in checks if check.state is State.UNKNOWN)
    return {
        "checks": [_check_as_json(check) for check in checks],
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


def draw_checks(console: "Console", checks: list[Check]) -> None:
    """A line a check, in groups, each with its cure; then how many are of each state."""
    from rich.text import Text

    widest = max(len(name) for group, _ in GROUPS for name in group.entries)
    for group, inside in groupby(checks, key=attrgetter("group")):
        console.print(Text(group, "bold"))
        for check in _shortened(inside):
            head = f"  {check.name:{widest}}  "
            indent = len(head) + len(f"{State.WARNING}  ")
            message = textwrap.wrap(
                check.message, console.width - indent, break_long_words=False, break_on_hyphens=False
            )
            state = (f"{check.state.value:{len(State.WARNING)}}", STYLES[check.state])
            console.print(Text.assemble(head, state, "  ", f"\n{' ' * indent}".join(message)))
            for what, how in _what_to_do(check).items():  # a line each, however long: to be copied
                console.print(Text.assemble((f"    {what}: ", "bold"), how), soft_wrap=True)
    console.print(Text(_summary(checks), "bold"))


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
