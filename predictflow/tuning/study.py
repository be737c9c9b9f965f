"""A study from its beginning to its report: the journal, the trials, MLflow's runs."""

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from predictflow.adapters.mlflow_studies import StudyRun, open_studies
from predictflow.adapters.workers import workers
from predictflow.formatting import Json, some_of
from predictflow.tuning import folds, inputs, journal, plots, records, report, winner
from predictflow.tuning.journal import Journal
from predictflow.tuning.space import Space
from predictflow.tuning.sweep import score_today, sweep
from stages.support.errors import UserError

Tell = Callable[[int, str], None]  # how many trials have ended, and the best of them


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        trials: how many the study is to hold in the end.
        seconds: after which no trial begins any more; None: no limit.
        new: whether to begin another study.
    """

    trials: int
    seconds: float | None
    jobs: int
    new: bool


def run(space: Space, request: Request, tell: Tell) -> Json:
    """Go on with the newest study, or begin one; what came of it, as `report.answer`, with MLflow's `run`.

    Raises UserError, also where a person stops it.
    """
    now = inputs.read(space)
    until = time.monotonic() + (float("inf") if request.seconds is None else request.seconds)
    with journal.hold_lock() as folder:
        study = None if request.new else find(folder, now)
        plan = (space.params.tree, space.folds, space.metric, now["data"])
        with workers(request.jobs, folds.begin, *plan) as pool:
            known = study and study.record["today"]["drawn"] == space.today()
            scored = [] if known else score_today(space, pool)
            store = open_studies(space.params)  # while the pool's processes read the customers
            today = study.record["today"]["scores"] if study and known else _scores(scored)
            if study is None:
                drawn = {"drawn": space.today(), "scores": today}
                study = journal.begin(folder, space.direction, now, drawn)
            tags = {f"predictflow.{kind}": md5 for kind, md5 in inputs.md5s(now).items()}
            logged = StudyRun(store, study.record["id"], f"study {study.number}", tags)
            tell(len(study.trials), best_so_far(study, space))
            with logged.running():
                with _stopped_by_hand(study, space, request.trials):
                    sweep(
                        study,
                        space,
                        pool,
                        jobs=request.jobs,
                        wanted=request.trials,
                        until=until,
                        meanwhile=lambda: _meanwhile(study, space, logged, tell),
                    )
                answer = report.answer(study, space, today) | {"run": logged.id}
                _conclude(study, space, logged, answer)
    return answer


def find(folder: Path, now: Json, number: int | None = None) -> Journal | None:
    """A study, by default the one that was begun last.

    Raises UserError where there is none of that number, or it was begun with other inputs than these.
    """
    study = journal.find(folder, number) if number else journal.newest(folder)
    if study:
        inputs.ensure_same(study.number, study.record["inputs"], now)
    return study


def choice(space: Space, number: int | None = None) -> Json:
    """What a study, by default the newest, has chosen: `study`, `trial` and `changed`, {dotted name: [today,
    new value]}.

    Raises UserError where it has chosen nothing, or nothing better than what it began with.
    """
    more = "Cure: `predictflow tune` tries more."
    with journal.hold_lock() as folder:
        now = inputs.read(space)
        study = find(folder, now, number)
        ranked = report.best_first(study.trials, space) if study else []
        others = [] if ranked else _that_have_scored(folder, space, now)
    if study is None or (not ranked and not others):
        raise UserError(f"no study has scored a trial on every fold yet.\n{more}")
    if not ranked:
        raise UserError(
            f"study {study.number} has scored no trial on every fold yet; of the same inputs"
            f" {some_of([str(one) for one in others])} has.\n"
            f"{more.removesuffix('.')}; `--study {others[-1]}` beside `--apply` or `--exp` takes that one."
        )
    best, today = ranked[0], fmean(study.record["today"]["scores"])
    if not space.is_better(best.value or 0.0, today):
        raise UserError(
            f"no trial of study {study.number} is better than the params that it began with:"
            f" {space.metric} {best.value:.4f}, and {today:.4f} before.\n{more}"
        )
    return {"study": study.number, "trial": best.number, "changed": winner.changes(best.params)}


def _that_have_scored(folder: Path, space: Space, now: Json) -> list[int]:
    """The studies with today's inputs that have a trial scored on every fold."""
    studies = (journal.find(folder, number) for number in journal.numbers(folder))
    return [
        study.number
        for study in studies
        if study.record["inputs"] == now and report.best_first(study.trials, space)
    ]


def _scores(scored: list[Future]) -> list[float]:
    """Of the params of today, a fold each. Raises UserError where their model's library refuses them."""
    try:
        return [future.result()[0] for future in scored]
    except (OSError, UserError):
        raise
    except Exception as error:
        raise UserError(
            f"the params of today cannot be scored: {type(error).__name__}: {error}\n"
            "Cure: correct models in params.yaml, until `dvc repro` makes a model of them."
        ) from error


def _meanwhile(study: Journal, space: Space, logged: StudyRun, tell: Tell) -> None:
    """Tell how far it is, and log one trial: the processes of the pool do not wait for MLflow."""
    tell(len(study.trials), best_so_far(study, space))
    _log(study, space, logged, most=1)


def _log(study: Journal, space: Space, logged: StudyRun, most: int) -> None:
    missing = [trial for trial in study.trials if trial.number not in logged.logged]
    for trial in missing[:most]:
        logged.log(records.of_trial(trial, space.metric))


def _conclude(study: Journal, space: Space, logged: StudyRun, answer: Json) -> None:
    """Let MLflow's run of the study say what came of it so far."""
    _log(study, space, logged, most=len(study.trials))
    logged.conclude(
        records.tags(study, space, answer),
        records.params(space),
        records.metrics(answer),
        records.note(answer),
    )
    with tempfile.TemporaryDirectory() as folder:
        if plots.draw(study.trials, answer["today"]["value"], space, Path(folder)):
            logged.add_files(Path(folder))


def best_so_far(study: Journal, space: Space) -> str:
    """The best trial in a word; nothing before there is one."""
    ranked = report.best_first(study.trials, space)
    return f"best {space.metric} {ranked[0].value:.4f} (trial {ranked[0].number})" if ranked else ""


@contextmanager
def _stopped_by_hand(study: Journal, space: Space, wanted: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        best = best_so_far(study, space) or "none was scored on every fold yet"
        raise UserError(
            f"stopped after {len(study.trials)} of {wanted} trials of study {study.number}: {best}.\n"
            f"Cure: `predictflow tune --trials {wanted}` goes on from there; nothing is lost."
        ) from None
