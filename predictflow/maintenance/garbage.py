"""What nothing refers to any more, found and removed."""

import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace
from pathlib import Path

from predictflow.adapters import git_worktree, mlflow_tables, processes
from predictflow.adapters.dvc_commands import hold_dvc_lock
from predictflow.adapters.dvc_leftovers import killed_experiments
from predictflow.adapters.dvc_storage import OBJECTS
from predictflow.adapters.mlflow_entities import RUN_ID, STUDY_TAG, Run, Version
from predictflow.adapters.mlflow_sqlite import Database
from predictflow.adapters.mlflow_store import ensure_own_tables
from predictflow.errors import CouldNotTell, Unreachable
from predictflow.formatting import some_of
from predictflow.lineage.project import Project
from predictflow.maintenance.reachability import Needed, needed
from predictflow.reproduction import environments
from stages.support import params
from stages.support.errors import UserError
from stages.tracking.store import (
    HOST_TAG,
    SQLITE,
    TrackingStore,
    is_gone,
    open_store,
    store_lock,
    tracking_uri,
)

OWN_STORE = Path("mlflow_data")  # where the project's own store lies
ARTIFACTS = OWN_STORE / "artifacts"
DAY = 86_400  # seconds
GARBAGE_KINDS = {
    "runs": "runs of no model that anything holds",
    "artifacts": "artifact folders of no run",
    "databases": "databases that restore has put aside",
    "rebuilds": "worktrees of rebuilds that were killed",
    "environments": "environments of rebuilds that nobody used for a while",
    "experiments": "folders of experiments that have ended or were killed",
    "temporary": "temporary files",
    "cache": "objects of DVC's cache",
    "run_cache": "entries of DVC's run cache whose outputs are gone",
}


@dataclass(frozen=True)
class Garbage:
    """What nothing refers to.

    Attributes:
        things: {kind, as in GARBAGE_KINDS: {name: size in bytes}}; a run by its id, an object by its md5, all
            others by their paths from the project's top folder. A kind of which there is nothing is left out.
        in_trash: whether runs go to MLflow's trash only.
        left_alone: what was not looked through for a good reason, each with its cure.
    """

    things: dict[str, dict[str, int]]
    in_trash: bool
    left_alone: list[str]


def find_garbage(project: Project, unused_days: int) -> Garbage:
    """What nothing refers to; nothing is changed.

    Raises UserError while something is at work in the project, and CouldNotTell where Git, the store or the
    cache cannot be read to the end.
    """
    root = project.repository.root
    if root is None:
        raise CouldNotTell("a bare repository has nothing to prune.\nCure: call it in a clone.")
    if busy := processes.at_work(root):
        raise UserError(
            f"commands are at work in this project, and nothing refers yet to what they make:\n"
            f"  {some_of(busy, 3)}\nCure: wait until it ends; `dvc queue stop` ends the queue's workers."
        )
    model = project.require_model()  # its receipts say what is needed
    runs, versions, ids = _stores(project, root)
    need = needed(project, versions)
    if project.unseen:
        raise _could_not_tell(project.unseen[-1])
    if damage := project.chain(model).damage:
        raise CouldNotTell(
            f"the receipts are broken: {damage[0].message}\nCure: `predictflow history` tells more."
        )
    in_trash = not _is_ours(root)
    of_runs = (path for path in _inside(root / ARTIFACTS) if RUN_ID.fullmatch(path.name))
    paths = {
        "artifacts": (path for path in of_runs if path.name not in ids),
        "databases": (root / OWN_STORE).glob("*-broken-*/"),
        "rebuilds": filter(Path.is_dir, _inside(root / git_worktree.WORKTREES)),
        "environments": _unused(root / environments.ENVIRONMENTS, unused_days),
        "experiments": killed_experiments(root),
        "temporary": _temporary(project, root),
    }
    things = {"runs": _runs(root, need, runs, in_trash)}
    things |= {kind: _sized(root, those) for kind, those in paths.items()}
    try:
        in_cache, left_alone = _cache(project, root, need)
    except (OSError, ValueError, Unreachable) as error:
        raise _could_not_tell(f"DVC's cache: {error}") from error
    things |= in_cache
    there = {kind: dict(sorted(names.items())) for kind, names in things.items() if names}
    return Garbage(there, in_trash, left_alone)


def _could_not_tell(why: str) -> CouldNotTell:
    return CouldNotTell(
        f"not all that is still needed could be found out: {why}\n"
        "Cure: `predictflow restore` brings a lost store back; `git fetch --unshallow` the older commits."
    )


def _is_ours(root: Path) -> bool:
    """Whether the store that the stages write to is the project's own."""
    where = tracking_uri()
    return where.startswith(SQLITE) and Path(where.removeprefix(SQLITE)).parent == root / OWN_STORE


def _stores(project: Project, root: Path) -> tuple[list[Run], list[Version], set[str]]:
    """The runs of the store at hand, the versions of all stores, and the ids of all runs that may have
    artifacts here: a second database, as of a rebuild by hand, keeps them in the same folder."""
    runs, versions = project.all_runs, list(project.versions)
    ids: set[str] = set()
    for path in sorted((root / OWN_STORE).glob("*.db")):
        database = Database(path)
        no_runs: list[Run] = []
        every = project.look(database.every_run, no_runs)
        ids.update(run.id for run in every)
        if tracking_uri() == f"{SQLITE}{path}":
            runs = [run for run in every if STUDY_TAG not in run.tags]  # of a study all is kept
        else:
            versions += project.look(database.versions, [])
    return runs, versions, ids


def _runs(root: Path, need: Needed, runs: Iterable[Run], in_trash: bool) -> dict[str, int]:
    """On a server there are the runs of others, whose commits are not here: only those of this machine go."""
    sizes = {}
    for run in runs:
        alive = run.status == "RUNNING" and not is_gone(run.tags)
        of_others = in_trash and run.tags.get(HOST_TAG) != socket.gethostname()
        if not (need.run(run) or alive or of_others):
            sizes[run.id] = 0 if in_trash else _size(root / ARTIFACTS / run.id)
    return sizes


def _unused(folder: Path, days: int) -> Iterator[Path]:
    """Environments whose mark, touched at each use, is old; a half-made one has none."""
    for path in _inside(folder):
        mark = path / environments.INSTALLED
        if path.is_dir() and (not mark.exists() or time.time() - mark.stat().st_mtime > days * DAY):
            yield path


def _temporary(project: Project, root: Path) -> Iterator[Path]:
    """What a killed command has half written: `.<name>.tmp`, never one that Git knows."""
    pathspecs = (":(glob)**/.*.tmp", ":(exclude).venv", ":(exclude).dvc/cache")
    listed = project.repository.read("ls-files", "-z", "--others", "--", *pathspecs)
    return (root / name for name in listed.split("\0") if name)


def _cache(project: Project, root: Path, need: Needed) -> tuple[dict[str, dict[str, int]], list[str]]:
    """What goes of DVC's cache and run cache, by kind; or why they were left alone."""
    cache = project.storage.cache
    if cache.resolve() != root.resolve() / ".dvc/cache":
        reason = (
            f"DVC's cache, {cache}: it lies outside this project, so others may need what is in it."
            " Cure: `dvc gc -w --all-branches --all-tags --all-experiments -p OTHER_PROJECT`"
        )
        return {}, [reason]
    held = {
        f"{path.parent.name}{path.name}": path for path in cache.glob(f"{OBJECTS}/??/*") if path.is_file()
    }
    # What a killed `dvc pull` has half written is among them.
    going = held.keys() - need.md5s
    staying = held.keys() - going
    entries = (path for path in cache.glob("runs/??/*/*") if path.is_file())
    dead = (path for path in entries if not _can_be_restored(path, staying))
    return {"cache": {md5: held[md5].stat().st_size for md5 in going}, "run_cache": _sized(root, dead)}, []


def _can_be_restored(entry: Path, held: Set[str]) -> bool:
    """Whether all outputs of an entry of the run cache are there: else DVC runs the stage, and finds this
    entry again the next time instead of the new one (dvc#9420)."""
    import yaml

    try:
        outs = yaml.load(entry.read_bytes(), yaml.CBaseLoader)["outs"]
        return all(out.get("hash") != "md5" or out["md5"] in held for out in outs)
    except (yaml.YAMLError, KeyError, TypeError):
        return False


def _inside(folder: Path) -> list[Path]:
    """The visible things in a folder; none where there is no such folder."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _sized(root: Path, paths: Iterable[Path]) -> dict[str, int]:
    return {path.relative_to(root).as_posix(): _size(path) for path in paths}


def _size(path: Path) -> int:
    """Of a file, or of all files in a folder; bytes."""
    every = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in every if file.is_symlink() or file.is_file())


def remove_garbage(folder: Path, shown: Garbage, unused_days: int) -> None:
    """Remove what was shown and still is garbage, while neither DVC nor another command can begin.

    Files first: that needs no room on the disk, and makes the room that MLflow needs to let runs go. What is
    killed in here goes on where it ended when it is called again: first goes what is referred to, and last
    what it is known by. Raises what `find_garbage` raises.
    """
    root = Project.enter(folder).repository.root
    if root is None:  # nothing was shown
        return
    ensure_own_tables()
    with hold_dvc_lock(root):
        with store_lock(tracking_uri()):
            _remove_files(folder, root, _still(folder, shown, unused_days))
        if "runs" in shown.things:
            with (store := open_store(params.load())).lock:
                now = _still(folder, shown, unused_days)
                _remove_runs(store, root, list(now.things.get("runs", ())), now.in_trash)


def _still(folder: Path, shown: Garbage, unused_days: int) -> Garbage:
    """What of the garbage that was shown is garbage now."""
    now = find_garbage(Project.enter(folder), unused_days)
    things = {
        kind: {name: size for name, size in now.things.get(kind, {}).items() if name in names}
        for kind, names in shown.things.items()
    }
    return replace(now, things=things)


def _remove_files(folder: Path, root: Path, garbage: Garbage) -> None:
    """All of it but the runs."""
    project, things = Project.enter(folder), dict(garbage.things)
    things.pop("runs", None)
    if things.pop("rebuilds", {}):
        git_worktree.clear(project.repository)
    for md5 in things.pop("cache", {}):
        project.storage.place(md5).unlink(missing_ok=True)
    for name in things.get("environments", {}):  # nobody takes half of one for whole
        (root / name / environments.INSTALLED).unlink(missing_ok=True)
    for names in things.values():
        for name in names:
            _remove(root / name)


def _remove_runs(store: TrackingStore, root: Path, run_ids: list[str], in_trash: bool) -> None:
    """The rows first: files without a run are found again, a run without its files would seem whole."""
    if in_trash:
        for run_id in run_ids:
            store.client.delete_run(run_id)
        return
    mlflow_tables.delete_runs(tracking_uri(), run_ids)
    for run_id in run_ids:  # not at the address that MLflow has: the project may have moved from there
        _remove(root / ARTIFACTS / run_id)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
