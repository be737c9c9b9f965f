"""The trials of a study, one after the other or several at the same time: what each draws is decided alone by
the seed, its number, and the trials that are at least LAG numbers before it.

So the same study comes out however often it is stopped, and with any number of jobs: a trial never waits for
how soon another one happens to end.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

from predictflow.formatting import Json
from predictflow.tuning import folds
from predictflow.tuning.journal import Journal
from predictflow.tuning.space import Space
from stages.support.errors import UserError
from stages.support.params import SEEDS

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

LAG = 10  # the first so many are drawn at random, as by Optuna itself
MOST_JOBS = LAG - 2  # with one more trial begun than there are jobs, nobody waits for its number
# A trial is given up after its second fold or later, where it is behind the median of at least so many.
WARM_UP, COMPARED = 1, 10


class Attempt:
    """A trial that goes on.

    Attributes:
        drawn: {dotted name: value}.
        scores: of the folds so far.
    """

    def __init__(self, number: int, trial: "Trial", space: Space, today: list[float]) -> None:
        self.number, self._trial, self._today, self._space = number, trial, today, space
        self.drawn = space.draw(trial)
        self.scores: list[float] = []
        self._behind: dict[int, float] = {}
        self._seconds, self._began = 0.0, datetime.now()

    def submit(self, pool: Executor) -> Future:
        """Have the next fold scored."""
        return pool.submit(folds.score, *self._space.settings(self.drawn), len(self.scores))

    def take(self, score: float, seconds: float) -> "FrozenTrial | None":
        """A fold's score; the finished trial after the last one, or where it is not worth going on."""
        from optuna.trial import TrialState

        step = len(self.scores)
        self.scores.append(score)
        self._seconds += seconds
        # Folds are not equally hard: by how much it is above today's params, on those that it has seen.
        self._behind[step] = fmean(a - b for a, b in zip(self.scores, self._today, strict=False))
        self._trial.report(self._behind[step], step)
        if len(self.scores) == len(self._today):
            return self._frozen(TrialState.COMPLETE, fmean(self.scores))
        return self._frozen(TrialState.PRUNED) if self._trial.should_prune() else None

    def failed(self, why: str) -> "FrozenTrial":
        from optuna.trial import TrialState

        return self._frozen(TrialState.FAIL, error=why)

    def _frozen(self, state: Any, value: float | None = None, **attrs: Any) -> "FrozenTrial":
        from optuna.trial import create_trial

        distributions = self._space.distributions()
        trial = create_trial(
            state=state,
            value=value,
            params=self.drawn,
            distributions={name: distributions[name] for name in self.drawn},
            user_attrs={"scores": self.scores, "seconds": self._seconds} | attrs,
            intermediate_values=self._behind,
        )
        trial.number, trial.datetime_start = self.number, self._began
        return trial


def draw(number: int, space: Space, seen: "list[FrozenTrial]", today: Json) -> "Trial":
    """A trial that has seen these, and what params.yaml had when the study began."""
    import optuna
    from optuna.pruners import MedianPruner
    from optuna.samplers import TPESampler

    seed = (space.params["seed"] * 1_000_003 + number) % (SEEDS + 1)
    study = optuna.create_study(
        direction=space.direction,
        sampler=TPESampler(seed=seed),
        pruner=MedianPruner(n_startup_trials=COMPARED, n_warmup_steps=WARM_UP),
    )
    study.add_trials(_as_a_trial(space, today) + seen)
    return study.ask()


def _as_a_trial(space: Space, today: Json) -> "list[FrozenTrial]":
    """The params of the day when the study began; nothing where the space does not hold them."""
    from optuna.trial import create_trial

    distributions = space.distributions()
    try:
        trial = create_trial(
            value=fmean(today["scores"]),
            params=today["drawn"],
            distributions={name: distributions[name] for name in today["drawn"]},
            intermediate_values=dict.fromkeys(range(len(today["scores"])), 0.0),
        )
    except ValueError:
        return []
    return [trial]


def score_today(space: Space, pool: Executor) -> "list[Future]":
    """Have the params of today scored on each fold."""
    return [pool.submit(folds.score, *space.settings({}), fold) for fold in range(space.folds)]


def sweep(
    journal: Journal,
    space: Space,
    pool: Executor,
    *,
    jobs: int,
    wanted: int,
    until: float,
    meanwhile: Callable[[], None],
) -> None:
    """Go on with a study until it holds so many trials, or no longer than `until` (of time.monotonic).

    Args:
        meanwhile: called each time when something has ended and all jobs are at work again.

    Raises UserError where a process of the pool was killed, or the customers cannot be cut into folds.
    """
    going: dict[Future, Attempt] = {}
    ended: dict[int, FrozenTrial] = {}  # those that wait for one before them: the journal keeps the order
    coming = deque(range(len(journal.trials), wanted))
    today = journal.record["today"]

    def may_begin() -> bool:
        is_known = bool(coming) and coming[0] - LAG < len(journal.trials)
        return is_known and len(going) <= jobs and time.monotonic() < until

    while True:
        while may_begin():
            number = coming.popleft()
            seen = journal.trials[: max(0, number - LAG + 1)]
            attempt = Attempt(number, draw(number, space, seen, today), space, today["scores"])
            going[attempt.submit(pool)] = attempt
        if not going:
            return
        for future in wait(going, return_when=FIRST_COMPLETED).done:
            attempt = going.pop(future)
            if finished := _taken(attempt, future):
                ended[attempt.number] = finished
            else:
                going[attempt.submit(pool)] = attempt
        while len(journal.trials) in ended:
            journal.add(ended.pop(len(journal.trials)))
        meanwhile()


def _taken(attempt: Attempt, future: Future) -> "FrozenTrial | None":
    try:
        score, seconds = future.result()
    except (OSError, UserError):
        raise
    except (BrokenProcessPool, MemoryError) as error:
        raise UserError(
            "a process that scored a trial was killed, perhaps for want of memory.\n"
            "Cure: `predictflow tune` goes on with the study; fewer --jobs need less memory."
        ) from error
    except Exception as error:  # of the model's library: these settings do not work, others may
        return attempt.failed(f"{type(error).__name__}: {error}")
    return attempt.take(score, seconds)
