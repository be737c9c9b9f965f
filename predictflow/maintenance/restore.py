"""Writes what the store lacks, from Git, DVC and the receipts."""

import contextlib
import shutil
import sqlite3
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from predictflow.adapters import mlflow_tables
from predictflow.adapters.mlflow_entities import REBUILT_TAG, RECEIPT_TAG, VERSION_TAG
from predictflow.audit import fixes
from predictflow.console import track
from predictflow.ledger.chain import Chain
from predictflow.ledger.origin import fetch_receipts
from predictflow.ledger.rebuilds import RebuildReceipt, read_rebuilds
from predictflow.lineage.project import Project
from predictflow.maintenance import recovery
from predictflow.maintenance.recovery import RestoreEntry
from stages.support import params
from stages.support.errors import UserError
from stages.tracking.notes import describe
from stages.tracking.runs import complete
from stages.tracking.store import SQLITE, TrackingStore, open_store, tracking_uri

AROUND = ("", "-wal", "-shm", "-journal")  # a database, and the files that SQLite keeps beside it


@dataclass
class RestoreReport:
    """What was restored, in the words of the answer."""

    moved_aside: str | None = None
    relocated: bool = False
    own_ids: bool = True
    runs: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    renumbered: list[dict[str, Any]] = field(default_factory=list)
    incomplete: list[dict[str, Any]] = field(default_factory=list)


def restore_store(project: Project) -> dict[str, Any]:
    """Write what the store lacks; predictflow/README.md says what each key of the answer means.

    Raises UserError where the receipts are broken, or where the store is of another MLflow.
    """
    settings = params.load()
    chain = _chain(project)
    done = RestoreReport(own_ids=tracking_uri().startswith(SQLITE))
    done.moved_aside = _put_aside() if done.own_ids else None
    wanted = recovery.plan(project, chain)
    _fetch(project, wanted)
    store = open_store(settings)
    if done.own_ids:
        done.relocated = _relocate(store)

    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        _write(project, store, chain, wanted, done)
    except (MlflowException, SQLAlchemyError, OSError) as error:  # the last: of the network, of a full disk
        told = str(error).splitlines() or [type(error).__name__]
        raise UserError(
            f"the store does not take what is to be restored: {told[0]}\n"
            "Cure: once it does, `predictflow restore` goes on where it has stopped."
        ) from error
    return vars(done) | {"not_looked_at": project.unseen}


def _write(
    project: Project, store: TrackingStore, chain: Chain, wanted: list[RestoreEntry], done: RestoreReport
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for one in track(wanted, len(wanted), "restoring", most=1):
            _restore_runs(project, store, one, Path(folder), done)
    project.forget_store()
    _restore_versions(project, store, wanted, done)
    project.forget_store()
    _restore_stages(project, store, chain, wanted, done)
    project.forget_store()
    fixes.follow(project, chain)


def _chain(project: Project) -> Chain:
    """The receipts, also those that only origin has. Raises UserError where they are broken."""
    project.look(lambda: fetch_receipts(project.repository, project.model), None)
    project.forget_receipts()
    chain = project.chain(project.model)
    if chain.damage:
        told = "\n".join(f"  {found.tag}: {found.told}" for found in chain.damage)
        raise UserError(
            f"the receipts of {project.model} are broken, so nobody can say who stands where:\n{told}\n"
            "Cure: `predictflow audit --fix`, or bring back the tags that another clone has."
        )
    return chain


def _put_aside() -> str | None:
    """Move a database that cannot be read out of the way; where it is now."""
    database = Path(tracking_uri().removeprefix(SQLITE))
    if not database.exists() or _is_sound(database):
        return None
    places = (database.with_name(f"{database.stem}-broken-{number}") for number in range(1, 1000))
    place = next(place for place in places if not place.exists())
    place.mkdir()
    for end in AROUND:
        part = database.with_name(database.name + end)
        if part.exists():
            part.rename(place / part.name)
    return str(place)


def _is_sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong, and MLflow's tables were made to the end (or not begun)."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            made = not tables or list(connection.execute("SELECT * FROM alembic_version"))
            return bool(made) and connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise UserError(f"{path} is in use: {error}\nCure: stop who uses it (`mlflow ui`).") from None
        return False
    except sqlite3.DatabaseError:
        return False


def _relocate(store: TrackingStore) -> bool:
    """Let the addresses of files follow a store that was moved: MLflow keeps those of where it was made."""
    where = (Path(tracking_uri().removeprefix(SQLITE)).parent / "artifacts").as_uri()
    made_at = store.client.get_experiment(store.experiment_id).artifact_location
    if made_at == where:
        return False
    mlflow_tables.relocate(tracking_uri(), made_at, where)
    return True


def _fetch(project: Project, wanted: list[RestoreEntry]) -> None:
    """Bring what DVC's cache lacks from the default remote, as far as it is there: first the lists of the
    folders, then the files that they name."""
    for _ in ("lists", "files"):
        md5s = {md5 for one in wanted for md5 in recovery.missing(project, one.model)}
        if md5s and project.storage.remote:
            project.look(lambda md5s=md5s: project.storage.fetch(md5s), None)


def _restore_runs(
    project: Project, store: TrackingStore, one: RestoreEntry, folder: Path, done: RestoreReport
) -> None:
    """The runs of a model, from the files that are recorded of it, as far as those are here."""
    top = folder / one.content
    lacking = recovery.lay_out(project, one.model, top)
    if lacking:
        told = {"content": one.content, "commit": one.sha, "version": one.number, "lacking": lacking}
        done.incomplete.append(told)
    for experiment in one.experiments or (None,):
        run = recovery.run_of(project.runs.get(one.content, []), experiment)
        run_id = run.id if run else _new_run(project, store, one, experiment, done)
        if not lacking:
            with contextlib.chdir(top):
                complete(store, run_id, evaluated=recovery.evaluated(one.model))
        elif not run:
            recovery.note_numbers(store, run_id, one.model)
        if not run:
            own = done.own_ids and bool(one.told)
            done.runs.append({"run": run_id, "content": one.content, "experiment": experiment, "own_id": own})
            if done.own_ids:
                mlflow_tables.date_metrics(tracking_uri(), run_id, _times(one)[1])
    shutil.rmtree(top, ignore_errors=True)


def _new_run(
    project: Project, store: TrackingStore, one: RestoreEntry, experiment: str | None, done: RestoreReport
) -> str:
    told = one.told.get("run") or {}
    parents = one.model.commit.parents
    baseline = project.history.commits[parents[0]].sha if parents else None
    tags = recovery.tags_of(one, experiment, baseline)
    name = told.get("name") or experiment or one.model.params["train"]["model"]
    params = told.get("params") or {}  # also those that only the training could note
    began, ended = _times(one)
    if done.own_ids:
        run_id = told.get("id") or uuid.uuid4().hex
        held = store.client.get_experiment(store.experiment_id)
        mlflow_tables.add_run(
            *(tracking_uri(), store.experiment_id, held.artifact_location, run_id, name, "FINISHED"),
            *(began, ended, tags, params),
        )
        return run_id
    run = store.client.create_run(store.experiment_id, began, tags, name)
    for key, value in params.items():
        store.client.log_param(run.info.run_id, key, value)
    store.client.set_terminated(run.info.run_id, "FINISHED", ended)
    return run.info.run_id


def _times(one: RestoreEntry) -> tuple[int, int]:
    """When its run began and ended, by its receipt; else when it was committed. Milliseconds since 1970."""
    told = one.told.get("run") or {}
    began = told.get("began") or one.model.commit.time * 1000
    return began, told.get("ended") or began


def _restore_versions(
    project: Project, store: TrackingStore, wanted: list[RestoreEntry], done: RestoreReport
) -> None:
    """The versions that are not there, and the receipts' numbers for those that are."""
    from stages.tracking import registry

    model, uri = project.model, tracking_uri()
    held = {one.number: one.content for one in project.versions if one.model == model}
    there = set(held.values())
    registered = [one for one in wanted if one.registered is not None]
    numbers: dict[str, int] = {}
    if done.own_ids:
        fixed = {one.content: one.number for one in wanted if one.receipts}
        taken = mlflow_tables.numbers(uri, model)
        changed, numbers = recovery.numbered(taken, held, fixed, [one.content for one in registered])
        mlflow_tables.renumber(uri, model, changed)
        done.renumbered = [{"from": old, "to": number} for old, number in sorted(changed.items())]
    incomplete = {entry["content"] for entry in done.incomplete}
    rebuilds = [told for told in read_rebuilds(project.repository, model) if not told.broken]
    for one in registered:
        if one.content in there or (one.content in incomplete and not one.receipts):
            continue  # nobody could load the latter, and no receipt asks for it; its number stays free
        tags, text = _described(one, [told for told in rebuilds if told.body["content"] == one.content])
        run = recovery.run_of(project.runs[one.content], None)
        made = int(registry.register(store, model, one.content, run.id, tags, text).version)
        number = numbers.get(one.content, made)
        if done.own_ids:
            mlflow_tables.date_version(uri, model, made, one.registered)
            mlflow_tables.renumber(uri, model, {made: number})
        done.versions.append({"version": f"{model}/{number}", "content": one.content, "stage": "None"})


def _described(one: RestoreEntry, rebuilds: list[RebuildReceipt]) -> tuple[dict[str, str], str]:
    """The tags and the description of a version: its receipts', else as register writes them.

    Args:
        rebuilds: the receipts of its rebuilds, the newest last.
    """
    from stages import register
    from stages.tracking import provenance

    md5s = {f"{recovery.MD5}{path}": md5 for path, md5 in one.model.md5s.items()}
    if one.receipts:
        last = one.receipts[-1]
        told = {VERSION_TAG: f"v{last.version}.0.0", RECEIPT_TAG: last.name}
        for verdict in rebuilds[-1:]:
            told[REBUILT_TAG] = f"{verdict.body['verdict']} {verdict.body['when']}"
        return last.body["tags"] | md5s | told, last.body["description"]
    tags = md5s | {recovery.COMMIT: one.sha, recovery.DIRTY: "false"}
    if one.experiments:
        tags[recovery.EXPERIMENT] = one.experiments[0]
    recorded = provenance.Provenance(one.content, one.model.md5s, one.model.params)
    prepared = one.model.prepared
    head = register.headline(one.model.params["train"]["model"], one.model.metrics, prepared)
    return tags, f"{head}\n\n{describe(recorded, prepared, tags, 'registered')}"


def _restore_stages(
    project: Project, store: TrackingStore, chain: Chain, wanted: list[RestoreEntry], done: RestoreReport
) -> None:
    """Where versions stand that are in no stage yet; who was in Staging all the time stays there."""
    from stages.tracking import registry

    stages = recovery.stages(wanted, chain, project.history.is_on_branch)
    here = [one for one in project.versions if one.model == project.model]
    occupied = any(one.stage == registry.RegistryStage.STAGING for one in here)
    for version in here:
        stage = stages.get(version.content, "None")
        if version.stage != "None" or stage == "None":
            continue
        if stage == registry.RegistryStage.STAGING and occupied:
            stage = "Archived"
        registry.move(store, project.model, str(version.number), stage)
        for told in done.versions:
            if told["version"] == version.name:
                told["stage"] = stage
