"""`predictflow rebuild`: make a past model again from its commit, and prove that it is the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from predictflow.adapters import git_worktree
from predictflow.commands.completion import complete_handle
from predictflow.console import fact, open_console, print_gaps, print_json
from predictflow.errors import CouldNotTell
from predictflow.formatting import SHORT, Json, some_of
from predictflow.ledger.rebuilds import GRADES, SAME, fetch_rebuilds
from predictflow.lineage.project import Project
from predictflow.reproduction.rebuild import CURRENT, OWN, Follow, RebuildResult, rebuild_all
from predictflow.reproduction.selection import select_models
from predictflow.reproduction.verdict import Verdict
from stages.support.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

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
    customers) or different, with the first input that differs. A registered version gets a receipt of it, and
    a tag in MLflow.

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
    model = project.require_model()
    git_worktree.clear(project.repository)
    project.look(lambda: fetch_rebuilds(project.repository, model), None)
    requests = select_models(project, handle, every, since)
    enough = GRADES[: GRADES.index(grade.replace("-", " ")) + 1]
    results = []
    with _progress() as (follow, console):
        for result in rebuild_all(project, requests, environment, jobs, follow):
            results.append(result)
            if not as_json:
                _draw(result, enough, console)
    if as_json:
        results.sort(key=lambda result: requests.index(result.request))
        rebuilds = [result.as_json() for result in results]
        print_json({"at_least": enough[-1], "rebuilds": rebuilds, "not_looked_at": project.unseen})
    else:
        print_gaps(open_console(), project.unseen)
    context.exit(_code(results, enough))


def _code(results: list[RebuildResult], enough: tuple[str, ...]) -> int:
    """A certain no counts for more than one that could not be made, or not be compared."""
    below = [result for result in results if result.grade and result.grade not in enough]
    if any(not result.doubtful or SAME not in enough for result in below):
        return 1
    return 0 if all(result.grade in enough for result in results) else 2


@contextmanager
def _progress() -> "Iterator[tuple[Follow, Console]]":
    """A line for each model that is being made, on a terminal's standard error: its step, and how long; and
    where verdicts are printed, so that on a terminal they stand above these lines."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[step]}"))
    console = open_console(stderr=True)
    out = open_console()
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,  # else what DVC's libraries say at the end goes through a bar that is gone
        redirect_stderr=False,
        disable=not console.is_terminal,
    ) as progress:

        def follow(named: str) -> Callable[[str], None]:
            task = progress.add_task(named, start=False, total=None, step="waiting")

            def tell(step: str) -> None:
                progress.start_task(task)
                progress.update(task, step=step)

            return tell

        yield follow, console if console.is_terminal and out.is_terminal else out


def _draw(result: RebuildResult, enough: tuple[str, ...], console: "Console") -> None:
    request = result.request
    grade = result.grade or "could not be made again"
    versions = (version.name for version in request.versions if version.name != request.named)
    at = f"commit {request.commit[:SHORT]}" if request.commit else ""
    content = f"content {request.content}" if request.content else ""
    line = fact(request.named, grade, *versions, content, at)
    start = len(request.named) + 1
    line.stylize("green" if grade in enough else "red", start, start + len(grade))
    console.print(line)
    for text in _beneath(result):
        console.print(f"  {text}", markup=False)


def _beneath(result: RebuildResult) -> Iterator[str]:
    inputs = result.inputs
    if result.verdict:
        yield from _learned(result.verdict.learned)
        yield from _compared(result.verdict)
    else:
        yield from str(result.outcome).splitlines()
    for place, pair in enumerate(inputs[: SHOWN + 1]):
        what = "first input that differs" if place == 0 else "and"
        before, now = _value(pair["recorded"]), _value(pair["found"])
        yield f"{what}: {pair['kind']} {pair['name']}: {before}, now {now}"
    if more := inputs[SHOWN + 1 :]:
        yield f"and {len(more)} more"
    if result.verdict:
        yield from result.verdict.notes
    if result.verdict and result.verdict.differs and not inputs:
        yield "no input differs, nor Python, the CPU's kernel or the number of threads"
    if result.receipt:
        yield f"receipt {result.receipt}"


def _learned(by: Json) -> Iterator[str]:
    """Where and on what the model learned, if not as every model does without a choice."""
    if by.get("engine") == "dask":
        yield f"learned by {by['workers']} workers of Dask's, from {by['partitions']} partitions"
    elif by.get("device") == "cuda":
        yield "learned on a GPU"


def _compared(verdict: Verdict) -> Iterator[str]:
    names = [f"{entry['stage']} {entry['of']} {entry['name']}".strip() for entry in verdict.differs]
    same = f"{len(names)} differ: {some_of(names)}" if names else "all are the same"
    yield f"compared: {verdict.entries} entries of dvc.lock; {same}"
    predictions = verdict.predictions
    if not names:
        return
    if predictions is None:
        yield "the predictions could not be compared"
    elif predictions.customers is None:
        yield "the files of the model are the same, and so are its predictions"
    else:
        yield (
            f"the probabilities of {predictions.customers:,} test customers differ by at most"
            f" {predictions.largest:.3g}"
        )


def _value(value: Any) -> str:
    return "not recorded" if value is None else str(value)
