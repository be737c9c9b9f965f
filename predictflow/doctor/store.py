"""MLflow's store: whole, of the installed MLflow, on a disk that is fit for it, and nobody's hostage."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from predictflow.adapters import processes
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.adapters.store_copies import KEPT, connect, is_broken, is_busy, list_copies, own_database
from predictflow.audit.fixes import EndRun
from predictflow.doctor.check import Asked, Check, Group
from predictflow.errors import Unreachable, masked
from predictflow.formatting import moment, some_of
from predictflow.lineage.project import Project
from stages.support.paths import PROVENANCE
from stages.tracking import tables
from stages.tracking.store import is_gone, place_before, reach, tracking_uri

GROUP = Group(
    "store",
    {
        "store": "the-store-is-lost-or-broken",
        "integrity": "the-store-is-lost-or-broken",
        "tables": "the-store-is-of-another-mlflow",
        "store-disk": "the-store-lies-on-a-network-disk",
        "store-users": "the-store-is-locked",
        "open-runs": None,
        "addresses": None,
        "copies": None,
    },
)
QUICKLY = 64 * 2**20  # bytes of a database up to which all of it is checked without --deep
NAMED = 3  # runs, tables and processes that are told
# Disks in a network, and of another system below this one: SQLite's write-ahead log needs memory that all
# its users share (sqlite.org/wal.html), which these do not give to two machines.
NETWORK_DISKS = {
    *("nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "afs", "9p", "virtiofs", "vboxsf", "prl_fs"),
    *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "davfs", "webdav", "fuse.sshfs", "fuse.s3fs"),
    *("fuse.rclone", "fuse.gcsfuse", "fuse.glusterfs", "fuse.ceph", "fuse.davfs2", "fuse.juicefs"),
}


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    path = own_database()
    if path is None:
        yield GROUP.look("store", lambda: _server(asked))
        return
    if not path.is_file():
        yield _absent(project, path)
        return
    database = Database(path)
    yield GROUP.ok("store", f"{path}, {path.stat().st_size:,} bytes")
    questions: dict[str, Callable[[], Check]] = {
        "integrity": lambda: _integrity(database, path, asked),
        "tables": lambda: _tables(path),
        "store-disk": lambda: _disk(path, processes.file_system(path.parent)),
        "store-users": lambda: _users(path),
        "open-runs": lambda: _open_runs(database),
        "addresses": lambda: _addresses(database),
        "copies": lambda: _copies(path, asked),
    }
    for name, question in questions.items():
        yield GROUP.look(name, question)


def _server(asked: Asked) -> Check:
    """Raises UserError where it does not answer."""
    where = masked(tracking_uri())
    owner = "who runs it keeps its database, its copies and its MLflow"
    if not asked.remote:
        return GROUP.ok("store", f"a server, {where}, which was not asked: {owner}")
    reach()
    return GROUP.ok("store", f"a server, {where}, which answers: {owner}")


def _absent(project: Project, path: Path) -> Check:
    """That there is no store: lost where receipts tell of versions, else not made yet."""
    if project.model and project.chain(project.model).names:
        message = f"{path} is not there, and receipts tell of versions that it held"
        return GROUP.problem("store", message, "`predictflow restore`")
    made = "`predictflow restore`, or `dvc repro`" if PROVENANCE.exists() else "`dvc repro` makes it"
    return GROUP.warning("store", f"{path} is not there: MLflow shows no run", made)


def _integrity(database: Database, path: Path, asked: Asked) -> Check:
    thorough = asked.deep or path.stat().st_size <= QUICKLY
    try:
        (first, *others) = database.ask(f"PRAGMA {'integrity' if thorough else 'quick'}_check(10)")
        dangling = database.ask("PRAGMA foreign_key_check") if thorough else []
    except Unreachable as error:
        if not is_broken(error.__cause__):
            raise
        first, others, dangling = (str(error.__cause__),), [], []
    if first != ("ok",):
        message = f"SQLite calls it broken: {first[0]}" + (f" and {len(others)} more" if others else "")
        cure = "`predictflow restore` keeps it aside and makes another from Git and DVC; or put back a copy"
        return GROUP.problem("integrity", message, cure)
    if dangling:
        named = some_of(sorted({row[0] for row in dangling}), NAMED)
        message = f"{len(dangling)} rows name others that are gone, in {named}: somebody has edited it"
        return GROUP.warning("integrity", message, "`predictflow audit` tells whether a model is touched")
    how = "all of it was read" if thorough else "its pages were read; --deep reads its indexes too"
    return GROUP.ok("integrity", f"whole: {how}")


def _tables(path: Path) -> Check:
    there = tables.compare(path)
    if there is None:
        message = "it does not say of which MLflow it is: none's, or killed while it was made"
        return GROUP.problem("tables", message, "`predictflow restore` makes it anew, and keeps this one")
    if there.difference:
        message, _, cure = there.difference.partition("\nCure: ")
        return GROUP.problem("tables", f"it {message}", cure.removesuffix("."))
    return GROUP.ok("tables", f"those of the installed MLflow, {there.revision}")


def _disk(path: Path, file_system: str | None) -> Check:
    """Args: `file_system`, the kind of the disk that it lies on; None where nobody tells."""
    if file_system in NETWORK_DISKS:
        message = f"it lies on {file_system}, where SQLite's log works for one machine at most, if at all"
        cure = "a server's store, or MLFLOW_TRACKING_URI=sqlite:///PATH on a disk of this machine"
        return GROUP.problem("store-disk", message, cure)
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        message = f"{path.parent} cannot be written to by this user: no run, no promotion"
        return GROUP.problem("store-disk", message, f"ask as its owner (`ls -l {path.parent}`)")
    if file_system is None:
        return GROUP.unknown("store-disk", "this system does not tell what kind of disk it lies on")
    return GROUP.ok("store-disk", f"{file_system}, of this machine")


def _users(path: Path) -> Check:
    """Who has it open, and whether one of them keeps the others from writing."""
    users = processes.holding(path)
    named = some_of(users, NAMED)
    if not users:
        return GROUP.ok("store-users", "nobody has it open")
    try:
        with closing(connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if not is_busy(error):
            raise Unreachable(f"{path}: {error}") from error
        message = f"somebody keeps it locked, and it is open in {named}"
        return GROUP.problem("store-users", message, "let it end, or end it: `kill PID`; nothing is lost")
    return GROUP.ok("store-users", f"open in {named}, and others may write")


def _open_runs(database: Database) -> Check:
    running = [run for run in database.latest() if run.status == "RUNNING"]
    left = [run for run in running if is_gone(run.tags)]
    if left:
        message = f"RUNNING, though their processes are gone: {some_of([run.id for run in left], NAMED)}"
        return GROUP.warning("open-runs", message, "", [EndRun(run.id) for run in left])
    at_work = f"{len(running)} at work, here or on another host" if running else "none is left open"
    return GROUP.ok("open-runs", at_work)


def _addresses(database: Database) -> Check:
    """Where MLflow seeks the files of its experiments: as absolute paths, which a move does not change."""
    homes = database.ask(
        "SELECT DISTINCT artifact_location FROM experiments JOIN runs USING (experiment_id)"
        " WHERE experiments.lifecycle_stage = 'active'"
    )
    before = [home for (home,) in homes if place_before(home)]
    if before:
        message = f"files are sought, and put, in {some_of(before, NAMED)}. Was the project moved, or copied?"
        return GROUP.problem("addresses", message, "`predictflow restore` lets them follow")
    return GROUP.ok("addresses", "MLflow seeks files where they are")


def _copies(path: Path, asked: Asked) -> Check:
    """Whether SQLite can read the copies: the newest one, and with --deep all of them."""
    copies = list_copies(path)
    if not copies:
        return GROUP.ok(
            "copies", "none yet: every promotion makes one, and so does `predictflow store backup`"
        )
    looked_at = copies if asked.deep else copies[:1]
    broken = [copy.path for copy in looked_at if not _is_whole(copy.path)]
    if broken:
        message = f"SQLite calls it broken: {some_of([str(copy) for copy in broken], NAMED)}"
        return GROUP.problem("copies", message, f"`rm {broken[0]}`, then `predictflow store backup`")
    read = "all were read" if asked.deep else "it was read; --deep reads the others too"
    newest = f"{copies[0].path.name} of {moment(copies[0].made)}"
    return GROUP.ok("copies", f"{len(copies)} (up to {KEPT} of a kind stay), the newest {newest}: {read}")


def _is_whole(copy: Path) -> bool:
    try:
        return Database(copy).ask("PRAGMA quick_check(1)") == [("ok",)]
    except Unreachable as error:
        if not is_broken(error.__cause__):
            raise
        return False
