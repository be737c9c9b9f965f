"""`predictflow experiments`: DVC's experiments and MLflow's runs in one table, joined by content."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from predictflow.adapters.dvc_commands import compare_plots
from predictflow.commands.completion import complete_handle
from predictflow.console import draw_table, open_console, print_gaps, print_json
from predictflow.formatting import Json, some_of
from predictflow.lineage.answers import HEADLINE
from predictflow.lineage.experiments import Order, entries_of, list_entries
from predictflow.lineage.handles import resolve
from predictflow.lineage.project import Project
from stages.support.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

NEWEST = 100  # entries that are shown
MANY = 4  # files of code that are counted, not named


@click.command(short_help="Experiments and runs in one table.")
@click.argument("handles", metavar="[HANDLE]...", nargs=-1, shell_complete=complete_handle)
@click.option("--sort", metavar="METRIC", help="The best first: the highest of a metric.")
@click.option("--ascending", is_flag=True, help="With --sort: the lowest first, as for brier or log_loss.")
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=0),
    default=NEWEST,
    show_default=True,
    metavar="N",
    help="So many at most, the newest or with --sort the best; 0 for all.",
)
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
    limit: int,
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
    project = Project.enter(folder, by_index=True)
    order = Order(sort, ascending) if sort else None
    if handles:
        chosen = (resolve(project, handle).model for handle in handles)
        found = entries_of(project, filter(None, chosen), order)
    else:
        found = list_entries(project, limit, order)
    if plot:
        _plot(project, found.rows, project.place(plot))
    answer = {
        "experiments": found.rows,
        "entries": found.entries,
        "without_run": found.without_run,
        "store_answers": project.registry_answers,
        "not_looked_at": project.unseen,
    }
    if as_json:
        print_json(answer)
    else:
        _draw(answer, sort)
    lost = found.without_run
    click.get_current_context().exit(2 if lost and project.unseen else 1 if lost else 0)


def _plot(project: Project, rows: list[Json], page: Path) -> None:
    """One page of DVC's, with the curves of all entries that a commit holds."""
    revisions = [_revision(project, row) for row in rows if row["commit"]]
    if not revisions:
        raise UserError("none of these has plots: no commit holds them.\nCure: `predictflow experiments`.")
    compare_plots(project.repository.root, revisions, page)


def _revision(project: Project, row: Json) -> str:
    """What an entry's commit is called on a page: its name, where Git or DVC knows it by that."""
    known = row["experiment"] or project.repository.commit(row["name"])
    return row["name"] if known else row["commit"][:10]


def _draw(answer: Json, sort: str | None) -> None:
    console = open_console()
    rows = answer["experiments"]
    none = "no experiment and no run yet: `dvc exp run -S train.model=…`, or `dvc repro`"
    if not answer["store_answers"]:
        none = "no experiment that Git knows; MLflow's runs are not known"
    console.print(_table(answer, sort) if rows else none)
    if answer["entries"] is None:
        console.print(
            f"the newest {len(rows):,}; there are more (`--limit N` shows so many, `--limit 0` all)"
        )
    elif answer["entries"] > len(rows):
        which = "first" if sort else "newest"
        console.print(f"the {which} {len(rows):,} of {answer['entries']:,} (`--limit 0` shows all)")
    warnings = [
        f"experiment {name} has no run (`predictflow restore` writes it)"
        for name in (answer["without_run"] if answer["store_answers"] else [])
    ]
    orphans = [row["name"] for row in rows if row["run"] and not row["experiment"] and not row["commit"]]
    if orphans:
        warnings.append(f"runs without experiment or commit: {some_of(list(dict.fromkeys(orphans)))}")
    for warning in warnings:
        console.print(warning, style="yellow", markup=False)
    print_gaps(console, answer["not_looked_at"])


def _table(answer: Json, sort: str | None) -> "Table":
    metrics = list(dict.fromkeys([*([sort] if sort else []), HEADLINE[0], "brier"]))
    heads = ("experiment", "changed", *metrics, "run", "version")
    rows = (_row(row, metrics, answer["store_answers"]) for row in answer["experiments"])
    return draw_table(heads, rows, right=metrics)


def _row(row: Json, metrics: list[str], store_answers: bool) -> "list[Text]":
    from rich.text import Text

    cells = (
        row["name"],
        _changes(row),
        *(f"{row['metrics'][name]:.4f}" if name in row["metrics"] else "" for name in metrics),
        _run(row) if store_answers else "not known",
        " ".join(version["name"].rpartition("/")[2] for version in row["versions"]),
    )
    return [Text(cell, "" if row["content"] else "dim") for cell in cells]


def _changes(row: Json) -> str:
    params = [f"{name.removeprefix('models.')} {new}" for name, (_, new) in row["changed"].items()]
    code = [path for path in row["also_changed"] if path.startswith("stages/")]
    others = [path for path in row["also_changed"] if path not in code]
    return "\n".join([*params, *others, *(code if len(code) < MANY else [f"{len(code)} files of stages/"])])


def _run(row: Json) -> str:
    if row["run"] is None:
        return "none"
    status = "" if row["status"] == "FINISHED" else f" {row['status']}"
    return f"{row['run'][:8]}{status}{' restored' if row['how'] == 'restored' else ''}"
