"""The pipeline: is dvc.lock in step and whole, and has a killed command left something behind?"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from predictflow.adapters import processes
from predictflow.adapters.dvc_files import DVC_LOCK, DVC_YAML, POINTERS
from predictflow.adapters.dvc_leftovers import Held, Holder, dead_tasks, held_locks, unfinished_experiments
from predictflow.adapters.dvc_status import DvcFailed, DvcQuestion, asking_dvc, changed_outputs
from predictflow.adapters.git_status import read_changes
from predictflow.doctor.check import Asked, Check, Group
from predictflow.doctor.leftovers import DropLock, RemoveLeftovers, TakeLockBack, leftovers
from predictflow.formatting import some_of
from predictflow.lineage.project import Project
from stages.support import hashes
from stages.support.paths import PARAMS

GROUP = Group(
    "pipeline",
    {
        "conflicts": "dvclock-is-in-conflict",
        "locks": "a-lock-that-nobody-lets-go",
        "queue": "the-queue-is-stuck",
        "leftovers": "a-stage-was-killed",
        "lock-file": "dvclock-is-half-written",
        "in-step": "dvc-repro-wants-to-run-what-has-not-changed",
    },
)
NAMED = 3  # files and processes that are told
# Files that hold a merge's marks to no use.
WRITTEN = (DVC_LOCK, DVC_YAML, PARAMS.as_posix(), *POINTERS.values())
MISSING = ("deleted", "not in cache")  # as DVC says of a file that is not there
MARKS = re.compile(rb"^<<<<<<< .*^>>>>>>> ", re.MULTILINE | re.DOTALL)
STATUS = "`predictflow status` names the command"


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    root = project.repository.require_root()
    yield GROUP.look("conflicts", lambda: _conflicts(project, root))
    yield GROUP.look("locks", lambda: _locks(root))
    yield GROUP.look("queue", lambda: _queue(root))
    yield GROUP.look("leftovers", lambda: _leftovers(project, root))
    with asking_dvc() as dvc:  # last: it is a command at work itself
        yield GROUP.look("lock-file", lambda: _lock_file(project, root, dvc))
        yield GROUP.look("in-step", lambda: _in_step(dvc))


def _conflicts(project: Project, root: Path) -> Check:
    paths = read_changes(project.repository).conflicts
    if paths:
        message = f"a merge left in conflict: {some_of(paths, NAMED)}"
        return GROUP.problem("conflicts", message, f"{STATUS}s that end it")
    marked = [path for path in WRITTEN if _is_marked(root / path)]
    if marked:
        cure = f"`git log -1 -- {marked[0]}` names the commit; take one side, then `dvc repro`"
        return GROUP.problem("conflicts", f"with the marks of a conflict in it: {some_of(marked)}", cure)
    return GROUP.ok("conflicts", "nothing is in conflict")


def _is_marked(path: Path) -> bool:
    return path.is_file() and MARKS.search(path.read_bytes()) is not None


def _locks(root: Path) -> Check:
    held: dict[Holder, list[Held]] = {}
    for lock in held_locks(root):
        held.setdefault(lock.holder, []).append(lock)
    told = {
        holder: some_of([f"{lock.path} ({lock.by})" for lock in locks], NAMED)
        for holder, locks in held.items()
    }
    if gone := held.get(Holder.GONE):
        fixes = [DropLock(path) for path in dict.fromkeys(lock.path for lock in gone)]
        return GROUP.problem("locks", f"locks that nobody holds any more: {told[Holder.GONE]}", None, fixes)
    if Holder.STOPPED in held:
        message = f"held by a command that was stopped, and waits: {told[Holder.STOPPED]}"
        return GROUP.problem("locks", message, "`fg` in its terminal lets it go on; or end it with `kill -9`")
    if unsure := held.get(Holder.UNSURE):
        cure = f"wait until it ends; if it is no command of DVC's, `rm {unsure[0].path}`"
        return GROUP.warning("locks", f"held: {told[Holder.UNSURE]}", cure)
    if held:
        return GROUP.ok("locks", f"held by a command at work: {told[Holder.AT_WORK]}")
    return GROUP.ok("locks", "nobody holds one")


def _queue(root: Path) -> Check:
    dead = dead_tasks(root)
    if dead:
        message = f"experiments that say they run, and whose process is gone: {some_of(dead, NAMED)}"
        cure = f"`dvc queue kill {shlex.join(dead)}`; `dvc queue start` goes on with the others"
        return GROUP.problem("queue", message, cure)
    return GROUP.ok("queue", "no experiment waits for a process that is gone")


def _leftovers(project: Project, root: Path) -> Check:
    cache = project.storage.cache
    found = sorted(set(leftovers(project.repository, cache)))
    folders = unfinished_experiments(root)
    if not found and not folders:
        return GROUP.ok("leftovers", "no killed command has left something half written")
    if busy := processes.at_work(root):
        why = f"not told from what is being written: at work are {some_of(busy, NAMED)}"
        return GROUP.unknown("leftovers", why, "wait until it ends")
    if not found:
        message = f"folders of killed experiments: {len(folders)}"
        return GROUP.warning("leftovers", message, "`predictflow prune`")
    ours = tuple(path for path in found if path.is_relative_to(root))
    told = some_of([str(path.relative_to(root) if path in ours else path) for path in found], NAMED)
    message = f"half written by a killed command: {told}"
    if ours:
        return GROUP.warning("leftovers", message, None, [RemoveLeftovers(ours)])
    return GROUP.warning("leftovers", message, f"`rm` them once nobody writes to {cache}, not others either")


def _lock_file(project: Project, root: Path, dvc: DvcQuestion) -> Check:
    """DVC writes dvc.lock in its place: killed amid that, it cannot read it, and no command of its helps."""
    path = root / DVC_LOCK
    try:
        dvc.answer()
    except DvcFailed as error:
        if not error.of_lock:
            return GROUP.unknown("lock-file", "DVC did not get so far: see in-step")
        recorded = _recorded_lock(project, path)
        fixes = [TakeLockBack(hashes.md5(path), recorded)] if recorded else []
        return GROUP.problem("lock-file", f"half written, or edited: {error}", f"`{error.cure}`", fixes)
    return GROUP.ok("lock-file", "DVC can read dvc.lock" if path.exists() else "there is no dvc.lock yet")


def _recorded_lock(project: Project, path: Path) -> str | None:
    """The id of HEAD's dvc.lock; None where that is no better, or a merge asks which side is right."""
    recorded = project.repository.head and project.history.lock_at(project.repository.head)
    merging = _is_marked(path) or DVC_LOCK in read_changes(project.repository).conflicts
    return recorded if recorded and not merging and project.history.locks[recorded].md5s else None


def _in_step(dvc: DvcQuestion) -> Check:
    try:
        changed = dvc.answer()
    except DvcFailed as error:
        if error.of_lock:
            return GROUP.unknown("in-step", "DVC cannot read dvc.lock")
        if error.broken:
            return GROUP.problem("in-step", str(error), f"`{error.cure or 'dvc status --verbose'}`")
        return GROUP.unknown("in-step", str(error))
    if not changed:
        return GROUP.ok("in-step", "dvc.lock is of the code, params and data that lie here")
    outputs = changed_outputs(changed)
    away = {path for path, how in outputs.items() if how in MISSING}
    differing = {path for stage in changed.values() for path in stage.inputs}.difference(outputs)
    differing |= outputs.keys() - away
    message = f"dvc.lock is not of what lies here: {some_of(sorted(differing), NAMED)}"
    if not differing:
        message = f"not here, or not in DVC's cache: {some_of(sorted(away), NAMED)}"
    return GROUP.warning("in-step", message, STATUS)
