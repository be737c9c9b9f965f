"""`predictflow tune`: try settings on the training customers, and tell which are worth it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from predictflow.adapters.dvc_commands import run_experiment
from predictflow.adapters.dvc_interrupted import ensure_ready
from predictflow.console import draw_table, fact, open_console, print_json
from predictflow.formatting import Json, some_of
from predictflow.lineage.project import Project
from predictflow.tuning.space import DIRECTIONS, Space
from predictflow.tuning.sweep import MOST_JOBS
from stages.support import environment, params
from stages.support.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from predictflow.tuning.study import Tell

VERDICTS = {
    "yes": "better than the params of today",
    "not better than chance": "not better than chance: another cut into folds may well turn it round",
    "no": "no trial is better than the params of today",
}


@click.command(short_help="Try settings by cross-validation; are they better?")
@click.option(
    "--trials", type=click.IntRange(1), default=100, show_default=True, help="Of the study, in all."
)
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="No trial begins after so long.")
@click.option(
    "--jobs", type=click.IntRange(1, MOST_JOBS), default=1, show_default=True, help="Trials at the same time."
)
@click.option("--metric", type=click.Choice(list(DIRECTIONS)), help="Another one than tune.metric.")
@click.option("--resume/--new", default=True, help="Go on with the last study, or begin another.")
@click.option("--apply", is_flag=True, help="Write the best params of the last study into params.yaml.")
@click.option("--exp", "experiment", metavar="NAME", help="Make a DVC experiment of them.")
@click.option("--study", "number", type=click.IntRange(1), help="With --apply or --exp: of this study.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(
    context: click.Context,
    trials: int,
    timeout: float | None,
    jobs: int,
    metric: str | None,
    resume: bool,
    apply: bool,
    experiment: str | None,
    number: int | None,
    as_json: bool,
) -> None:
    """Try what params.yaml declares under tune, by cross-validation on the training customers.

    The test customers are never looked at. A study that was stopped goes on where it was, and ends as one
    that was not, with any number of --jobs. --apply and --exp try nothing: they take what the last study,
    or --study, has found.

    Exit codes: 0 a trial is better than the params of today, or they were applied; 1 none is, or not surely.

    \b
    Examples:
      predictflow tune --trials 200 --jobs 2
      predictflow tune --apply
    """
    if apply and experiment:
        raise UserError("--apply and --exp exclude each other.\nCure: one of them.")
    if number and not (apply or experiment):
        raise UserError("--study says which study --apply or --exp takes.\nCure: one of these beside it.")
    project = Project.enter(context.obj)
    if project.repository.root is None:
        raise UserError("a bare repository has no customers to learn from.\nCure: `git clone` it first.")
    environment.check()
    space = Space.read(params.load(), metric)
    from predictflow.tuning import study, winner

    if apply or experiment:
        answer = study.choice(space, number)
        if experiment:
            ensure_ready(project.repository, experiment)
            run_experiment(project.repository.root, experiment, winner.settings(answer["changed"]))
        else:
            winner.apply(answer["changed"])
        answer |= {"experiment": experiment}
        yes, draw = True, _draw_choice
    else:
        request = study.Request(trials, timeout, jobs, not resume)
        with _progress(trials) as tell:
            answer = study.run(space, request, tell)
        yes, draw = answer["better"] == "yes", _draw
    if as_json:
        print_json(answer)
    else:
        draw(answer)
    context.exit(0 if yes else 1)


@contextmanager
def _progress(trials: int) -> "Iterator[Tell]":
    """A bar on a terminal's standard error: how many trials have ended, and the best of them."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("reading the study", total=None)
        yield lambda ended, best: progress.update(
            task, completed=ended, total=max(trials, ended), description=best
        )


def _draw(answer: Json) -> None:
    console, metric = open_console(), answer["metric"]
    counts = answer["trials"]
    told = [f"{counts['complete']} scored on all {answer['folds']} folds"]
    told += [f"{counts['pruned']} given up before"] if counts["pruned"] else []
    told += [f"{counts['fail']} failed"] if counts["fail"] else []
    console.print(fact(f"study {answer['study']}", *told, f"run {answer['run']}"))
    console.print(_table(answer))
    if answer["importance"]:
        shares = [
            f"{name.removeprefix('models.')} {share:.2f}" for name, share in answer["importance"].items()
        ]
        console.print(fact("importance", *shares))
    if failed := answer["failed"]:
        numbers = some_of([str(failure["trial"]) for failure in failed])
        console.print(fact("failed", f"trials {numbers}", f"the first: {failed[0]['error']}"), style="yellow")
    if compared := answer["comparison"]:
        difference = f"{metric} {compared['value']:+.4f} ({compared['low']:+.4f} to {compared['high']:+.4f})"
        best = f"trial {answer['best'][0]['trial']} against today's params"
        console.print(fact("comparison", best, difference, VERDICTS[answer["better"]]))
    if answer["better"] in ("yes", "not better than chance"):
        console.print("`predictflow tune --apply` writes the best params into params.yaml", markup=False)


def _table(answer: Json) -> "Table":
    from predictflow.tuning import report

    columns, lines = report.table(answer)
    rows = [(f"  {name}" if name in ("low", "high") else name, *values) for name, values in lines]
    return draw_table(("", *columns), rows, right=columns)


def _draw_choice(answer: Json) -> None:
    console = open_console()
    console.print(fact(f"study {answer['study']}", f"trial {answer['trial']}"))
    for name, (before, after) in answer["changed"].items():
        console.print(f"  {name} {before} → {after}", markup=False)
    if answer["experiment"]:
        console.print(f"done: experiment {answer['experiment']}; `predictflow experiments` compares it")
    elif answer["changed"]:
        console.print("done: params.yaml; `dvc repro` makes the model")
    else:
        console.print("params.yaml has them already; `dvc repro` makes the model")
