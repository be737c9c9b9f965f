"""A database that cannot be read any more makes room for a new one, and is kept."""

import sqlite3
from contextlib import closing
from pathlib import Path

from stages.support.errors import UserError
from stages.tracking.store import SQLITE, tracking_uri

AROUND = ("", "-wal", "-shm", "-journal")  # a database, and the files that SQLite keeps beside it


def put_aside() -> str | None:
    """Move a database that cannot be read out of the way; where it is now."""
    database = Path(tracking_uri().removeprefix(SQLITE))
    if not database.exists() or _is_whole(database):
        return None
    places = (database.with_name(f"{database.stem}-broken-{number}") for number in range(1, 1000))
    place = next(place for place in places if not place.exists())
    place.mkdir()
    for end in AROUND:
        part = database.with_name(database.name + end)
        if part.exists():
            part.rename(place / part.name)
    return str(place)


def _is_whole(path: Path) -> bool:
    """Whether SQLite finds nothing wrong, and MLflow's tables were made to the end (or not begun)."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            made = not tables or list(connection.execute("SELECT * FROM alembic_version"))
            return bool(made) and connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise UserError(f"{path} is in use: {error}\nCure: stop who uses it (`mlflow ui`).") from None
        return False
    except sqlite3.DatabaseError:
        return False
