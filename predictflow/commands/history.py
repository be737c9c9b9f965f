"""`predictflow history`: who put which version where, when and why, as the receipts tell it."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from predictflow.console import fact, open_console, print_gaps, print_json
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.promotion.history import history_answer

if TYPE_CHECKING:
    from rich.text import Text

NEEDS_ALL = {"gap", "unregistered", "unproven"}  # damage that an incomplete clone seems to have


def parse_moment(context: click.Context, parameter: click.Parameter, typed: str | None) -> int | None:
    """Seconds since 1970; of a day, its last second."""
    if typed is None:
        return None
    try:
        asked = datetime.fromisoformat(typed)
    except ValueError:
        raise click.BadParameter(f"{typed} is no date or time: 2026-03-01, 2026-03-01T09:30") from None
    if len(typed) <= len("2026-03-01"):
        asked = datetime.combine(asked, time(23, 59, 59))
    return int((asked if asked.tzinfo else asked.replace(tzinfo=UTC)).timestamp())


@click.command(short_help="Who put which version in which stage, when and why.")
@click.option(
    "--at", callback=parse_moment, metavar="DATE", help="As it was then, in UTC: a day's end, or a time."
)
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_obj
def command(folder: Path, at: int | None, as_json: bool) -> None:
    """Who put which version in Production and Staging, when, why, and with which numbers?

    It is read from the receipts, Git tags that form a chain, and MLflow's store is not asked. What was
    tampered with is told.

    Exit codes: 0 the chain holds, 1 it is broken, 2 it could not be told (tags are missing here).

    \b
    Example:
      predictflow history --at 2026-03-01
    """
    project = Project.enter(folder)
    model = project.require_model(ask_store=False)
    chain = project.chain(model)
    answer = history_answer(project.repository, chain, at) | {"not_looked_at": project.unseen}
    if as_json:
        print_json(answer)
    else:
        _draw(answer)
    kinds = {damage.kind for damage in chain.damage}
    incomplete = project.repository.shallow and (kinds <= NEEDS_ALL if kinds else not chain.receipts)
    sys.exit(2 if incomplete else 1 if kinds else 0)


def _draw(answer: Json) -> None:
    console = open_console()
    console.print(fact(answer["model"], f"as it was at {answer['at']}" if answer["at"] else ""))
    for stage, stands in answer["standing"].items():
        was_used = any(receipt["stage"] == stage for receipt in answer["receipts"])
        console.print(fact(f"  {stage.capitalize()}", *_where(stands, was_used)))
    console.print()
    for receipt in answer["receipts"]:
        console.print(_line(receipt))
        for line in _beneath(receipt):
            console.print(f"  {line}", markup=False)
        for broken in receipt["broken"]:
            console.print(f"  BROKEN: {broken}", style="red", markup=False)
    if not answer["receipts"]:
        console.print(f"no receipt{' until then' if answer['at'] else ': nothing was promoted yet'}")
    for rebuild in _last(answer["rebuilds"]):
        version, content = rebuild["version"], rebuild["content"]
        what = f"{f'content {content}' if version is None else f'version {version}'} rebuilt"
        console.print(fact(rebuild["when"], what, rebuild["verdict"], rebuild["who"]))
        console.print(f"  {rebuild['tag']} · commit {rebuild['commit'][:10]}", markup=False)
        for broken in rebuild["broken"]:
            console.print(f"  BROKEN: {broken}", style="red", markup=False)
    for gap in answer["gaps"]:
        what = f"gap declared: {' '.join(gap['why'].split())}"
        console.print(fact(gap["when"], what, gap["who"]))
        console.print(f"  {gap['tag']}", markup=False)
    for tag in answer["foreign"]:
        line = f"no receipt: {tag['tag']} of {tag['when']}, by {tag['who']}: made by GTO or by hand"
        console.print(line, style="yellow", markup=False)
    shown = {receipt["tag"] for receipt in answer["receipts"]}
    for damage in answer["damage"]:
        if damage["tag"] not in shown:
            console.print(f"BROKEN: {damage['tag']}: {damage['told']}", style="red", markup=False)
    if answer["damage"]:
        console.print(
            "The chain of receipts is broken. Cure: `predictflow audit --fix` brings back what is proven."
        )
    print_gaps(console, answer["not_looked_at"])


def _last(rebuilds: list[Json]) -> list[Json]:
    """The newest rebuild of each content; `--json` has them all."""
    newest: dict[str, Json] = {}
    for rebuild in rebuilds:
        newest.setdefault(rebuild["content"], rebuild)
    return list(newest.values())


def _where(stands: Json | None, was_used: bool) -> list[str]:
    """What stands in a stage. Where no receipt has ever named the stage, a version may be there all the same:
    `register` writes none."""
    if stands is None:
        return ["empty" if was_used else "no receipt"]
    return [f"version {stands['version']}", f"since {stands['since']}", f"by {stands['who']}", stands["tag"]]


def _beneath(receipt: Json) -> Iterator[str]:
    if receipt["why"]:
        yield " ".join(receipt["why"].split())
    if receipt["to"] is not None and receipt["metrics"]:
        yield " · ".join(f"{name} {value:.4g}" for name, value in receipt["metrics"].items())
    if receipt["decision"] and receipt["decision"].get("passed") is False:
        against = receipt["decision"].get("against")
        reasons = "; ".join(map(str, against)) if isinstance(against, list) else against
        yield f"forced; against it: {reasons}"
    yield f"{receipt['tag']} · commit {receipt['commit'][:10]}"
    if receipt["signature"]:
        yield f"{'signed' if receipt['signed'] else 'signed, but not verified'}: {receipt['signature']}"


def _line(receipt: Json) -> "Text":
    """What happened: `production 2 → 3`."""
    if receipt["stage"] is None:
        move = f"version {receipt['version']}"
    else:
        former, now = (receipt[key] or "empty" for key in ("from", "to"))
        move = f"{receipt['stage']} {former} → {now}"
    return fact(receipt["when"], move, receipt["action"], receipt["who"])
