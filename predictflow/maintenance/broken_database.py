"""A database that SQLite cannot read any more makes room for a new one, and is kept."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from predictflow.adapters.store_copies import is_broken, is_busy
from stages.support import hashes
from stages.support.errors import UserError
from stages.tracking.store import SQLITE, tracking_uri

AROUND = ("-wal", "-shm", "-journal", "")  # what SQLite keeps beside a database, and then itself


@contextmanager
def put_aside() -> Iterator[str | None]:
    """A broken database lies in a folder of its own while the block makes a new one, and stays there.

    Gives that folder; None where nothing is broken. Where the block fails the database is back in its place.

    Raises UserError, and changes nothing, where it cannot be told whether it is broken, or where the disk
    does not take a copy of it.
    """
    database = Path(tracking_uri().removeprefix(SQLITE))
    if not database.exists() or not _is_broken(database):
        yield None
        return
    places = (database.with_name(f"{database.stem}-broken-{number}") for number in range(1, 1000))
    place = next(place for place in places if not place.exists())
    parts = [part for end in AROUND if (part := database.with_name(database.name + end)).exists()]
    _copy(parts, place)
    try:
        for part in parts:  # the database last: a log that stayed would be replayed into the new one
            part.unlink()
        yield str(place)
    except BaseException:
        for part in reversed(parts):
            (place / part.name).replace(part)
        place.rmdir()
        raise


def _copy(parts: list[Path], place: Path) -> None:
    """Copy files into a new folder, which has its name once all of them are proven to be there."""
    temporary = place.with_name(f".{place.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # what a kill has left
    try:
        temporary.mkdir()
        for part in parts:
            copied = Path(shutil.copy2(part, temporary))
            if hashes.md5(copied) != hashes.md5(part):
                raise OSError(f"{part} changed while it was copied")
        temporary.rename(place)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f"{parts[-1]} is broken, and cannot be moved aside to {place}: {error.strerror or error}\n"
            "Cure: make room on that disk, or let it be written to; nothing was changed."
        ) from error


def _is_broken(path: Path) -> bool:
    """Whether SQLite calls it corrupt or no database, or MLflow was killed while it made the tables.

    Raises UserError where something else keeps it from being read: a lock, a full disk, a read-only mount.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            whole = connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
            return not whole or _is_half_made(connection)
    except sqlite3.DatabaseError as error:
        if is_broken(error):
            return True
        cure = "stop who uses it (`mlflow ui`)"
        if not is_busy(error):
            cure = "let its disk have room, and be written to"
        raise UserError(
            f"whether {path} is broken cannot be told: {error}\nCure: {cure}; nothing was changed."
        ) from error


def _is_half_made(connection: sqlite3.Connection) -> bool:
    """Whether there are tables, but no word of MLflow's that they are complete, nor anything in them."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tables = [f'"{name}"' for name in names if not name.startswith("sqlite_")]
    filled = (connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)
    return bool(tables) and not any(filled)
