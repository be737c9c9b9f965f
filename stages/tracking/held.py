"""What the project's own store holds of a model, read without MLflow, whose import takes seconds.

Only what is certain is told. None means that MLflow has to look: there is no such store, it is a server's,
of another MLflow, locked or broken; or what was asked for is not there, in the trash, or not at its end.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stages.support.errors import Unreachable
from stages.tracking import tables
from stages.tracking.database import Database, grouped
from stages.tracking.store import CONTENT_TAG, SQLITE, is_gone, tracking_uri

# Under these MLflow keeps versions, or all of it, elsewhere than in the tables that are read here.
ELSEWHERE = (
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_ENABLE_WORKSPACES",
    "MLFLOW_WORKSPACE",
    "MLFLOW_WORKSPACE_STORE_URI",
)


@dataclass(frozen=True)
class HeldRun:
    """What a run holds.

    Attributes:
        artifacts: the address of its files, as MLflow reads them.
        digests: of its datasets.
        files: {path below its artifacts: bytes}; None where the store does not say how many.
    """

    id: str
    artifacts: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    digests: set[str]
    files: dict[str, int | None]


@dataclass(frozen=True)
class HeldVersion:
    """A registered version, ready, and the run that it is of."""

    number: int
    stage: str
    source: str
    tags: dict[str, str]
    run: HeldRun


def look_up(experiment: str, content: str, model: str) -> tuple[HeldRun | None, HeldVersion | None]:
    """The newest run of a content, FINISHED, and the oldest version of it: those that MLflow would find."""
    where = tracking_uri()
    if not where.startswith(SQLITE) or any(os.environ.get(name) for name in ELSEWHERE):
        return None, None
    database = Database(Path(where.removeprefix(SQLITE)))
    try:
        if database.ask("SELECT version_num FROM alembic_version") != [(tables.revision(),)]:
            return None, None
        run = _newest_run(database, experiment, content)
        return run, _oldest_version(database, model, content) if run else None
    except Unreachable:
        return None, None


def _newest_run(database: Database, experiment: str, content: str) -> HeldRun | None:
    ours = (
        "FROM runs JOIN experiments USING (experiment_id)"
        " WHERE experiments.name = ? AND workspace = 'default'"
        " AND runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'"
    )
    running = database.ask(f"SELECT run_uuid {ours} AND status = 'RUNNING'", experiment)
    tags = database.tags_of([run_id for (run_id,) in running])
    if any(is_gone(tags.get(run_id, {})) for (run_id,) in running):
        return None  # a kill has left it open: MLflow ends it
    found = database.ask(
        f"SELECT run_uuid, status {ours}"
        " AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value = ?)"
        " ORDER BY start_time DESC, run_uuid",
        *(experiment, CONTENT_TAG, content),
    )
    name = os.environ.get("DVC_EXP_NAME")
    tags = database.tags_of([run_id for run_id, _ in found])
    for run_id, status in found:
        if not name or tags[run_id].get("dvc.exp_name") == name:
            return _run(database, run_id) if status == "FINISHED" else None
    return None


def _run(database: Database, run_id: str) -> HeldRun | None:
    found = database.ask(
        "SELECT artifact_uri FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'", run_id
    )
    address = urlsplit(found[0][0] or "") if found else None
    if address is None or address.scheme != "file":
        return None
    folder = Path(unquote(address.path))
    digests = database.ask(
        "SELECT digest FROM inputs JOIN datasets ON dataset_uuid = source_id"
        " WHERE source_type = 'DATASET' AND destination_type = 'RUN' AND destination_id = ?",
        run_id,
    )
    return HeldRun(
        id=run_id,
        artifacts=found[0][0],
        tags=database.tags_of([run_id]).get(run_id, {}),
        params=database.params_of([run_id]).get(run_id, {}),
        metrics=database.metrics_of([run_id]).get(run_id, {}),
        digests={digest for (digest,) in digests},
        files={
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file()
        },
    )


def _oldest_version(database: Database, model: str, content: str) -> HeldVersion | None:
    of_model = "WHERE name = ? AND workspace = 'default'"
    rows = database.ask(f"SELECT version, key, value FROM model_version_tags {of_model}", model)
    tags = grouped(rows)
    versions = database.ask(
        f"SELECT version, current_stage, source, run_id, status FROM model_versions {of_model}"
        " AND current_stage != 'Deleted_Internal' ORDER BY version",
        model,
    )
    for number, stage, source, run_id, status in versions:
        if tags.get(number, {}).get(CONTENT_TAG) == content:
            run = _run(database, run_id) if status == "READY" else None
            return HeldVersion(number, stage, source, tags[number], run) if run else None
    return None
