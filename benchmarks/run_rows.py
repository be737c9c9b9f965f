"""A hundred thousand runs, put into a store of MLflow's by SQL: what benchmarks.many_runs asks about.

Each is a copy of the rows that the pipeline itself has written for its run, with an id, a time, a content and
customers of its own. Of each metric the last value is copied: its history is read by no search.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect, text

from predictflow.adapters.mlflow_entities import RECEIPT_TAG, VERSION_TAG
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX

ROUND = 20  # runs, after which the kinds come again
# What a run is, by its number in a round. Those of MODEL and DELETED carry a content and md5s.
KINDS = {
    "notebook": range(10),
    "model": (10, 11),
    "failed": (12, 13),
    "other": range(14, 18),
    "deleted": (18, 19),
}
VERSIONS = 30  # registered, of models that no commit here holds
STATES = 50  # of the customers that such models were made from
APART = 60_000  # milliseconds between two runs
CUSTOMERS_TAG = f"{MD5_PREFIX}data/customers.csv"
IS_MD5 = f"substr(t.key, 1, {len(MD5_PREFIX)}) = '{MD5_PREFIX}'"
WITH_MODEL = "made.kind IN ('model', 'deleted', 'again')"
TABLE = """
CREATE TEMPORARY TABLE made (
    n BIGINT, kind VARCHAR(10), run VARCHAR(32), content VARCHAR(32), customers VARCHAR(32), began BIGINT,
    version INTEGER
)
"""
FILL = """
WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < :runs)
INSERT INTO made
SELECT n, {kind}, lpad(to_hex(n), 8, '0') || substr(md5('run ' || n), 1, 24), md5('content ' || n),
    md5('customers ' || (n % {states})), :began + {apart} * n,
    CASE WHEN {kind} = 'model' AND {number} < :versions THEN 2 + {number} END
FROM numbers
"""
# Where rows of the run of the pipeline stand, and what of them is another's in a copy.
OF_RUN = "t.run_uuid = :run"
TAG_VALUE = (
    f"CASE WHEN made.kind <> 'again' AND t.key = '{CONTENT_TAG}' THEN made.content"
    f" WHEN made.kind <> 'again' AND t.key = '{CUSTOMERS_TAG}' THEN made.customers ELSE t.value END"
)
INPUT = "md5('input ' || made.n || t.input_uuid)"
OF_STAGES = f"(t.key = '{CONTENT_TAG}' OR {IS_MD5})"


@dataclass(frozen=True)
class Copied:
    """What was put in.

    Attributes:
        runs: all that are not deleted, with those that the pipeline itself has made.
        models: of those that a content has which no commit here holds.
        again: the oldest run of all: of the pipeline's own content.
    """

    runs: int
    models: int
    deleted: int
    again: str


@dataclass(frozen=True)
class Template:
    """The run that is copied.

    Attributes:
        other: the id of another experiment.
        files: the folder with the artifacts of all runs.
    """

    run: str
    other: str
    files: Path


def fill(uri: str, template: Template, runs: int) -> Copied:
    """Put so many runs, and versions of some of them, into a store at a database's address."""
    engine = create_engine(uri)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _make_ready)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET session_replication_role = replica"))  # no look at foreign keys
        copied, with_files = _fill(connection, template, runs)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    engine.dispose()
    source = template.files / template.run / "artifacts"
    for run in with_files:
        _link(source, template.files / run / "artifacts")
    return copied


def _make_ready(connection: Any, _: object) -> None:
    """Let SQLite know PostgreSQL's functions, and write without waiting for the disk."""
    connection.create_function("md5", 1, lambda word: hashlib.md5(word.encode()).hexdigest())
    connection.create_function("to_hex", 1, "{:x}".format)
    connection.create_function("lpad", 3, str.rjust)
    for setting in ("synchronous = OFF", "cache_size = -500000"):
        connection.execute(f"PRAGMA {setting}")


def _link(source: Path, target: Path) -> None:
    """The same files again, by links: no byte is written."""
    shutil.copytree(source / "model", target / "model", copy_function=os.link)
    for path in source.iterdir():
        if path.is_file():
            os.link(path, target / path.name)


def _fill(connection: Connection, template: Template, runs: int) -> tuple[Copied, list[str]]:
    def rows(question: str, **values: object) -> list:
        return connection.execute(text(question), values).fetchall()

    def copy(table: str, where: str, changes: Mapping[str, str]) -> None:
        columns = [column["name"] for column in inspect(connection).get_columns(table)]
        values = ", ".join(changes.get(column, f"t.{column}") for column in columns)
        into = f"INSERT INTO {table} ({', '.join(columns)})"
        sql = f"{into} SELECT {values} FROM made CROSS JOIN {table} t WHERE {where}"
        connection.execute(text(sql), {"run": template.run} if ":run" in sql else {})

    ((now,),) = rows("SELECT start_time FROM runs WHERE run_uuid = :run", run=template.run)
    oldest = now - APART * (runs + 1)
    _make_table(connection, runs, oldest)
    deleted, other = "made.kind = 'deleted'", int(template.other)
    copy(
        "runs",
        OF_RUN,
        {
            "run_uuid": "made.run",
            "status": "CASE made.kind WHEN 'failed' THEN 'FAILED' ELSE 'FINISHED' END",
            "start_time": "made.began",
            "end_time": "made.began + 5000",
            "lifecycle_stage": f"CASE WHEN {deleted} THEN 'deleted' ELSE 'active' END",
            "deleted_time": f"CASE WHEN {deleted} THEN made.began + 9000 END",
            "artifact_uri": "replace(t.artifact_uri, t.run_uuid, made.run)",
            "experiment_id": f"CASE made.kind WHEN 'other' THEN {other} ELSE t.experiment_id END",
        },
    )
    copy("params", OF_RUN, {"run_uuid": "made.run"})
    copy("latest_metrics", f"{OF_RUN} AND made.kind <> 'failed'", {"run_uuid": "made.run"})
    last = (
        "(SELECT 1 FROM latest_metrics l WHERE l.run_uuid = t.run_uuid AND l.key = t.key AND l.step = t.step)"
    )
    copy("metrics", f"{OF_RUN} AND made.kind <> 'failed' AND EXISTS {last}", {"run_uuid": "made.run"})
    copy(
        "tags",
        f"{OF_RUN} AND ({WITH_MODEL} OR NOT {OF_STAGES})",
        {"run_uuid": "made.run", "value": TAG_VALUE},
    )
    of_inputs = f"t.destination_id = :run AND t.destination_type = 'RUN' AND {WITH_MODEL}"
    copy("inputs", of_inputs, {"input_uuid": INPUT, "destination_id": "made.run"})
    inputs = "(SELECT input_uuid FROM inputs WHERE destination_id = :run AND destination_type = 'RUN')"
    copy("input_tags", f"t.input_uuid IN {inputs} AND {WITH_MODEL}", {"input_uuid": INPUT})
    address = {
        column: f"replace(t.{column}, t.run_id, made.run)" for column in ("source", "storage_location")
    }
    of_version = {"version": "made.version", "run_id": "made.run", "creation_time": "made.began"}
    versions = "made.version IS NOT NULL AND t.version = 1"
    copy("model_versions", versions, {**of_version, **address, "current_stage": "'Archived'"})
    own = f"{versions} AND t.key NOT IN ('{VERSION_TAG}', '{RECEIPT_TAG}')"
    copy("model_version_tags", own, {"version": "made.version", "value": TAG_VALUE})
    # The run that everything is asked about is on the last page, and only one run is older.
    move = "UPDATE runs SET start_time = :oldest, end_time = :oldest + 5000 WHERE run_uuid = :run"
    connection.execute(text(move), {"oldest": oldest + APART // 2, "run": template.run})
    counts = dict(rows("SELECT kind, COUNT(*) FROM made GROUP BY kind"))
    ((again,),) = rows("SELECT run FROM made WHERE kind = 'again'")
    connection.execute(
        text("UPDATE runs SET start_time = :oldest WHERE run_uuid = :run"), {"oldest": oldest, "run": again}
    )
    with_files = [run for (run,) in rows("SELECT run FROM made WHERE kind IN ('model', 'again')")]
    models, gone = counts.get("model", 0), counts.get("deleted", 0)
    return Copied(runs - gone + 1, models, gone, again), with_files


def _make_table(connection: Connection, runs: int, oldest: int) -> None:
    place = f"(n % {ROUND})"
    whens = " ".join(
        f"WHEN {place} BETWEEN {min(places)} AND {max(places)} THEN '{kind}'"
        for kind, places in KINDS.items()
    )
    kind = f"CASE WHEN n = {int(runs)} THEN 'again' {whens} END"
    number = f"({len(KINDS['model'])} * (n / {ROUND}) + {place} - {min(KINDS['model'])})"
    connection.execute(text(TABLE))
    connection.execute(
        text(FILL.format(kind=kind, number=number, states=STATES, apart=APART)),
        {"runs": runs, "began": oldest + APART, "versions": VERSIONS},
    )
