"""Studies in MLflow: a run for each, and beneath it one for each trial. They have an experiment of their own:
no reader of trainings takes them for some."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictflow.adapters.mlflow_client import all_pages
from predictflow.adapters.mlflow_entities import STUDIES_TAG, STUDY_TAG
from predictflow.adapters.mlflow_store import store_errors
from predictflow.errors import masked
from stages.support.errors import UserError
from stages.support.params import Params
from stages.tracking.notes import NOTE
from stages.tracking.store import TrackingStore, open_store

TRIAL_TAG, STATE_TAG = "predictflow.trial", "predictflow.state"
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}


@dataclass(frozen=True)
class TrialRecord:
    """A trial as MLflow is told of it.

    Attributes:
        state: one of STATUS.
        began, ended: milliseconds since 1970.
        metrics: (key, value, step) of each.
    """

    number: int
    state: str
    began: int
    ended: int
    params: dict[str, str]
    metrics: list[tuple[str, float, int]]


def open_studies(settings: Params) -> TrackingStore:
    """The store with the experiment of the studies, made where it is not there.

    Raises UserError where the store cannot be used.
    """
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # at a server: amid our JSON
    experiment = f"{settings['tracking.experiment']}-tuning"
    store = open_store(Params({"tracking": {"experiment": experiment}}))
    with _told():
        store.client.set_experiment_tag(store.experiment_id, STUDIES_TAG, "true")
    return store


class StudyRun:
    """The run of a study, RUNNING while it is worked on, and those of its trials."""

    def __init__(self, store: TrackingStore, study_id: str, name: str, tags: Mapping[str, str]) -> None:
        """Find the run of a study, or make it. What was logged is not logged again."""
        self._store, self._client = store, store.client
        self._tags = {STUDY_TAG: study_id}
        with _told(), store.lock:
            wanted = f"tags.`{STUDY_TAG}` = '{study_id}'"
            of_studies = [store.experiment_id]
            found = all_pages(self._client.search_runs, experiment_ids=of_studies, filter_string=wanted)
            parents = [run.info.run_id for run in found if TRIAL_TAG not in run.data.tags]
            self.id: str = parents[0] if parents else store.create(name, {**self._tags, **tags})
            self._client.set_tag(self.id, "mlflow.source.name", "predictflow tune")
        trials = [run for run in found if TRIAL_TAG in run.data.tags]
        self._begun = {int(run.data.tags[TRIAL_TAG]): run.info.run_id for run in trials}
        self.logged = {int(run.data.tags[TRIAL_TAG]) for run in trials if run.info.status != "RUNNING"}

    @contextmanager
    def running(self) -> Iterator[None]:
        """RUNNING while the block lasts, then FINISHED or FAILED."""
        with _told(), self._store.running(self.id):
            yield

    def log(self, trial: TrialRecord) -> None:
        """Log a trial that ended, as a run beneath the study's."""
        from mlflow.entities import Metric, Param, RunTag

        with _told(), _uninterrupted():
            run_id = self._begun.get(trial.number) or self._begin(trial)
            self._client.log_batch(
                run_id,
                metrics=[Metric(key, value, trial.ended, step) for key, value, step in trial.metrics],
                params=[Param(*param) for param in trial.params.items()],
                tags=[RunTag(STATE_TAG, trial.state)],
            )
            self._client.set_terminated(run_id, STATUS[trial.state], trial.ended)
        self.logged.add(trial.number)

    def _begin(self, trial: TrialRecord) -> str:
        tags = self._tags | {TRIAL_TAG: str(trial.number), "mlflow.parentRunId": self.id}
        name = f"trial {trial.number}"
        run = self._client.create_run(self._store.experiment_id, trial.began, tags, name)
        self._begun[trial.number] = run.info.run_id
        return run.info.run_id

    def conclude(
        self, tags: Mapping[str, str], params: Mapping[str, str], metrics: Mapping[str, float], note: str
    ) -> None:
        """Log what came of the study so far, over what was said before."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        with _told(), _uninterrupted():
            there = self._client.get_run(self.id).data.params
            self._client.log_batch(
                self.id,
                metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
                params=[Param(*param) for param in params.items() if param[0] not in there],
                tags=[RunTag(*tag) for tag in {**tags, NOTE: note}.items()],
            )

    def add_files(self, folder: Path) -> None:
        with _told():
            self._client.log_artifacts(self.id, str(folder))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let a Ctrl-C wait for the end of the block, and a second one end it: stopped amid a write, MLflow may
    leave its database locked, and the run could not be ended."""
    before = signal.getsignal(signal.SIGINT)
    asked: list[tuple[Any, ...]] = []

    def note(*how: Any) -> None:
        if asked and callable(before):
            before(*how)
        asked.append(how)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked and callable(before):  # it is not where Ctrl-C is ignored
        before(*asked[0])


@contextmanager
def _told() -> Iterator[None]:
    """Raise UserError where MLflow does not take what it is given."""
    try:
        yield
    except store_errors() as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk: whoever tells it knows its cure
        raise UserError(
            f"MLflow does not take the study: {masked(str(error))}\n"
            "Cure: let its store be reached again; `predictflow tune` then logs what is missing. Nothing is"
            " lost: the trials stand in mlflow_data/studies/."
        ) from error
