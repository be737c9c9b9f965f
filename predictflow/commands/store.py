"""`predictflow store`: the project's own database is copied, checked, and brought to a newer MLflow."""

import os
from pathlib import Path

import click

from predictflow.adapters.store_copies import BY_HAND, KEPT, keep_copy, own_database
from predictflow.commands.checks import checks_as_json, draw_checks
from predictflow.console import open_console, print_json
from predictflow.doctor import store
from predictflow.doctor.check import Asked
from predictflow.doctor.doctor import exit_code, guarded
from predictflow.errors import Unreachable, masked
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.maintenance.upgrade import upgrade_store
from stages.support.errors import UserError
from stages.support.progress import progress
from stages.tracking.store import tracking_uri


@click.command(short_help="Copy, check or upgrade the project's own store.")
@click.argument("task", metavar="backup|check|upgrade", type=click.Choice(["backup", "check", "upgrade"]))
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=KEPT,
    show_default=True,
    help="How many copies of a kind stay; the oldest go.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, task: str, keep: int, as_json: bool) -> None:
    """Keep mlflow_data/mlflow.db, which SQLite and MLflow may harm.

    \b
    backup   a copy in mlflow_data/backups/, whole while others write. Every
             promotion, rollback and upgrade makes one first.
    check    is it whole, of the installed MLflow, on a disk that is fit for it?
             Are runs left open, files elsewhere, copies unreadable?
    upgrade  an older MLflow's store becomes the installed one's: MLflow migrates
             a copy, which takes its place once it is found to be whole.

    A server's store (MLFLOW_TRACKING_URI) is copied and upgraded by who runs it.

    Exit codes: 0 done, or nothing is wrong; 1 refused, or something is wrong; 2 could not tell.

    \b
    Example:
      predictflow store backup
    """
    project = Project.enter(context.obj)
    if task == "check":
        asked = Asked(deep=True, remote=True)
        with progress("looking at the store"):
            checks = [*guarded(store.GROUP, store.checks, project, asked)]
        if as_json:
            print_json(checks_as_json(checks))
        else:
            draw_checks(open_console(), checks)
        context.exit(exit_code(checks))
    answer = _backup(keep) if task == "backup" else _upgrade(project, keep)
    if as_json:
        print_json(answer | {"not_looked_at": []})
    else:
        _draw(answer)


def _own_database() -> Path:
    """Raises UserError where there is none."""
    database = own_database()
    if database is None:
        raise UserError(
            f"the store is a server, {masked(tracking_uri())}: this command keeps the project's own alone.\n"
            "Cure: who runs it copies its database (`pg_dump`) and its files, and calls `mlflow db upgrade`."
        )
    if not database.is_file():
        raise UserError(
            f"{database} is not there.\n"
            "Cure: `predictflow restore` brings a lost store back; `dvc repro` makes a first one."
        )
    return database


def _backup(keep: int) -> Json:
    database = _own_database()
    try:
        with progress("copying the store"):
            copy = keep_copy(database, BY_HAND, keep)
    except Unreachable as error:
        raise UserError(f"{error}\nCure: `predictflow store check` tells what is wrong with it.") from error
    return {"copy": str(copy.path), "size": copy.size, "kept": keep}


def _upgrade(project: Project, keep: int) -> Json:
    root = project.repository.root
    if root is None:
        raise UserError("a bare repository has no store.\nCure: call it in a clone with files.")
    done = upgrade_store(root, _own_database(), keep)
    copy = str(done.copy.path) if done.copy else None
    return {"copy": copy, "before": done.before, "after": done.after}


def _draw(answer: Json) -> None:
    console = open_console()
    if "after" not in answer:
        console.print(f"copied to {_near(answer['copy'])}", markup=False)
    elif answer["copy"]:
        console.print(f"the store as it was: {_near(answer['copy'])}", markup=False)
        console.print(
            f"upgraded: its tables were {answer['before']}, and are {answer['after']}", markup=False
        )
    else:
        console.print("nothing to do: the store is the installed MLflow's", markup=False)


def _near(path: str) -> str:
    """A path from the project's top folder, where it lies in it."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
