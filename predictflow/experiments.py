"""`predictflow experiments`: DVC's experiments and MLflow's runs in one table, joined by content."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predictflow import facts, rebuilt, show
from predictflow.facts import Facts
from predictflow.handles import resolve, suggest
from predictflow.index import CUSTOMERS
from predictflow.lineage import HEADLINE
from predictflow.project import Project
from predictflow.repository import Ref
from predictflow.store import Run
from stages.errors import UserError
from stages.params import FILE as PARAMS
from stages.tracking import flat

if TYPE_CHECKING:
    from rich.table import Table

MANY = 4  # files of code that are counted, not named
RESTORED = {True: "restored", False: "run"}


@click.command(short_help="Experiments and runs in one table.")
@click.argument("handles", metavar="[HANDLE]...", nargs=-1, shell_complete=suggest)
@click.option("--sort", metavar="METRIC", help="The best first: the highest of a metric.")
@click.option("--ascending", is_flag=True, help="With --sort: the lowest first, as for brier or log_loss.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Compare their curves on one page.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_obj
def command(
    folder: Path,
    handles: tuple[str, ...],
    sort: str | None,
    ascending: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Which experiments and runs are there, what did each change, and what came of it?

    One line is one experiment of DVC's, one committed model, or one run of MLflow's that neither knows (its
    experiment was removed, or it was never committed; a run that failed made no model). HANDLEs choose some.

    Exit codes: 0 every experiment has its run, 1 some has none, 2 could not tell.

    \b
    Example:
      predictflow experiments --sort roc_auc
    """
    project = Project(folder)
    rows = entries(project)
    if handles:
        chosen = {resolve(project, handle).model for handle in handles}
        rows = [row for row in rows if row["content"] in chosen]
    if sort:
        rows = in_order(rows, sort, ascending)
    if plot:
        _plot(project, rows, project.start / plot)
    answer = {"experiments": rows, "not_looked_at": project.unseen}
    if as_json:
        show.as_json(answer)
    else:
        _draw(answer, sort)
    lost = any(row["experiment"] and not row["run"] for row in rows)
    click.get_current_context().exit(2 if lost and project.unseen else 1 if lost else 0)


def entries(project: Project) -> list[Facts]:
    """One entry an experiment, a committed model without one, or a run that neither knows; the newest
    first. predictflow/README.md says what each key means."""
    history = project.history
    found = []
    for content in history.contents:
        refs = history.refs_with.get(content, [])
        experiments = [ref for ref in refs if ref.kind == "experiment"]
        names = {ref.name for ref in experiments}
        runs = project.runs.get(content, [])
        for ref in experiments:
            of_it = [run for run in runs if run.experiment == ref.name]
            found.append(_of_experiment(project, content, ref, of_it))
        others = [run for run in runs if run.experiment not in names]
        taken_over = content in history.first_with_model and history.taken_over(content)
        if others or (taken_over and not experiments):
            found.append(_of_commit(project, content, others))
    known = {run["id"] for row in found for run in row["runs"]}
    found += [_of_run(project, run) for run in project.all_runs if run.id not in known]
    return sorted(found, key=lambda row: (row["made"], row["content"] or ""), reverse=True)


def _of_experiment(project: Project, content: str, ref: Ref, runs: list[Run]) -> Facts:
    history = project.history
    commit = history.commits[history.places[ref.commit]]
    baseline = history.commits[commit.parents[0]].sha if commit.parents else None
    model = history.model(content, commit.lock)
    return _entry(project, content, runs, model.metrics, commit.time) | {
        "name": ref.name,
        "experiment": ref.name,
        "commit": commit.sha,
        "baseline": baseline,
        "changed": changed(project, baseline, commit.sha),
        "also_changed": _also_changed(project, baseline, commit.sha),
    }


def _of_commit(project: Project, content: str, runs: list[Run]) -> Facts:
    """A model that a branch or tag holds, or the working tree alone."""
    history = project.history
    commit = history.first_with_model.get(content)
    before = history.commits[commit.parents[0]].sha if commit and commit.parents else None
    receipts = project.chain(project.model).names if project.model else []
    refs = [ref for ref in history.refs_with.get(content, []) if ref.kind != "experiment"]
    of_rebuilds = rebuilt.prefix(project.model) if project.model else ()
    at = [ref.name for ref in refs if ref.name not in receipts and not ref.name.startswith(of_rebuilds)]
    removed = next((run.experiment for run in runs if run.experiment), None)
    metrics = facts.recorded(project, content).metrics
    return _entry(project, content, runs, metrics, commit.time if commit else 0) | {
        "name": removed
        or (show.some(at, 2) if at else commit.sha[: show.SHORT] if commit else "not committed"),
        "experiment": None,
        "commit": commit.sha if commit else None,
        "baseline": before,
        "changed": changed(project, before, commit.sha) if before else {},
        "also_changed": _also_changed(project, before, commit.sha) if before else [],
    }


def _of_run(project: Project, run: Run) -> Facts:
    """A run of a model that Git does not know, or that made none."""
    metrics = project.ask_store(lambda store: store.metrics([run]), {}).get(run.id, {})
    return _entry(project, run.content, [run], metrics, run.began / 1000) | {
        "name": run.experiment or run.name,
        "experiment": None,
        "commit": None,
        "baseline": None,
        "changed": {},
        "also_changed": [],
    }


def _entry(
    project: Project, content: str | None, runs: list[Run], metrics: dict[str, float], time: float
) -> Facts:
    """What every entry has; `run` is the one that tells of it: the training's own rather than a restored."""
    told = facts.runs(project, sorted(runs, key=lambda run: run.restored))
    began = min((run["began"] for run in told), default=show.moment(time))
    return {
        "content": content,
        "made": began,
        "metrics": metrics,
        "run": told[0]["id"] if told else None,
        "status": told[0]["status"] if told else None,
        "how": RESTORED[told[0]["restored"]] if told else None,
        "runs": told,
        "versions": [facts.version(one) for one in project.versions_with.get(content, [])] if content else [],
    }


def changed(project: Project, old: str | None, new: str) -> dict[str, list[Any]]:
    """{dotted name: [value before, value after]} of the params that differ between two commits; null for
    one that was not there."""
    before, after = (_params(project, commit) if commit else {} for commit in (old, new))
    return {
        name: [before.get(name), after.get(name)]
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }


def _also_changed(project: Project, old: str | None, new: str) -> list[str]:
    """What else differs of the inputs that both have (an experiment may have stopped before register): data,
    environment, each file of code."""
    history = project.history
    names = [history.lock_at(commit) if commit else None for commit in (old, new)]
    if None in names:
        return []
    before, after = (history.locks[name] for name in names)
    both = {CUSTOMERS, *before.inputs, *after.inputs} & before.md5s.keys() & after.md5s.keys()
    return sorted(path for path in both if before.md5s[path] != after.md5s[path])


def _value(text: Any) -> Any:
    """A param as JSON has it: a number, true, false, null (an empty one, too), or text."""
    try:
        return None if text in ("", "~") else json.loads(text)
    except (TypeError, ValueError):
        return text


def _params(project: Project, commit: str) -> dict[str, Any]:
    """By dotted name, read as text first: DVC reads YAML 1.2, in which a bare No is no false."""
    import yaml

    if commit not in project.params_at:
        (blob,) = project.repository.ids([f"{commit}:{PARAMS}"])
        text = next(project.repository.blobs([blob]))[1] if blob else b""
        try:
            told = flat(yaml.load(text, yaml.CBaseLoader) or {})
            project.params_at[commit] = {name: _value(value) for name, value in told.items()}
        except yaml.YAMLError:
            project.params_at[commit] = {}
    return project.params_at[commit]


def in_order(rows: list[Facts], metric: str, ascending: bool) -> list[Facts]:
    """Sorted by a metric, those without it last. Raises UserError for a metric that no entry has."""
    known = sorted({name for row in rows for name in row["metrics"]})
    if metric not in known and rows:
        raise UserError(f"no experiment has the metric {metric}.\nCure: one of {', '.join(known)}.")
    with_it = [row for row in rows if metric in row["metrics"]]
    with_it.sort(key=lambda row: row["metrics"][metric], reverse=not ascending)
    return with_it + [row for row in rows if metric not in row["metrics"]]


def _plot(project: Project, rows: list[Facts], page: Path) -> None:
    """One page of DVC's, with the curves of all entries that a commit holds."""
    known = [row for row in rows if row["commit"]]
    revisions = [
        row["name"] if row["experiment"] or project.repository.commit(row["name"]) else row["commit"][:10]
        for row in known
    ]
    if not revisions:
        raise UserError("none of these has plots: no commit holds them.\nCure: `predictflow experiments`.")
    with tempfile.TemporaryDirectory() as folder:
        words = ["dvc", "plots", "diff", "--quiet", "--out", folder, *revisions]
        done = subprocess.run(words, capture_output=True, text=True, cwd=project.repository.root)
        made = Path(folder, "index.html")
        if done.returncode or not made.is_file():
            raise UserError(
                f"`dvc plots diff` failed: {done.stderr.strip()}\n"
                "Cure: `dvc fetch --all-commits metrics` brings the plots of older commits."
            )
        shutil.copyfile(made, page)


def _draw(answer: Facts, sort: str | None) -> None:
    console = show.console()
    rows = answer["experiments"]
    if rows:
        console.print(_table(rows, sort))
    else:
        console.print("no experiment and no run yet: `dvc exp run -S train.model=…`, or `dvc repro`")
    for row in rows:
        if row["experiment"] and not row["run"]:
            told = f"experiment {row['experiment']} has no run (`predictflow restore` writes it)"
            console.print(told, style="yellow", markup=False)
    orphans = [row["name"] for row in rows if row["run"] and not row["experiment"] and not row["commit"]]
    if orphans:
        told = f"runs without experiment or commit: {show.some(list(dict.fromkeys(orphans)))}"
        console.print(told, style="yellow", markup=False)
    show.unseen(console, answer["not_looked_at"])


def _table(rows: list[Facts], sort: str | None) -> "Table":
    from rich.table import Table

    metrics = list(dict.fromkeys([*([sort] if sort else []), HEADLINE[0], "brier"]))
    table = Table(box=None, pad_edge=False)
    table.add_column("experiment", overflow="fold")
    table.add_column("changed", overflow="fold", max_width=40)
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    for name in ("run", "version"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(
            row["name"],
            _told_of_changes(row),
            *(f"{row['metrics'][name]:.4f}" if name in row["metrics"] else "" for name in metrics),
            _told_of_run(row),
            " ".join(one["name"].rpartition("/")[2] for one in row["versions"]),
            style="" if row["content"] else "dim",
        )
    return table


def _told_of_changes(row: Facts) -> str:
    params = [f"{name.removeprefix('models.')} {new}" for name, (_, new) in row["changed"].items()]
    code = [path for path in row["also_changed"] if path.startswith("stages/")]
    others = [path for path in row["also_changed"] if path not in code]
    return "\n".join([*params, *others, *(code if len(code) < MANY else [f"{len(code)} files of stages/"])])


def _told_of_run(row: Facts) -> str:
    if row["run"] is None:
        return "none"
    status = "" if row["status"] == "FINISHED" else f" {row['status']}"
    return f"{row['run'][:8]}{status}{' restored' if row['how'] == 'restored' else ''}"
