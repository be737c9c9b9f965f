"""Copies of the store's database: SQLite's own backup, whole whoever writes meanwhile, kept by number."""

import errno
import filecmp
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from filelock import FileLock

from predictflow.adapters import processes
from predictflow.errors import Unreachable
from predictflow.formatting import some_of
from stages.support.errors import UserError
from stages.tracking.database import LOCK_TIMEOUT
from stages.tracking.store import SQLITE, tracking_uri

COPIES = "backups"  # the folder beside the database in which they lie
BY_HAND, PROMOTION, UPGRADE = "by-hand", "promotion", "upgrade"  # why a copy was made
KEPT = 10  # copies of each kind; the oldest go
MARGIN = 2**18  # bytes beside those of the copy that have to be free: of SQLite's own files, and folders

KIND = 0xFF  # the part of SQLite's error code that says what it is; what is above says where it came from


@dataclass(frozen=True)
class StoreCopy:
    """A copy of the store's database.

    Attributes:
        number: counts up from one copy to the next: clocks may be set back.
        kind: why it was made: BY_HAND, PROMOTION or UPGRADE.
        made: seconds since 1970.
        size: bytes.
    """

    path: Path
    number: int
    kind: str
    made: float
    size: int


def own_database() -> Path | None:
    """The database that the stages write to; None at a server, whose owner copies it."""
    uri = tracking_uri()
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def list_copies(database: Path) -> list[StoreCopy]:
    """Those that there are, the newest first."""
    named = re.compile(rf"{re.escape(database.stem)}-(\d+)-({BY_HAND}|{PROMOTION}|{UPGRADE})\.db")
    copies = []
    for path in (database.parent / COPIES).glob("*.db"):
        if found := named.fullmatch(path.name):
            stat = path.stat()
            copies.append(StoreCopy(path, int(found[1]), found[2], stat.st_mtime, stat.st_size))
    return sorted(copies, key=lambda copy: -copy.number)


def keep_copy(database: Path, kind: str, keep: int = KEPT, opened: Connection | None = None) -> StoreCopy:
    """Copy a database, and let the oldest copies of its kind go; where nothing has changed since the last one
    of its kind, that one is written anew.

    Args:
        opened: a connection to it that keeps all others out; else one of its own is made.

    Raises Unreachable, with the reason, where that cannot be done: what was kept before is still there then.
    """
    folder = database.parent / COPIES
    try:
        folder.mkdir(exist_ok=True)
        _ensure_room(database, folder)
        with FileLock(folder / ".lock", LOCK_TIMEOUT):
            _keep_copy(database, kind, folder, opened)
            copies = [copy for copy in list_copies(database) if copy.kind == kind]
            for old in copies[keep:]:
                old.path.unlink()
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise Unreachable(f"{database} cannot be copied to {folder}: {reason}") from error
    return copies[0]


def _ensure_room(database: Path, folder: Path) -> None:
    """Raise OSError where a copy would not fit: SQLite leaves files behind that it could not fill."""
    needed = 0
    for path in database.parent.glob(f"{database.name}*"):
        with suppress(FileNotFoundError):  # SQLite removes its own files with the last connection
            needed += path.stat().st_size
    if shutil.disk_usage(folder).free < needed + MARGIN:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _keep_copy(database: Path, kind: str, folder: Path, opened: Connection | None) -> None:
    copies = list_copies(database)
    number = 1 + (copies[0].number if copies else 0)
    place = folder / f"{database.stem}-{number:04}-{kind}.db"
    last = next((copy.path for copy in copies if copy.kind == kind), place)
    temporary = place.with_name(f".{place.name}.tmp")
    try:
        with _connection(database, opened) as source:
            copy_database(source, temporary)
        same = last.exists() and filecmp.cmp(temporary, last, shallow=False)
        temporary.replace(last if same else place)
    finally:
        temporary.unlink(missing_ok=True)


def _connection(database: Path, opened: Connection | None) -> AbstractContextManager[Connection]:
    if opened:
        return nullcontext(opened)
    return closing(connect(database))


def connect(database: Path) -> Connection:
    """Open a database that is there. Raises sqlite3.Error."""
    where = f"{database.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(where, LOCK_TIMEOUT, isolation_level=None, uri=True)


def copy_database(source: Connection, target: Path) -> None:
    """Copy a database as it is at one moment; the copy is one file, without a log, and on the disk.

    Raises OSError or sqlite3.Error.
    """
    target.unlink(missing_ok=True)  # what a kill has left
    with closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous=OFF")  # it is brought to the disk once, below
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def alone_with(database: Path) -> Iterator[Connection]:
    """The only connection to a database while the block lasts: all others wait, readers too.

    Raises UserError where somebody has it open.
    """
    with closing(connect(database)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")  # which SQLite lets nobody do who is not alone
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")  # takes the lock, which the mode then keeps
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            holders = processes.holding(database)
            raise UserError(
                f"{database} is open{f': {some_of(holders)}' if holders else ' elsewhere'}.\n"
                "Cure: stop who uses it (a stage, `mlflow ui`, a notebook), and ask again."
            ) from error
        yield connection


def is_busy(error: BaseException | None) -> bool:
    """Whether somebody else keeps a database locked."""
    return getattr(error, "sqlite_errorcode", 0) & KIND in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_broken(error: BaseException | None) -> bool:
    """Whether SQLite cannot read what is there: it is corrupt, or no database at all."""
    return getattr(error, "sqlite_errorcode", 0) & KIND in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def damage(connection: Connection, thorough: bool = True) -> list[str]:
    """What SQLite finds wrong with a database; if not `thorough`, indexes are not held against their tables.

    Raises sqlite3.Error where it cannot even be read.
    """
    check = "integrity_check" if thorough else "quick_check"
    found = [row[0] for row in connection.execute(f"PRAGMA {check}(10)")]
    return [] if found == ["ok"] else found
