"""`predictflow prune`: removes what nothing refers to any more."""

import sys
from enum import Enum, auto

import click

from predictflow.console import exit_code, fact, open_console, print_json
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.maintenance.garbage import GARBAGE_KINDS, Garbage, find_garbage, remove_garbage

NAMED = 3  # things of a kind that are shown by name; --json has all


class Mode(Enum):
    """What becomes of what is found."""

    SHOW = auto()  # it stays, as was asked for
    ASK = auto()  # a person decides
    REMOVE = auto()
    REFUSE = auto()  # it stays: nobody has agreed


@click.command(short_help="Remove what nothing refers to any more.")
@click.option("--dry-run", is_flag=True, help="Show what would go, remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--unused-days",
    type=click.IntRange(0),
    default=30,
    show_default=True,
    help="How long an environment of `predictflow rebuild` stays after its last use.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON; asks nothing.")
@click.pass_context
def command(context: click.Context, dry_run: bool, yes: bool, unused_days: int, as_json: bool) -> None:
    """Show what nothing refers to, ask, and remove it: runs, artifacts, worktrees, environments, temporary
    files, objects of DVC's cache.

    What a version, a receipt, an experiment, a branch, a tag, a stash or a working tree needs stays, and of
    MLflow's runs those of every commit. No remote is touched. A run of the project's own store is gone for
    good; on a server it lies in MLflow's trash.

    Exit codes: 0 done, or nothing to do; 1 refused; 2 could not tell. Nothing is removed but with 0.

    \b
    Examples:
      predictflow prune --dry-run
      predictflow prune
    """
    project = Project.enter(context.obj)
    garbage = find_garbage(project, unused_days)
    answer = _as_json(garbage)
    if not as_json:
        _draw(answer)
    mode = _mode(dry_run, yes, as_json) if garbage.things else Mode.SHOW
    if mode is Mode.ASK:
        mode = Mode.REMOVE if click.confirm("Remove all of it?") else Mode.REFUSE
    if mode is Mode.REMOVE:
        remove_garbage(project.repository.folder, garbage, unused_days)
    if as_json:
        print_json(answer | {"removed": mode is Mode.REMOVE})
    elif mode is not Mode.SHOW:
        refused = "nothing was removed: `--yes` does it without asking"
        open_console().print("done" if mode is Mode.REMOVE else refused)
    context.exit(exit_code(mode is not Mode.REFUSE))


def _mode(dry_run: bool, yes: bool, as_json: bool) -> Mode:
    if dry_run:
        return Mode.SHOW
    if yes:
        return Mode.REMOVE
    return Mode.ASK if not as_json and sys.stdin.isatty() else Mode.REFUSE


def _as_json(garbage: Garbage) -> Json:
    """The answer, but for what became of it; docs/reference/json.md says what each key means."""
    groups: list[Json] = [
        {"kind": kind, "count": len(names), "size": sum(names.values()), "names": list(names)}
        for kind, names in garbage.things.items()
    ]
    return {
        "groups": groups,
        "count": sum(group["count"] for group in groups),
        "size": sum(group["size"] for group in groups),
        "in_trash": garbage.in_trash,
        "left_alone": garbage.left_alone,
        "not_looked_at": [],
    }


def _draw(answer: Json) -> None:
    from rich.filesize import decimal

    console = open_console()
    for group in answer["groups"]:
        size = decimal(group["size"]) if group["size"] else ""
        console.print(fact(f"{group['count']:,}", GARBAGE_KINDS[group["kind"]], size))
        if group["kind"] not in ("cache", "run_cache"):  # md5s say nothing to a person
            for name in group["names"][:NAMED]:
                console.print(f"  {name}", markup=False, style="dim")
        if group["kind"] == "runs" and answer["in_trash"]:
            console.print("  they go to the trash of MLflow's server, whose owner empties it (`mlflow gc`)")
    if answer["groups"]:
        console.print(f"{answer['count']:,} things, {decimal(answer['size'])}")
    else:
        console.print("nothing to do: something refers to all that is here")
    for reason in answer["left_alone"]:
        console.print(f"left alone: {reason}", style="yellow", markup=False)
