"""What only the owner of MLflow's database can do: set a run's id, times and address, a version's number,
time, run and address, and delete a run for good.

MLflow's client gives out new ids and numbers, and puts a run in the trash. Where the store is our own SQLite
file this is done through MLflow's own table classes; a contract test holds this module to what MLflow's
client then reads.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@contextmanager
def _session(uri: str) -> Iterator["Session"]:
    """One transaction: all that is written in the block, or nothing."""
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = create_engine(uri)
    try:
        with Session(engine) as session, session.begin():
            yield session
    finally:
        engine.dispose()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run that has ended, as it is to be written.

    Attributes:
        experiment: the id of its experiment.
        artifacts: the address under which the experiment keeps its runs' files.
        began, ended: milliseconds since 1970.
    """

    run_id: str
    name: str
    experiment: str
    artifacts: str
    began: int
    ended: int
    tags: Mapping[str, str]
    params: Mapping[str, str]


def add_run(uri: str, record: RunRecord) -> None:
    """Write a run, as FINISHED, over what may be left of it."""
    from mlflow.store.tracking.dbmodels.models import SqlParam, SqlRun, SqlTag
    from sqlalchemy import delete

    with _session(uri) as session:
        for table in (SqlTag, SqlParam):  # what is left where somebody has deleted the run's own row
            session.execute(delete(table).where(table.run_uuid == record.run_id))
        run = SqlRun(
            run_uuid=record.run_id,
            name=record.name,
            source_type="UNKNOWN",
            source_name="",
            source_version="",
            entry_point_name="",
            user_id=record.tags.get("mlflow.user", ""),  # MLflow reads no run without one
            status="FINISHED",
            start_time=record.began,
            end_time=record.ended,
            artifact_uri=f"{record.artifacts}/{record.run_id}/artifacts",
            experiment_id=int(record.experiment),
        )
        tags = {**record.tags, "mlflow.runName": record.name}
        run.tags = [SqlTag(key=key, value=value) for key, value in tags.items()]
        run.params = [SqlParam(key=key, value=value) for key, value in record.params.items()]
        session.add(run)


def delete_runs(uri: str, run_ids: Iterable[str]) -> None:
    """Delete runs for good: the rows that `mlflow gc` deletes, and those of their data, which it leaves."""
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy import delete, select

    data, tags = models.SqlInput, models.SqlInputTag
    with _session(uri) as session:
        for run_id in run_ids:
            inputs: Any = select(data.input_uuid).where(data.destination_id == run_id)
            session.execute(delete(tags).where(tags.input_uuid.in_(inputs)))
            session.execute(delete(data).where(data.destination_id == run_id))
            tables = (models.SqlMetric, models.SqlLatestMetric, models.SqlParam, models.SqlTag, models.SqlRun)
            for table in tables:
                session.execute(delete(table).where(table.run_uuid == run_id))


def date_metrics(uri: str, run_id: str, when: int) -> None:
    """Let all metrics of a run be of one time, in milliseconds since 1970."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric
    from sqlalchemy import update

    with _session(uri) as session:
        for table in (SqlMetric, SqlLatestMetric):
            session.execute(update(table).where(table.run_uuid == run_id).values(timestamp=when))


def date_version(uri: str, model: str, number: int, when: int) -> None:
    """Let a version have been registered at a time, in milliseconds since 1970."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from sqlalchemy import update

    version = (SqlModelVersion.name == model, SqlModelVersion.version == number)
    with _session(uri) as session:
        session.execute(update(SqlModelVersion).where(*version).values(creation_time=when))


def numbers(uri: str, model: str) -> list[int]:
    """Every number of a model that is taken, also those of deleted versions, whose rows MLflow keeps."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from sqlalchemy import select

    with _session(uri) as session:
        return sorted(session.scalars(select(SqlModelVersion.version).where(SqlModelVersion.name == model)))


def renumber(uri: str, model: str, new: Mapping[int, int]) -> None:
    """Give versions other numbers, {old: new}, their tags and aliases with them."""
    from mlflow.store.model_registry.dbmodels import models
    from sqlalchemy import update

    tables: Any = (models.SqlModelVersion, models.SqlModelVersionTag, models.SqlRegisteredModelAlias)
    with _session(uri) as session:
        for table in tables:
            column = table.version
            # By way of negative numbers: two versions may change places.
            for old, number in new.items():
                session.execute(
                    update(table).where(table.name == model, column == old).values(version=-number)
                )
            session.execute(update(table).where(table.name == model, column < 0).values(version=-column))


def attach_version(uri: str, model: str, number: int, run_id: str, address: str) -> None:
    """Let a version be of a run, with its files at an address."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from sqlalchemy import update

    version = (SqlModelVersion.name == model, SqlModelVersion.version == number)
    values = {"run_id": run_id, "source": address, "storage_location": address}
    with _session(uri) as session:
        session.execute(update(SqlModelVersion).where(*version).values(values))


def address_run(uri: str, run_id: str, address: str) -> None:
    """Let a run have its files at an address."""
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from sqlalchemy import update

    with _session(uri) as session:
        session.execute(update(SqlRun).where(SqlRun.run_uuid == run_id).values(artifact_uri=address))


def set_param(uri: str, run_id: str, key: str, value: str) -> None:
    from mlflow.store.tracking.dbmodels.models import SqlParam

    with _session(uri) as session:
        session.merge(SqlParam(run_uuid=run_id, key=key, value=value))


def set_metric(uri: str, run_id: str, key: str, value: float) -> None:
    """Let the last value of a metric that a run has be this one, at the time and step that it has."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric
    from sqlalchemy import delete

    with _session(uri) as session:
        last = session.get_one(SqlLatestMetric, (key, run_id))
        same = {"run_uuid": run_id, "key": key, "timestamp": last.timestamp, "step": last.step}
        for table in (SqlMetric, SqlLatestMetric):
            session.execute(delete(table).filter_by(**same))
            session.add(table(**same, value=value, is_nan=False))


def relocate(uri: str, old: str, new: str) -> None:
    """Let every address of files that begins with `old` begin with `new`."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun
    from sqlalchemy import func, update

    addresses: list[Any] = [SqlExperiment.artifact_location, SqlRun.artifact_uri]
    addresses += [SqlModelVersion.source, SqlModelVersion.storage_location]
    with _session(uri) as session:
        for column in addresses:
            inside = (column == old) | column.startswith(f"{old}/", autoescape=True)
            moved = new + func.substr(column, len(old) + 1)
            session.execute(update(column.class_).where(inside).values({column.key: moved}))
