"""Runs: every one found by its content, none lost, doubled or left open.

A run belongs to a content (the md5 of models/provenance.json), not to the process that made it. A stage
that DVC restores from its cache runs nothing, so each later stage first completes the run from the
recorded files: `complete` may be called any number of times.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.support import files
from stages.support.errors import UserError
from stages.support.params import flat
from stages.support.paths import CURVES, EVALUATION, MODEL_FOLDER, PREPARED, PROVENANCE
from stages.tracking import provenance
from stages.tracking.notes import DATASETS, NOTE, counts_of, describe
from stages.tracking.provenance import Provenance
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX, RESTORED_TAG, TrackingStore

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


@contextmanager
def resumed(store: TrackingStore) -> Iterator[str]:
    """The run of the recorded model, RUNNING while its evaluation is worked on; gives its id.

    Where the store has none (its stage was restored from DVC's cache, or the store is new), a run is
    made and marked as restored.

    Raises UserError, before any run is touched, where the prepared data is not what the model is of.
    """
    recorded = provenance.read()
    if not files.read_json(PREPARED)["md5"].items() <= recorded.md5s.items():
        raise UserError(f"{PREPARED} tells of other data than {PROVENANCE}.\nCure: `dvc repro`.")
    with store.lock:
        run = store.find(recorded.content)
        if run is None:
            name = recorded.params["train"]["model"]
            run_id = store.create(name, {RESTORED_TAG: "true", CONTENT_TAG: recorded.content})
        else:
            run_id = run.info.run_id
    with store.running(run_id):
        yield run_id


def complete(store: TrackingStore, run_id: str, *, evaluated: bool) -> None:
    """Hold a run against the recorded files and log what it lacks; calling it again changes nothing.

    Args:
        evaluated: whether metrics/evaluate/ is of this model as well.

    Raises UserError where a recorded file is not here.
    """
    needed = [PROVENANCE, MODEL_FOLDER, PREPARED, CURVES]
    if evaluated:
        needed += [EVALUATION / "metrics.json", EVALUATION / "plots"]
    if missing := [str(path) for path in needed if not path.exists()]:
        raise UserError(f"{', '.join(missing)} is not here.\nCure: `dvc checkout`, or `dvc pull`.")
    _fill(store, run_id, provenance.read(), evaluated)


def _fill(store: TrackingStore, run_id: str, recorded: Provenance, evaluated: bool) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client = store.client
    run = client.get_run(run_id)
    prepared = files.read_json(PREPARED)
    now = int(time.time() * 1000)
    tags = {CONTENT_TAG: recorded.content} | {f"{MD5_PREFIX}{k}": v for k, v in recorded.md5s.items()}
    params = {key: str(value) for key, value in flat(recorded.params).items()}
    metrics = [Metric(*point) for point in _curves(now) if point[0] not in run.data.metrics]
    measured = len(metrics)
    if evaluated:
        for key, value in flat(files.read_json(EVALUATION / "metrics.json")).items():
            if run.data.metrics.get(key) != value:
                metrics.append(Metric(key, value, now, 0))
    missing_tags = [RunTag(k, v) for k, v in tags.items() if run.data.tags.get(k) != v]
    if NOTE not in run.data.tags:  # once: what a person has written there since then stays
        done = "restored" if RESTORED_TAG in run.data.tags else "made"
        missing_tags.append(RunTag(NOTE, describe(recorded, prepared, run.data.tags, done)))
    missing_params = [Param(k, v) for k, v in params.items() if k not in run.data.params]
    client.log_batch(run_id, tags=missing_tags, params=missing_params)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    if not (run.inputs and run.inputs.dataset_inputs):
        client.log_inputs(run_id, _datasets(recorded.md5s, prepared))
    held = {item.path for item in client.list_artifacts(run_id)}
    if PROVENANCE.name not in held:
        for path in map(Path, recorded.md5s):
            if path.parent == MODEL_FOLDER:
                client.log_artifact(run_id, str(path), "model")
        client.log_artifacts(run_id, str(CURVES), "train")
        client.log_artifact(run_id, str(PROVENANCE))  # last: it says that the others are there
    if evaluated and ("evaluate" not in held or len(metrics) > measured):
        client.log_artifacts(run_id, str(EVALUATION / "plots"), "evaluate")


def _curves(now: int) -> Iterator[tuple[str, float, int, int]]:
    """(key, value, time, step) of what dvclive wrote: some 100 points a curve, the last one among them."""
    folder = CURVES / "metrics"
    for path in sorted(folder.rglob("*.tsv")):
        key = path.relative_to(folder).with_suffix("").as_posix().replace("/", ".")
        points = path.read_text(encoding="utf-8").splitlines()[1:]
        for point in points[:: -(len(points) // 100 + 1)]:
            step, value = point.split("\t")
            yield key, float(value), now, int(step)


def _datasets(md5s: dict[str, str], prepared: dict[str, Any]) -> list[Any]:
    """The data as MLflow knows it: DVC's path as the source, DVC's md5 as the digest, and the rows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                Path(path).name,
                md5s[path],
                "local",
                json.dumps({"uri": path}),
                profile=json.dumps({"num_rows": counts_of(prepared, path)["rows"]}),
            ),
            [InputTag("mlflow.data.context", use)],
        )
        for path, use in DATASETS.items()
    ]
