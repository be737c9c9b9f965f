"""Runs: every one found by its content, none lost, doubled or left open.

A run belongs to a content (the md5 of models/provenance.json), not to the process that made it. A stage
that DVC restores from its cache runs nothing, so each later stage first completes the run from the
recorded files: `complete` may be called any number of times.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.support import files
from stages.support.errors import UserError
from stages.support.params import flat
from stages.support.paths import CURVES, MEASURED, MODEL_FOLDER, PLOTS, PREPARED, PROVENANCE
from stages.tracking import provenance
from stages.tracking.held import HeldRun
from stages.tracking.notes import DATASETS, NOTE, counts_of, datasets_of, describe
from stages.tracking.provenance import Provenance
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX, RESTORED_TAG, TrackingStore

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000  # metrics that MLflow takes in one call


def autolog(flavor: str) -> None:
    """Let MLflow note by itself what a fit is given; models, data and test metrics are noted once, by us."""
    import importlib

    quiet: dict[str, Any] = {"log_models": False, "log_datasets": False, "silent": True}
    if flavor == "xgboost":
        quiet["importance_types"] = []
    else:
        quiet["log_post_training_metrics"] = False
    importlib.import_module(f"mlflow.{flavor}").autolog(**quiet)


def ensure_its_data(recorded: Provenance) -> None:
    """Raise UserError where the prepared data is not what the recorded model is of."""
    if not files.read_json(PREPARED)["md5"].items() <= recorded.md5s.items():
        raise UserError(f"{PREPARED} tells of other data than {PROVENANCE}.\nCure: `dvc repro`.")


@contextmanager
def resumed(store: TrackingStore) -> Iterator[str]:
    """The run of the recorded model, RUNNING while its evaluation is worked on; gives its id.

    Where the store has none (its stage was restored from DVC's cache, or the store is new), a run is
    made and marked as restored.

    Raises UserError, before any run is touched, where the prepared data is not what the model is of.
    """
    recorded = provenance.read()
    ensure_its_data(recorded)
    with store.lock:
        run = store.find(recorded.content)
        if run is None:
            name = recorded.params["train"]["model"]
            run_id = store.create(name, {RESTORED_TAG: "true", CONTENT_TAG: recorded.content})
        else:
            run_id = run.info.run_id
    with store.running(run_id):
        yield run_id


@dataclass(frozen=True)
class Missing:
    """What a run lacks of the recorded files.

    Attributes:
        metrics: (key, value, step) of each point.
        datasets: paths of DATASETS.
        files: {path among the run's artifacts: the file}.
    """

    tags: dict[str, str]
    params: dict[str, str]
    metrics: list[tuple[str, float, int]]
    datasets: list[str]
    files: dict[str, Path]

    def __bool__(self) -> bool:
        return any((self.tags, self.params, self.metrics, self.datasets, self.files))


def tags_of(recorded: Provenance) -> dict[str, str]:
    """What a run or a version of a model is found by: its content, and the md5 of each file of its record."""
    return {CONTENT_TAG: recorded.content} | {f"{MD5_PREFIX}{k}": v for k, v in recorded.md5s.items()}


def missing(run: HeldRun, recorded: Provenance, *, evaluated: bool) -> Missing:
    """Hold a run against the recorded files.

    Args:
        evaluated: whether metrics/evaluate/ is of this model as well.

    Raises UserError where a recorded file is not here.
    """
    needed = [PROVENANCE, PREPARED, CURVES, *_model_files(recorded)]
    if evaluated:
        needed += [MEASURED, PLOTS]
    if absent := [str(path) for path in needed if not path.exists()]:
        raise UserError(f"{', '.join(absent)} is not here.\nCure: `dvc checkout`, or `dvc pull`.")
    prepared = files.read_json(PREPARED)
    tags = {key: value for key, value in tags_of(recorded).items() if run.tags.get(key) != value}
    if NOTE not in run.tags:  # once: what a person has written there since then stays
        done = "restored" if RESTORED_TAG in run.tags else "made"
        tags[NOTE] = describe(recorded, prepared, run.tags, done)
    params = {key: str(value) for key, value in flat(recorded.params).items()}
    points = [point for point in _curves() if point[0] not in run.metrics]
    numbers = flat(files.read_json(MEASURED)) if evaluated else {}
    numbers = {key: value for key, value in numbers.items() if run.metrics.get(key) != value}
    return Missing(
        tags=tags,
        params={key: value for key, value in params.items() if key not in run.params},
        metrics=points + [(key, value, 0) for key, value in numbers.items()],
        datasets=[path for path in datasets_of(recorded) if recorded.md5s[path] not in run.digests],
        files={
            name: path
            for name, path in _artifacts(recorded, evaluated).items()
            if run.files.get(name) != path.stat().st_size or (numbers and path.is_relative_to(PLOTS))
        },
    )


def _artifacts(recorded: Provenance, evaluated: bool) -> dict[str, Path]:
    """{path among a run's artifacts: the file}; provenance.json last: it says that the others are there."""
    named = {f"model/{path.name}": path for path in _model_files(recorded)}
    for name, folder in ({"train": CURVES} | ({"evaluate": PLOTS} if evaluated else {})).items():
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                named[f"{name}/{path.relative_to(folder).as_posix()}"] = path
    return named | {PROVENANCE.name: PROVENANCE}


def _model_files(recorded: Provenance) -> list[Path]:
    return [path for path in map(Path, recorded.md5s) if path.parent == MODEL_FOLDER]


def complete(store: TrackingStore, run_id: str, *, evaluated: bool) -> None:
    """Log what a run lacks of the recorded files; calling it again changes nothing.

    Args:
        evaluated: whether metrics/evaluate/ is of this model as well.

    Raises UserError where a recorded file is not here.
    """
    from mlflow.entities import Metric, Param, RunTag

    client, recorded, now = store.client, provenance.read(), int(time.time() * 1000)
    lacks = missing(_held(client, run_id), recorded, evaluated=evaluated)
    tags, params = lacks.tags.items(), lacks.params.items()
    client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags], params=[Param(*param) for param in params])
    if lacks.datasets:
        client.log_inputs(run_id, _datasets(lacks.datasets, recorded.md5s))
    for name, path in lacks.files.items():
        client.log_artifact(run_id, str(path), name.rpartition("/")[0] or None)
    # After the files: where a number of the evaluation is missing, so may its curves be.
    metrics = [Metric(key, value, now, step) for key, value, step in lacks.metrics]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def _held(client: "MlflowClient", run_id: str) -> HeldRun:
    """What MLflow says that a run holds."""
    run = client.get_run(run_id)
    used = run.inputs.dataset_inputs if run.inputs else []
    return HeldRun(
        id=run_id,
        artifacts=run.info.artifact_uri,
        tags=run.data.tags,
        params=run.data.params,
        metrics=run.data.metrics,
        digests={item.dataset.digest for item in used},
        files=dict(_files(client, run_id)),
    )


def _files(
    client: "MlflowClient", run_id: str, folder: str | None = None
) -> Iterator[tuple[str, int | None]]:
    """(path, bytes) of each file among a run's artifacts."""
    for item in client.list_artifacts(run_id, folder):
        if item.is_dir:
            yield from _files(client, run_id, item.path)
        else:
            yield item.path, item.file_size


def _curves() -> Iterator[tuple[str, float, int]]:
    """(key, value, step) of what dvclive wrote: some 100 points a curve, the last one among them."""
    folder = CURVES / "metrics"
    for path in sorted(folder.rglob("*.tsv")):
        key = path.relative_to(folder).with_suffix("").as_posix().replace("/", ".")
        points = path.read_text(encoding="utf-8").splitlines()[1:]
        for point in points[:: -(len(points) // 100 + 1)]:
            step, value = point.split("\t")
            yield key, float(value), int(step)


def _datasets(paths: list[str], md5s: dict[str, str]) -> list[Any]:
    """The data as MLflow knows it: DVC's path as the source, DVC's md5 as the digest, and the rows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    prepared = files.read_json(PREPARED)
    return [
        DatasetInput(
            Dataset(
                Path(path).name,
                md5s[path],
                "local",
                json.dumps({"uri": path}),
                profile=json.dumps({"num_rows": counts_of(prepared, path)["rows"]}),
            ),
            [InputTag("mlflow.data.context", DATASETS[path])],
        )
        for path in paths
    ]
