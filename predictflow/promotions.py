"""`predictflow history`: who put which version where, when and why, as the receipts tell it."""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predictflow import facts, rebuilt, receipts, show
from predictflow.facts import Facts
from predictflow.handles import CouldNotTell
from predictflow.lineage import HEADLINE
from predictflow.project import Project
from predictflow.rebuilt import Rebuilt
from predictflow.receipts import ARCHIVED, Chain, Receipt

if TYPE_CHECKING:
    from rich.text import Text

NEEDS_ALL = {"gap", "unregistered"}  # damage that an incomplete clone seems to have


def moment(context: click.Context, parameter: click.Parameter, typed: str | None) -> int | None:
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
@click.option("--at", callback=moment, metavar="DATE", help="As it was then, in UTC: a day's end, or a time.")
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
    project = Project(folder)
    if project.model is None:
        raise CouldNotTell(
            "params.yaml does not say which model: tracking.model cannot be read.\nCure: mend params.yaml."
        )
    chain = project.chain(project.model)
    answer = told(chain, at, rebuilt.read(project.repository, project.model)) | {
        "not_looked_at": project.unseen
    }
    if as_json:
        show.as_json(answer)
    else:
        _draw(answer)
    kinds = {damage.kind for damage in chain.damage}
    incomplete = project.repository.shallow and (kinds <= NEEDS_ALL if kinds else not chain.receipts)
    sys.exit(2 if incomplete else 1 if kinds else 0)


def told(chain: Chain, at: int | None = None, rebuilds: Iterable[Rebuilt] = ()) -> Facts:
    """What a chain and the receipts of rebuilds say, as it was at a moment; predictflow/README.md says what
    each key means."""
    until = [one for one in chain.receipts if at is None or one.time <= at]
    stands = receipts.standing(until)
    return {
        "model": chain.model,
        "at": None if at is None else show.moment(at),
        "standing": {stage: _stands(stands.get(stage)) for stage in receipts.STAGES},
        "receipts": [_receipt(chain, one) for one in reversed(until)],
        "rebuilds": [_rebuilt(one) for one in reversed([*rebuilds]) if at is None or one.time <= at],
        "foreign": [
            {"tag": tag.name, "commit": tag.commit, "when": show.moment(tag.time), "who": tag.who}
            for tag in chain.foreign
            if at is None or tag.time <= at
        ],
        "damage": [vars(damage) for damage in chain.damage],
    }


def _stands(receipt: Receipt | None) -> Facts | None:
    if receipt is None:
        return None
    return {"version": receipt.version, "since": receipt.body["when"], "tag": receipt.name} | {
        key: receipt.body[key] for key in ("who", "content", "commit")
    }


def _receipt(chain: Chain, one: Receipt) -> Facts:
    body = one.body
    return facts.receipt(chain, one) | {
        "from": body["from"],
        "to": None if one.stage is None or one.action == ARCHIVED else one.version,
        "commit": body["commit"],
        "content": body["content"],
        "decision": body["decision"],
        "metrics": _headline((body["decision"] or {}).get("numbers")) or _headline(body["run"]),
        "signed": one.signed,
    }


def _rebuilt(one: Rebuilt) -> Facts:
    keys = ("version", "verdict", "when", "who", "commit", "content", "inputs", "environment", "machine")
    return {key: one.body[key] for key in keys} | {"tag": one.name, "broken": one.broken}


def _headline(told: Any) -> dict[str, float]:
    """The numbers that a version is known by, as a decision or a run tells them."""
    metrics = told.get("metrics") if isinstance(told, dict) else None
    if not isinstance(metrics, dict):
        return {}
    return {name: metrics[name] for name in HEADLINE if isinstance(metrics.get(name), int | float)}


def _draw(answer: Facts) -> None:
    console = show.console()
    console.print(show.line(answer["model"], f"as it was at {answer['at']}" if answer["at"] else ""))
    for stage, stands in answer["standing"].items():
        console.print(show.line(f"  {stage.capitalize()}", *_where(stands)))
    console.print()
    for receipt in answer["receipts"]:
        console.print(_line(receipt))
        for line in _beneath(receipt):
            console.print(f"  {line}", markup=False)
        for broken in receipt["broken"]:
            console.print(f"  BROKEN: {broken}", style="red", markup=False)
    if not answer["receipts"]:
        console.print(f"no receipt{' until then' if answer['at'] else ': nothing was promoted yet'}")
    for one in _last(answer["rebuilds"]):
        console.print(show.line(one["when"], f"version {one['version']} rebuilt", one["verdict"], one["who"]))
        console.print(f"  {one['tag']} · commit {one['commit'][:10]}", markup=False)
        for broken in one["broken"]:
            console.print(f"  BROKEN: {broken}", style="red", markup=False)
    for tag in answer["foreign"]:
        told = f"no receipt: {tag['tag']} of {tag['when']}, by {tag['who']}: made by GTO or by hand"
        console.print(told, style="yellow", markup=False)
    shown = {receipt["tag"] for receipt in answer["receipts"]}
    for damage in answer["damage"]:
        if damage["tag"] not in shown:
            console.print(f"BROKEN: {damage['tag']}: {damage['told']}", style="red", markup=False)
    if answer["damage"]:
        console.print(
            "The chain of receipts is broken. Cure: `predictflow audit --fix` brings back what is proven."
        )
    show.unseen(console, answer["not_looked_at"])


def _last(rebuilds: list[Facts]) -> list[Facts]:
    """The newest rebuild of each version; `--json` has them all."""
    newest: dict[int, Facts] = {}
    for one in rebuilds:
        newest.setdefault(one["version"], one)
    return list(newest.values())


def _where(stands: Facts | None) -> list[str]:
    if stands is None:
        return ["empty"]
    return [f"version {stands['version']}", f"since {stands['since']}", f"by {stands['who']}", stands["tag"]]


def _beneath(receipt: Facts) -> Iterator[str]:
    if receipt["why"]:
        yield " ".join(receipt["why"].split())
    if receipt["to"] is not None and receipt["metrics"]:
        yield " · ".join(f"{name} {value:.4g}" for name, value in receipt["metrics"].items())
    if receipt["decision"] and receipt["decision"].get("passed") is False:
        yield f"forced; against it: {receipt['decision'].get('against')}"
    yield f"{receipt['tag']} · commit {receipt['commit'][:10]}" + (" · signed" if receipt["signed"] else "")


def _line(receipt: dict[str, Any]) -> "Text":
    """What happened: `production 2 → 3`."""
    if receipt["stage"] is None:
        move = f"version {receipt['version']}"
    else:
        former, now = (receipt[key] or "empty" for key in ("from", "to"))
        move = f"{receipt['stage']} {former} → {now}"
    return show.line(receipt["when"], move, receipt["action"], receipt["who"])
