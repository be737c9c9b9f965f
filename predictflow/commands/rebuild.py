"""`predictflow rebuild`: make a past model again from its commit, and prove that it is the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from predictflow.adapters import git_worktree
from predictflow.commands.completion import complete_handle
from predictflow.console import fact, open_console, print_gaps, print_json
from predictflow.errors import CouldNotTell
from predictflow.formatting import SHORT, Json, some_of
from predictflow.ledger.rebuilds import GRADES, SAME, fetch_rebuilds
from predictflow.lineage.project import Project
from predictflow.reproduction.rebuild import CURRENT, OWN, Follow, rebuild_all
from predictflow.reproduction.selection import select_models
from stages.support.errors import UserError

SHOWN = 5  # inputs that are told beneath the first one


@click.command(short_help="Make a past model again, and compare every byte.")
@click.argument("handle", required=False, shell_complete=complete_handle)
@click.option("--all", "every", is_flag=True, help="All registered versions.")
@click.option("--since", metavar="REV", help="The models of the commits since a Git revision.")
@click.option(
    "--env",
    "environment",
    type=click.Choice([OWN, CURRENT]),
    default=OWN,
    show_default=True,
    help="Made from the commit's own requirements.lock, kept and used again; or today's.",
)
@click.option(
    "--at-least",
    "grade",
    type=click.Choice([grade.replace(" ", "-") for grade in GRADES[:-1]]),
    default=GRADES[0],
    show_default=True,
    help="The verdict that is enough.",
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Models at the same time.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(
    context: click.Context,
    handle: str | None,
    every: bool,
    since: str | None,
    environment: str,
    grade: str,
    jobs: int,
    as_json: bool,
) -> None:
    """Make a model again from the commit that holds it, and compare every byte with what was recorded.

    HANDLE is whatever `predictflow lineage` takes; without one, the model of the working tree. It is made in
    a Git worktree with a store of its own: your files, your store and dvc.lock stay as they are.

    The verdict is identical (all of dvc.lock up to evaluate), same predictions (within 0.000001 on the test
    customers) or different, with the first input that differs. A registered version gets it as a tag in
    MLflow, one with a receipt gets a receipt of it too.

    Exit codes: 0 identical, or what --at-least asks for; 1 not; 2 it could not be made again.

    \b
    Examples:
      predictflow rebuild churn-predictor@production
      predictflow rebuild --all --jobs 2
    """
    if sum([handle is not None, every, since is not None]) > 1:
        raise UserError("HANDLE, --all and --since exclude each other.\nCure: one of them.")
    project = Project.enter(context.obj)
    if project.repository.root is None:
        raise CouldNotTell("a bare repository has no cache to rebuild from.\nCure: `git clone` it first.")
    git_worktree.clear(project.repository)
    if project.model:
        project.look(lambda: fetch_rebuilds(project.repository, project.model), None)
    wanted = select_models(project, handle, every, since)
    enough = GRADES[: GRADES.index(grade.replace("-", " ")) + 1]
    told = []
    with _progress() as follow:
        for one in rebuild_all(project, wanted, environment, jobs, follow):
            told.append(one)
            if not as_json:
                _draw(one, enough)
    told.sort(key=lambda one: [want.named for want in wanted].index(one["handle"]))
    answer = {"at_least": enough[-1], "rebuilds": told, "not_looked_at": project.unseen}
    if as_json:
        print_json(answer)
    else:
        print_gaps(open_console(), project.unseen)
    context.exit(_code(told, enough))


def _code(told: list[Json], enough: tuple[str, ...]) -> int:
    """A certain no counts for more than one that could not be made, or not be compared."""
    below = [one for one in told if one["verdict"] and one["verdict"] not in enough]
    if any(not one["doubtful"] or SAME not in enough for one in below):
        return 1
    return 0 if all(one["verdict"] in enough for one in told) else 2


@contextmanager
def _progress() -> Iterator[Follow]:
    """A line for each model that is being made, on a terminal's standard error: its step, and how long."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[step]}"))
    console = Console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:

        def follow(named: str) -> Callable[[str], None]:
            task = progress.add_task(named, start=False, total=None, step="waiting")

            def tell(step: str) -> None:
                progress.start_task(task)
                progress.update(task, step=step)

            return tell

        yield follow


def _draw(one: Json, enough: tuple[str, ...]) -> None:
    console = open_console()
    verdict = one["verdict"] or "could not be made again"
    style = "green" if verdict in enough else "red"
    names = [name for name in one["versions"] if name != one["handle"]]
    at = f"commit {one['commit'][:SHORT]}" if one["commit"] else ""
    line = fact(one["handle"], verdict, *names, f"content {one['content']}", at)
    line.stylize(style, len(one["handle"]) + 1, len(one["handle"]) + 1 + len(verdict))
    console.print(line)
    for told in _beneath(one):
        console.print(f"  {told}", markup=False)


def _beneath(one: Json) -> Iterator[str]:
    if one["why_not"]:
        yield from one["why_not"].splitlines()
    else:
        differs = [f"{entry['stage']} {entry['of']} {entry['name']}".strip() for entry in one["differs"]]
        yield f"compared: {one['entries']} entries of dvc.lock; " + (
            f"{len(differs)} differ: {some_of(differs)}" if differs else "all are the same"
        )
        predictions = one["predictions"]
        if differs and predictions is None:
            yield "the predictions could not be compared"
        elif differs and predictions["customers"] is None:
            yield "the files of the model are the same, and so are its predictions"
        elif differs:
            yield (
                f"the probabilities of {predictions['customers']:,} test customers differ by at most"
                f" {predictions['largest']:.3g}"
            )
    for place, told in enumerate(one["inputs"][: SHOWN + 1]):
        what = "first input that differs" if place == 0 else "and"
        before, now = _value(told["recorded"]), _value(told["found"])
        yield f"{what}: {told['kind']} {told['name']}: {before}, now {now}"
    if more := one["inputs"][SHOWN + 1 :]:
        yield f"and {len(more)} more"
    if one["verdict"] and one["differs"] and not one["inputs"]:
        yield "no input differs, nor Python, the CPU's kernel or the number of threads"
    if one["receipt"]:
        yield f"receipt {one['receipt']}"


def _value(value: Any) -> str:
    return "not recorded" if value is None else str(value)
