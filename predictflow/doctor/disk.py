"""The disks that the project, DVC's cache, MLflow's store and temporary files lie on: is there room?"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from predictflow.adapters.dvc_files import DVC_LOCK, parse_lock
from predictflow.adapters.store_copies import own_database
from predictflow.doctor.check import Asked, Check, Group
from predictflow.formatting import some_of
from predictflow.lineage.project import Project

GROUP = Group(
    "disk",
    {
        "space": "the-disk-is-full",
        "inodes": "the-disk-is-full",
        "writable": None,
        "usage": None,
    },
)
PRUNE = "`predictflow prune`"
# What a `dvc repro` writes: each output in the working tree, in the cache, and the model in MLflow's store;
# and what SQLite, DVC and Python write beside, which is tens of MB.
TIMES, BESIDE = 3, 100 * 10**6
AMPLE = 5  # times what a run needs: below that is a warning
FILES = 1_000  # that a run makes, far more than were counted
HEAVY = (".dvc/cache", "mlflow_data", ".dvc/tmp", ".git")


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    root = project.repository.require_root()
    places = _places(project, root)
    disks = _disks(places)
    yield GROUP.look("space", lambda: _space(disks, _need(root)))
    yield GROUP.look("inodes", lambda: _inodes(disks))
    yield GROUP.look("writable", lambda: _writable(places))
    yield GROUP.look("usage", lambda: _usage({name: size_of(root / name) for name in HEAVY}))


def _places(project: Project, root: Path) -> dict[str, Path]:
    """{what lies there: a folder}; of one that is not there yet, the one around it."""
    wanted = {"the project": root, "DVC's cache": project.storage.cache}
    if database := own_database():
        wanted["MLflow's store"] = database.parent
    wanted["temporary files"] = Path(tempfile.gettempdir())
    return {
        name: next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
        for name, path in wanted.items()
    }


def _disks(places: Mapping[str, Path]) -> dict[str, os.statvfs_result]:
    """{the first thing that lies there: what the system says of the disk}."""
    first = {path.stat().st_dev: name for name, path in reversed(list(places.items()))}
    return {name: os.statvfs(places[name]) for name in reversed(list(first.values()))}


def _need(root: Path) -> int:
    """How many bytes a `dvc repro` needs."""
    path = root / DVC_LOCK
    lock = parse_lock(path.read_bytes()) if path.is_file() else None
    return BESIDE + TIMES * (sum(lock.sizes.values()) if lock else 0)


def _space(disks: Mapping[str, os.statvfs_result], need: int) -> Check:
    from rich.filesize import decimal

    free = {name: disk.f_bavail * disk.f_frsize for name, disk in disks.items()}
    told = some_of([f"{decimal(room)} for {name}" for name, room in free.items()])
    if min(free.values()) < need:
        message = f"{told} are free; a `dvc repro` needs about {decimal(need)}"
        return GROUP.problem("space", message, PRUNE)
    if min(free.values()) < AMPLE * need:
        return GROUP.warning("space", f"{told} are free; {AMPLE} runs of `dvc repro` need more", PRUNE)
    return GROUP.ok("space", f"{told} are free; a `dvc repro` needs about {decimal(need)}")


def _inodes(disks: Mapping[str, os.statvfs_result]) -> Check:
    """Of those disks that count them: some make them as they go, and say 0."""
    free = {name: disk.f_favail for name, disk in disks.items() if disk.f_files}
    scarce = [f"{left:,} for {name}" for name, left in free.items() if left < FILES]
    if scarce:
        message = f"the disk takes few files more: {some_of(scarce)}; a run makes hundreds"
        return GROUP.problem("inodes", message, PRUNE)
    return GROUP.ok("inodes", "the disk takes as many files as are needed")


def _writable(places: Mapping[str, Path]) -> Check:
    locked = [f"{name} ({path})" for name, path in places.items() if not os.access(path, os.W_OK)]
    if locked:
        cure = "ask as the owner of these folders, and not on a disk that is mounted read-only"
        return GROUP.problem("writable", f"nothing can be written to: {some_of(locked)}", cure)
    return GROUP.ok("writable", "the folders of project, cache and store can be written to")


def _usage(sizes: Mapping[str, int]) -> Check:
    from rich.filesize import decimal

    heavy = sorted((name for name in sizes if sizes[name]), key=lambda name: -sizes[name])
    told = some_of([f"{name} {decimal(sizes[name])}" for name in heavy]) or "nothing"
    return GROUP.ok("usage", f"{told}; {PRUNE} removes what nothing refers to")


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder; links are not followed."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(f"{top}/{name}").st_size
            except FileNotFoundError:  # it has gone meanwhile
                continue
    return total
