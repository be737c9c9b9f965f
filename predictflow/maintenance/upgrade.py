"""An older MLflow's store becomes the installed one's: copied, migrated as a copy, checked, put in place.

MLflow's own migration changes a store step by step, and cannot go back; killed in its midst, it leaves one
that no MLflow opens. Here it is a copy that is migrated, and SQLite puts that in place in one transaction:
whoever is killed has either the old store or the new one, and the same command goes on.
"""

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from predictflow.adapters.dvc_commands import hold_dvc_lock
from predictflow.adapters.mlflow_store import migrate
from predictflow.adapters.store_copies import (
    KEPT,
    UPGRADE,
    StoreCopy,
    alone_with,
    copy_database,
    damage,
    keep_copy,
)
from predictflow.errors import Unreachable
from stages.support.errors import UserError
from stages.support.progress import progress
from stages.tracking import tables
from stages.tracking.store import SQLITE, store_lock

# What a person has logged, registered and promoted: no migration may change how much there is of it.
COUNTED = (
    *("experiments", "runs", "params", "tags", "metrics", "latest_metrics"),
    *("registered_models", "model_versions", "model_version_tags", "registered_model_aliases"),
)


@dataclass(frozen=True)
class Upgraded:
    """What became of a store.

    Attributes:
        before, after: what MLflow calls its tables; the same where there was nothing to do.
        copy: the store as it was before.
    """

    before: str
    after: str
    copy: StoreCopy | None


def upgrade_store(root: Path, database: Path, keep: int = KEPT) -> Upgraded:
    """Bring an older MLflow's store to the tables of the installed one.

    Raises UserError, and leaves the store as it is, where it is no store of MLflow's or a newer one's, where
    somebody uses it, or where it cannot be copied or migrated.
    """
    _remove_leftovers(database)
    there = _tables(database)
    if not there.difference:
        return Upgraded(there.revision, there.revision, None)
    if not there.known:
        raise UserError(f"{database} {there.difference}")
    with (
        progress("waiting for who uses the store") as tell,
        hold_dvc_lock(root),
        store_lock(f"{SQLITE}{database}"),
        alone_with(database) as connection,
    ):
        tell("copying the store")
        try:
            kept = keep_copy(database, UPGRADE, keep, connection)
        except Unreachable as error:
            raise UserError(f"{error}\nCure: make room on that disk; nothing was changed.") from error
        _replace(database, connection, tell)
    return Upgraded(there.revision, _tables(database).revision, kept)


def _tables(database: Path) -> tables.Tables:
    try:
        there = tables.compare(database)
    except Unreachable as error:
        raise UserError(f"{error}\nCure: `predictflow store check` tells what is wrong with it.") from error
    if there is None:
        raise UserError(
            f"{database} does not say of which MLflow it is: it is none's, or was killed while it was made.\n"
            "Cure: `predictflow restore` makes it anew from Git and DVC, and keeps what lies there."
        )
    return there


def _replace(database: Path, connection: Connection, tell: Callable[[str], None]) -> None:
    """Migrate a copy, and put it in place where it holds what the store held."""
    temporary = database.with_name(f".{database.stem}-upgrade-{uuid.uuid4().hex}.tmp")
    try:
        copy_database(connection, temporary)
        tell("MLflow migrates the copy")
        migrate(temporary)
        tell("checking the copy")
        with closing(sqlite3.connect(temporary)) as migrated:
            _ensure_whole(temporary, _counts(connection), migrated)
            tell("putting the copy in place")
            migrated.backup(connection)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(
            f"{database} is as it was: its copy could not be upgraded: {reason}\n"
            "Cure: make room on that disk, then the same command again."
        ) from error
    finally:
        _remove_leftovers(database)


def _ensure_whole(path: Path, before: dict[str, int], migrated: Connection) -> None:
    """Raise UserError where a migrated copy lacks something, or is not what the installed MLflow opens."""
    wrong = damage(migrated)
    for table, rows in before.items():
        if (now := _count(migrated, table)) != rows:
            wrong.append(f"of {table} it holds {now:,} rows, not {rows:,}")
    there = tables.compare(path)
    if there is None or there.difference:
        wrong.append("it is not what the installed MLflow opens")
    if wrong:
        raise UserError(
            f"what MLflow made of the copy is not the store: {'; '.join(wrong)}.\n"
            "Cure: the store is as it was; keep the MLflow that it is of, and tell MLflow's authors."
        )


def _counts(connection: Connection) -> dict[str, int]:
    named = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {table: _count(connection, table) for table in COUNTED if table in named}


def _count(connection: Connection, table: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def _remove_leftovers(database: Path) -> None:
    """What an upgrade has migrated, or a killed one was about to, and what SQLite keeps beside it."""
    for left in database.parent.glob(f".{database.stem}-upgrade-*"):
        left.unlink(missing_ok=True)
