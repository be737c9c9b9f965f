"""`predictflow predict`: a model, by any handle, scores a file of customers."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from predictflow.commands.completion import complete_handle
from predictflow.console import fact, open_console, print_gaps, print_json
from predictflow.errors import CouldNotTell
from predictflow.formatting import Json
from predictflow.lineage.handles import resolve
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from stages.support.errors import UserError

if TYPE_CHECKING:
    from predictflow.scoring.claim import Note
    from predictflow.scoring.stream import Scored


@click.command(short_help="Score a file of customers with any model.")
@click.argument("handle", shell_complete=complete_handle)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("scores.parquet"),
    show_default=True,
    help="Where the scores go, .csv or .parquet.",
)
@click.option(
    "--skip-bad",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Leave out who cannot be scored: a CSV gets them, each with its row and the reason.",
)
@click.option("--force", is_flag=True, help="Write over what is there already.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(
    context: click.Context,
    handle: str,
    file: Path,
    output: Path,
    skip_bad: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Score the customers of FILE: who is likely to leave, whom to call, and in which tenth each one is.

    HANDLE is whatever `predictflow lineage` takes. The model's files come from DVC's cache, the working tree,
    MLflow or the remote, and each is held against Git before its code is run. FILE is Parquet, or a CSV
    written as the one that the model has learned from.

    The scores say which model they are of, and which file was scored: `predictflow lineage` takes them as a
    handle. They are there whole or not at all.

    Exit codes: 0 scored; 1 a customer or a file that cannot be; 2 the model could not be had.

    \b
    Examples:
      predictflow predict churn-predictor@production customers.csv
      predictflow predict HEAD march.parquet --output march-scores.csv --skip-bad march-bad.csv
    """
    project = Project.enter(context.obj)
    source, path = project.place(file), project.place(output)
    bad = project.place(skip_bad) if skip_bad else None

    from predictflow.scoring import places

    places.ensure_readable(source)
    places.ensure_writable(source, path, bad, force)
    model = _find_model(project, handle)
    scored, note = _score(project, model, source, path, bad)
    answer = {
        "handle": handle,
        "model": model.content,
        "commit": scored.claim.commit,
        "threshold": scored.claim.threshold,
        "input": {"path": str(file), "md5": scored.claim.input},
        "output": {"path": str(output), "md5": note.output},
        "rows": scored.claim.rows,
        "called": scored.called,
        "skipped": scored.claim.skipped,
        "skipped_to": str(skip_bad) if skip_bad else None,
        "repeated_ids": scored.repeated,
        "empty_lines": scored.empty,
        "when": note.when,
        "not_looked_at": project.unseen,
    }
    if as_json:
        print_json(answer)
    else:
        _draw(answer)


def _find_model(project: Project, handle: str) -> Model:
    """The one model that a handle names, with all that is needed to score with it.

    Raises UserError for a file that models are made from, and CouldNotTell where Git holds too little of it.
    """
    from predictflow.verification.content import recorded_model

    target = resolve(project, handle)
    if target.model is None:
        raise UserError(
            f"{handle} is no model but {target.named}.\nCure: `predictflow lineage {handle}` lists the models"
            " made from it."
        )
    if recorded_model(project, target.model) is None:
        raise CouldNotTell(
            f"the model {target.model} is in no commit, so what its customers look like is not known.\n"
            "Cure: `git fetch --all --tags` and `dvc exp pull origin --all-commits` bring what others have"
            " pushed."
        )
    model = project.history.model(target.model, target.lock)
    if "threshold" not in model.metrics:
        raise CouldNotTell(
            f"the model {target.model} was never evaluated, as far as Git knows, so from which probability on"
            " a call pays is not known.\nCure: `dvc repro evaluate` where it was made, and commit dvc.lock."
        )
    return model


def _score(
    project: Project, model: Model, source: Path, path: Path, bad: Path | None
) -> "tuple[Scored, Note]":
    """Raises UserError where the model cannot be loaded, and what `Scoring.run` raises."""
    import time

    from predictflow.formatting import moment
    from predictflow.scoring import claim
    from predictflow.scoring.model import FolderModel, Unscorable
    from predictflow.scoring.stream import Scoring
    from predictflow.verification.model_folder import model_folder
    from stages.data.schema import Schema
    from stages.support import hashes
    from stages.support.params import Params
    from stages.support.progress import progress

    with model_folder(project, model) as folder, progress("scoring the customers") as tell:
        commit = model.commit.sha if model.commit else None
        claimed = claim.Claim(model.content, commit, model.metrics["threshold"], hashes.md5(source), 0, 0)
        try:
            scoring = Scoring(FolderModel(folder), Schema(Params(model.params)), claimed, tell)
            scored = scoring.run(source, path, bad)
        except Unscorable as error:
            raise UserError(
                f"the model {model.content} does not score here: {error}.\n"
                "Cure: `predictflow rebuild` makes it again in an environment of its own."
            ) from error
    note = claim.Note(scored.claim, hashes.md5(path), moment(time.time()))
    claim.write_note(claim.place(path), note)
    return scored, note


def _draw(answer: Json) -> None:
    console = open_console()
    called = f"{answer['called']:,} to be called, from probability {answer['threshold']:.2f} on"
    console.print(fact(answer["output"]["path"], f"{answer['rows']:,} customers scored", called))
    console.print(fact("model", answer["model"], f"commit {(answer['commit'] or 'none')[:10]}"))
    if answer["skipped"]:
        console.print(fact(answer["skipped_to"], f"{answer['skipped']:,} customers left out"), style="yellow")
    if answer["repeated_ids"]:
        told = f"{answer['repeated_ids']:,} rows have the id of an earlier one, and a score of their own"
        console.print(f"note: {told}", style="yellow")
    if answer["empty_lines"]:
        console.print(f"note: {answer['empty_lines']:,} empty lines were left out", style="yellow")
    print_gaps(console, answer["not_looked_at"])
