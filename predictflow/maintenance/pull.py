"""A pull: what comes is hashed before anything is written from it, and what was wrong here goes aside."""

import shutil
from pathlib import Path

from predictflow.adapters.dvc_commands import checkout_all, hold_dvc_lock
from predictflow.adapters.dvc_files import LIST
from predictflow.adapters.dvc_storage import right_file
from predictflow.adapters.remote_transfer import get_objects
from predictflow.formatting import Json, some_of
from predictflow.lineage.project import Project
from predictflow.maintenance.transfer import Problem, Transfer, answer, ask, begin, named
from predictflow.verification.remote_content import Need, needed, open_lists

ASIDE = Path(".dvc/tmp/wrong-objects")  # where the cache's wrong objects go
FROM_ANOTHER = "`predictflow push` from a clone that has it puts it right; or `dvc repro` makes it again"


def pull(project: Project, handle: str | None, everything: bool) -> Json:
    """Let DVC's cache hold every byte that is needed, each proven, and with no handle the working tree, too.

    The arguments are those of `push`. Raises CouldNotTell where the remote must be asked and cannot be, and
    UserError where DVC is at work here.
    """
    with begin(project, handle, everything, "pulling") as transfer:
        root = project.repository.require_root()
        aside: list[Need] = []
        problems: list[Problem] = []
        with hold_dvc_lock(root):
            pulled = _bring(transfer, transfer.needs.lists, aside, problems)
            open_lists(transfer.needs, transfer.list_here)
            files = [need for need in transfer.needs.objects.values() if not need.is_list]
            pulled += _bring(transfer, files, aside, problems)
        said = None
        if handle is None:
            said = _check_out(transfer, root, incomplete=bool(problems))
        return answer(
            transfer,
            problems,
            {
                "pulled": [named(need) for need in pulled],
                "moved_aside": [named(need) | {"to": str(ASIDE / need.md5)} for need in aside],
                "checkout": {"done": handle is None and said is None, "error": said},
            },
        )


def _bring(transfer: Transfer, needs: list[Need], aside: list[Need], problems: list[Problem]) -> list[Need]:
    """Bring into the cache what it lacks, and hash all of it; those that came. What is wrong in it is moved
    aside first: DVC would believe it for good."""
    lacking = []
    for at, need in enumerate(needs, 1):
        transfer.tell(f"hashing {need.path} ({at} of {len(needs)})")
        if transfer.is_here(need):
            continue
        if transfer.place(need).is_file():
            _move_aside(transfer, need)
            aside.append(need)
        lacking.append(need)
    if not lacking:
        return []
    ask(transfer.remote, transfer.tell)
    held = transfer.remote.look_up(need.md5 for need in lacking)
    coming = []
    for need in lacking:
        told = held.get(need.md5)
        if told is None:
            message = "404: the remote does not have it"
        elif need.size is not None and told.size not in (None, need.size):
            message = f"it has {told.size:,} bytes there, and not {need.size:,}: it was left there"
        else:
            coming.append(need)
            continue
        problems.append(transfer.problem(need, message, FROM_ANOTHER))
    failed = transfer.try_again(get_objects, coming, "pulled", transfer.arrived)
    for need in coming:
        if need.md5 in failed:
            error = failed[need.md5]
            other = "other bytes came than that name says: they were thrown away"
            message, cure = (str(error), error.cure) if error else (other, FROM_ANOTHER)
            problems.append(transfer.problem(need, message, cure))
    return [need for need in coming if need.md5 not in failed]


def _move_aside(transfer: Transfer, need: Need) -> None:
    place = transfer.place(need)
    aside = transfer.project.repository.require_root() / ASIDE
    aside.mkdir(parents=True, exist_ok=True)
    shutil.move(place, aside / need.md5)


def _check_out(transfer: Transfer, root: Path, incomplete: bool) -> str | None:
    """Let DVC write the working tree; what it says, or which files are others all the same.

    DVC believes what it has written once, so files with other bytes are linked anew.
    """
    transfer.tell("checking out")
    tree = needed(transfer.project, None)
    open_lists(tree, transfer.list_here)
    files = {root / path: md5 for path, md5 in tree.paths.items() if not md5.endswith(LIST)}
    relink = any(path.is_file() and not right_file(path, md5) for path, md5 in files.items())
    if said := checkout_all(root, relink=relink, allow_missing=incomplete):
        return said
    others = [
        path.relative_to(root).as_posix()
        for path, md5 in files.items()
        if (path.exists() or not incomplete) and not right_file(path, md5)
    ]
    return f"other bytes than dvc.lock names: {some_of(others)}" if others else None
