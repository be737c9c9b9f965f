"""DVC's cache: is there what lies here needs, is every object what its name says, can files be linked?"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from predictflow.adapters.dvc_files import LIST, parse_list
from predictflow.adapters.dvc_storage import OBJECTS, right_file
from predictflow.audit.copies import cached_again
from predictflow.audit.file_fixes import READ_ONLY, WriteList
from predictflow.audit.fixes import Fix, FixContext
from predictflow.doctor.check import Asked, Check, Group
from predictflow.errors import Unreachable
from predictflow.formatting import some_of
from predictflow.lineage.project import Project
from predictflow.lineage.status import data_md5s
from stages.support import hashes

GROUP = Group(
    "cache",
    {
        "cached-data": "data-that-is-not-here",
        "cached-lists": "a-file-is-damaged",
        "cache-modes": "a-linked-file-was-edited",
        "cache-links": "a-link-that-cannot-be-made",
        "cached-objects": "a-file-is-damaged",
    },
)
NAMED = 3  # files that are told
BRING = "`dvc pull`, or `dvc repro` makes them again"
ANEW = "`rm` it in the cache, then `dvc fetch --all-commits`, or `dvc commit` where the right files lie here"
SAME_DISK = ("hardlink", "reflink")  # links of these kinds do not lead to another disk


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    root = project.repository.require_root()
    folder = project.storage.cache
    objects = held(folder)
    lists = {md5: listed_in(place) for md5, place in objects.items() if md5.endswith(LIST)}
    named = dict(_named(project, lists))
    yield GROUP.look("cached-data", lambda: _data(project, named, objects))
    if objects:
        yield GROUP.look("cached-lists", lambda: _lists(project, named, objects, lists))
        yield GROUP.look("cache-modes", lambda: _modes(folder, objects))
    yield GROUP.look("cache-links", lambda: _links(project, root, folder, set(named.values())))
    if objects and asked.deep:
        yield GROUP.look("cached-objects", lambda: _objects(project, named, objects, asked))


def held(cache: Path) -> dict[str, Path]:
    """{md5: place} of every whole object of a cache."""
    found = (cache / OBJECTS).glob("??/*")
    return {named_md5(path): path for path in found if path.is_file() and path.suffix != ".tmp"}


def named_md5(place: Path) -> str:
    """The md5 that an object of a cache is named by."""
    return f"{place.parent.name}{place.name}"


def listed_in(place: Path) -> dict[str, str] | None:
    """{name: md5} of a folder's files; None where its list is not what its name says, or no list."""
    text = place.read_bytes()
    try:
        return parse_list(text) if right_file(place, named_md5(place)) else None
    except ValueError:
        return None


def _named(project: Project, lists: dict[str, dict[str, str] | None]) -> Iterator[tuple[str, str]]:
    """(md5, path) of what dvc.lock and the customers' .dvc files name, also in folders whose list is here."""
    for path, md5 in data_md5s(project).items():
        yield md5, path
        yield from ((of_file, f"{path}/{name}") for name, of_file in (lists.get(md5) or {}).items())


def _data(project: Project, named: dict[str, str], objects: dict[str, Path]) -> Check:
    """By presence and size alone: `--deep` reads them."""
    if not named:
        return GROUP.warning(
            "cached-data", "no data is recorded here yet: there is no dvc.lock", "`dvc repro`"
        )
    missing = [path for md5, path in named.items() if md5 not in objects]
    wrong = {md5: path for md5, path in named.items() if _is_other(project, md5, path, objects)}
    if wrong:
        return _damaged(project, "cached-data", "of another size than dvc.lock says", wrong, objects)
    if len(missing) == len(named):
        message = f"none of the {len(named)} files and folders that dvc.lock names is in the cache yet"
        return GROUP.warning("cached-data", message, BRING)
    if missing:
        message = f"not in the cache: {some_of(missing, NAMED)}"
        return GROUP.warning("cached-data", message, BRING)
    return GROUP.ok("cached-data", f"all {len(named)} files and folders that dvc.lock names are there")


def _is_other(project: Project, md5: str, path: str, objects: dict[str, Path]) -> bool:
    """Whether an object is there, and dvc.lock says another size of it; of a folder's files it says none."""
    history = project.history
    size = history.locks[history.worktree].sizes.get(path) if history.worktree else None
    return (
        None not in (size, objects.get(md5))
        and not md5.endswith(LIST)
        and objects[md5].stat().st_size != size
    )


def _lists(
    project: Project, named: dict[str, str], objects: dict[str, Path], lists: dict[str, dict[str, str] | None]
) -> Check:
    wrong = {md5: named.get(md5, md5) for md5, listed in lists.items() if listed is None}
    if wrong:
        return _damaged(project, "cached-lists", "the list of a folder's files is damaged", wrong, objects)
    return GROUP.ok("cached-lists", f"the lists of {len(lists)} folders can be read")


def _objects(project: Project, named: dict[str, str], objects: dict[str, Path], asked: Asked) -> Check:
    """DVC itself believes an object that only may be read, whatever is in it."""
    wrong = {}
    for place, (md5, path) in enumerate(objects.items()):
        asked.tell(f"reading DVC's cache, {place:,} of {len(objects):,}")
        if not right_file(path, md5):
            wrong[md5] = named.get(md5, md5)
    if wrong:
        return _damaged(project, "cached-objects", "other bytes than their names say", wrong, objects)
    return GROUP.ok("cached-objects", f"all {len(objects):,} are what their names say")


def _damaged(
    project: Project, check: str, what: str, wrong: dict[str, str], objects: dict[str, Path]
) -> Check:
    """`wrong`: {md5: the path that is told}."""
    fixes = [fix for md5, path in wrong.items() for fix in _mends(project, objects[md5], path, md5)]
    return GROUP.problem(check, f"{what}: {some_of(list(wrong.values()), NAMED)}", ANEW, fixes)


def _mends(project: Project, place: Path, path: str, md5: str) -> list[Fix]:
    """What brings an object back: the list of a folder that lies here is made again, as DVC writes it."""
    folder = project.repository.require_root() / path
    if md5.endswith(LIST) and folder.is_dir():
        inside = hashes.md5s_inside(folder)
        if hashes.folder_md5(inside) == md5:
            return [WriteList(place, hashes.folder_list(inside))]
    return cached_again(project, place, path, md5)


def _modes(folder: Path, objects: dict[str, Path]) -> Check:
    writable = [path for path in objects.values() if stat.S_IMODE(path.stat().st_mode) != READ_ONLY]
    if writable:
        names = some_of([named_md5(path) for path in writable], 1)
        message = f"may be written to, so that who edits a linked file changes it: {names}"
        return GROUP.warning("cache-modes", message, None, [Protect(folder, tuple(sorted(writable)))])
    return GROUP.ok("cache-modes", "no object may be written to")


@dataclass(frozen=True)
class Protect(Fix):
    """Let objects of the cache be read only, where they are what their names say."""

    name = "protect"
    folder: Path
    paths: tuple[Path, ...]

    def apply(self, context: FixContext) -> str:
        wrong = []
        for path in self.paths:
            if right_file(path, named_md5(path)):
                path.chmod(READ_ONLY)
            else:
                wrong.append(str(path))
        if wrong:
            raise Unreachable(f"other bytes than their names say: {some_of(wrong, NAMED)}")
        return f"{len(self.paths)} objects of {self.folder} may only be read"


def _links(project: Project, root: Path, folder: Path, paths: set[str]) -> Check:
    dangling = [path for path in sorted(paths) if (root / path).is_symlink() and not (root / path).exists()]
    if dangling:
        message = f"links to what is not there: {some_of(dangling, NAMED)}"
        return GROUP.problem(
            "cache-links", message, "`dvc checkout --relink`, after `dvc fetch` if that asks for it"
        )
    kinds = project.storage.link_types
    told = f"files come from the cache as {' or '.join(kinds)}"
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    if there.stat().st_dev != root.stat().st_dev:
        possible = [kind for kind in kinds if kind not in SAME_DISK]
        if not possible:
            message = f"{told}, which is not possible: the cache lies on another disk"
            return GROUP.problem("cache-links", message, "`dvc config --local cache.type copy`")
        told = f"files come from the cache, on another disk, as {' or '.join(possible)}"
    return GROUP.ok("cache-links", told)
