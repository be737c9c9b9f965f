"""`predictflow rebuild`: make a past model again from its commit, and prove that it is the same."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click

from predictflow import rebuilding, rebuilt, receipts, show, worktrees
from predictflow.children import Children
from predictflow.handles import CouldNotTell, resolve, suggest
from predictflow.project import Project
from predictflow.rebuilding import Done, Failed
from predictflow.rebuilt import Rebuilt
from predictflow.receipts import Receipt
from predictflow.store import Version
from predictflow.verdict import DIFFERENT, GRADES, SAME
from stages.errors import UserError

OWN, CURRENT = "own", "current"
SHOWN = 5  # inputs that are told beneath the first one

Facts = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A model that is to be made again.

    Attributes:
        named: what was asked for, or a version's name.
        commit: where it is made; None where no commit holds it.
        versions: registered versions that the verdict is about; empty where it is about another commit.
        registered: the receipt that registers it; None likewise, or where it was never promoted.
    """

    named: str
    content: str
    commit: str | None
    versions: list[Version]
    registered: Receipt | None


@click.command(short_help="Make a past model again, and compare every byte.")
@click.argument("handle", required=False, shell_complete=suggest)
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
    project = Project(context.obj)
    if project.repository.root is None:
        raise CouldNotTell("a bare repository has no cache to rebuild from.\nCure: `git clone` it first.")
    worktrees.clear(project.repository)
    if project.model:
        project.look(lambda: rebuilt.fetch(project.repository, project.model), None)
    wanted = _wanted(project, handle, every, since)
    enough = GRADES[: GRADES.index(grade.replace("-", " ")) + 1]
    told = []
    for one in _rebuilt(project, wanted, environment, jobs):
        told.append(one)
        if not as_json:
            _draw(one, enough)
    told.sort(key=lambda one: [want.named for want in wanted].index(one["handle"]))
    answer = {"at_least": enough[-1], "rebuilds": told, "not_looked_at": project.unseen}
    if as_json:
        show.as_json(answer)
    else:
        show.unseen(show.console(), project.unseen)
    context.exit(_code(told, enough))


def _code(told: list[Facts], enough: tuple[str, ...]) -> int:
    """A certain no counts for more than one that could not be made, or not be compared."""
    below = [one for one in told if one["verdict"] and one["verdict"] not in enough]
    if any(not one["doubtful"] or SAME not in enough for one in below):
        return 1
    return 0 if all(one["verdict"] in enough for one in told) else 2


# --- What is to be made again ---


def _wanted(project: Project, handle: str | None, every: bool, since: str | None) -> list[Wanted]:
    """Raises what `resolve` raises, and UserError or CouldNotTell where there is nothing to make."""
    if every:
        return _versions(project)
    if since is not None:
        return _since(project, since)
    target = resolve(project, handle)
    if target.model is None:
        raise UserError(
            f"{handle} ({target.named}) is no model.\n"
            f"Cure: `predictflow lineage {handle}` lists the models made from it; rebuild one of those."
        )
    commit = project.repository.commit(handle) if handle else project.repository.head
    if commit is None or target.lock is None or project.history.lock_at(commit) != target.lock:
        commit = None  # not a commit by itself: the first one that holds the model
    return [_want(project, handle or "the working tree", target.model, commit)]


def _versions(project: Project) -> list[Wanted]:
    """Each content once, under the name of its newest version."""
    if not project.versions and project.unseen:
        raise CouldNotTell(
            f"the registry cannot be asked: {project.unseen[-1]}\nCure: set MLFLOW_TRACKING_URI."
        )
    wanted = []
    for content, versions in project.versions_with.items():
        own = [version for version in versions if version.model == project.model]
        if own:
            wanted.append(_want(project, own[0].name, content or "", None))
    if not wanted:
        raise UserError(f"{project.model} has no registered version.\nCure: `dvc repro` registers one.")
    return sorted(wanted, key=lambda one: int(one.named.rpartition("/")[2]))


def _since(project: Project, since: str) -> list[Wanted]:
    start = project.repository.commit(since)
    if start is None:
        raise UserError(f"{since} is no branch, tag or commit.\nCure: `git log --oneline` lists commits.")
    shas = set(project.repository.read("rev-list", f"{start}..HEAD").split())
    firsts = project.history.first_with_model.items()
    made = sorted((first.time, first.sha, content) for content, first in firsts if first.sha in shas)
    if not made:
        raise UserError(f"no commit since {since} holds a new model.\nCure: an earlier revision.")
    return [_want(project, sha[: show.SHORT], content, sha) for _, sha, content in made]


def _want(project: Project, named: str, content: str, commit: str | None) -> Wanted:
    first = project.history.first_with_model.get(content)
    chain = project.chain(project.model) if project.model else None
    registrations = receipts.versions(chain.receipts).values() if chain else ()
    registered = next((one for one in registrations if one.body["content"] == content), None)
    holder = registered.commit if registered else first and first.sha
    commit = commit or holder
    if commit != holder:  # the verdict on another commit with this model is no word about the version
        return Wanted(named, content, commit, [], None)
    versions = [one for one in project.versions_with.get(content, []) if one.model == project.model]
    return Wanted(named, content, commit, versions, registered)


# --- Making it ---


def _rebuilt(project: Project, wanted: list[Wanted], environment: str, jobs: int) -> Iterator[Facts]:
    """What came of each, as soon as it is done."""
    running = Children()
    current = environment == CURRENT
    earlier = rebuilt.read(project.repository, project.model) if project.model else []

    def make(one: Wanted, tell: Callable[[str], None]) -> Done | UserError:
        if one.commit is None:
            return CouldNotTell(
                f"no commit holds the content {one.content or 'of it'}.\n"
                "Cure: make it with the params of its run, and commit dvc.lock."
            )
        try:
            return rebuilding.rebuild(
                project.repository,
                project.storage,
                one.commit,
                rebuilt.machine(earlier, one.content),
                current,
                running,
                tell,
            )
        except UserError as error:
            return error

    with _progress() as follow, ThreadPoolExecutor(jobs) as pool:
        try:
            futures = {pool.submit(make, one, follow(one.named)): one for one in wanted}
            for future in as_completed(futures):
                yield _told(project, futures[future], environment, future.result())
        except BaseException:
            running.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _progress() -> Iterator[Callable[[str], Callable[[str], None]]]:
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


def _told(project: Project, one: Wanted, environment: str, done: Done | UserError) -> Facts:
    """What came of one, as plain values; the verdict is written down."""
    told: Facts = {
        "handle": one.named,
        "content": one.content or None,
        "commit": one.commit,
        "versions": [version.name for version in one.versions],
        "environment": environment,
        "receipt": None,
        "verdict": None,
        "why_not": None,
        "doubtful": False,
        "entries": None,
        "differs": [],
        "predictions": None,
        "inputs": [],
        "requirements": None,
        "machine": {},
    }
    if isinstance(done, UserError):
        return told | {"why_not": str(done), "inputs": done.inputs if isinstance(done, Failed) else []}
    found = asdict(done.verdict)
    told |= found | {"verdict": found["grade"], "requirements": done.requirements, "machine": done.machine}
    del told["grade"]
    told["doubtful"] = found["grade"] == DIFFERENT and found["predictions"] is None
    project.unseen.extend(f"{one.named}: {reason}" for reason in done.unseen)
    written = _write(project, one, told)
    return told | {"receipt": written.name if written else None}


def _write(project: Project, one: Wanted, told: Facts) -> Rebuilt | None:
    """The receipt of a verdict and the tag of MLflow's versions; what cannot be written is told, and the
    verdict stays."""
    import time

    written = None
    if one.registered:
        try:
            written = rebuilt.write(project.repository, one.registered, told)
            project.look(lambda: rebuilt.push(project.repository, [written]), None)
        except UserError as error:
            project.unseen.append(str(error).splitlines()[0])
    if one.versions:
        when = show.moment(written.time if written else time.time())
        project.look(lambda: rebuilt.mark(one.versions, told["verdict"], when), None)
    return written


# --- Telling it ---


def _draw(one: Facts, enough: tuple[str, ...]) -> None:
    console = show.console()
    verdict = one["verdict"] or "could not be made again"
    style = "green" if verdict in enough else "red"
    names = [name for name in one["versions"] if name != one["handle"]]
    at = f"commit {one['commit'][: show.SHORT]}" if one["commit"] else ""
    line = show.line(one["handle"], verdict, *names, f"content {one['content']}", at)
    line.stylize(style, len(one["handle"]) + 1, len(one["handle"]) + 1 + len(verdict))
    console.print(line)
    for told in _beneath(one):
        console.print(f"  {told}", markup=False)


def _beneath(one: Facts) -> Iterator[str]:
    if one["why_not"]:
        yield from one["why_not"].splitlines()
    else:
        differs = [f"{entry['stage']} {entry['of']} {entry['name']}".strip() for entry in one["differs"]]
        yield f"compared: {one['entries']} entries of dvc.lock; " + (
            f"{len(differs)} differ: {show.some(differs)}" if differs else "all are the same"
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
