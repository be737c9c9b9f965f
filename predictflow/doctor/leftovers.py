"""What a killed command has left: where it lies, and the fixes that remove it, or take back
what it broke, while nobody is at work."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from predictflow.adapters import processes
from predictflow.adapters.dvc_commands import hold_dvc_lock
from predictflow.adapters.dvc_files import CUSTOMERS, DVC_LOCK, RECORDS, parse_lock
from predictflow.adapters.dvc_leftovers import TEMPORARY, half_written
from predictflow.adapters.git import Repository
from predictflow.audit.fixes import Fix, FixContext
from predictflow.errors import Unreachable
from predictflow.formatting import some_of
from stages.support import hashes
from stages.support.files import atomic_write
from stages.support.paths import MARKER

NAMED = 3  # things that are told
# Where DVC writes beside the cache; what lies in .dvc/tmp is of commands that may go on.
WRITTEN_TO = (":(glob)**/*.tmp", ":(exclude).venv", ":(exclude).dvc")


def leftovers(repository: Repository, cache: Path | None) -> Iterator[Path]:
    """Half-written files and folders in the working tree and the cache, never one that Git knows: by the
    names that DVC and the stages give to what is not whole yet."""
    root = repository.require_root()
    listed = repository.read("ls-files", "-z", "--others", "--", *WRITTEN_TO).split("\0")
    yield from (root / name for name in listed if TEMPORARY.fullmatch(Path(name).name))
    for path in map(Path, _written(root)):
        building = root / path.with_name(f".{path.name}.tmp")
        if building.exists() and not repository.read("ls-files", "--", str(building)):
            yield building
    if cache:
        yield from half_written(cache)


def _written(root: Path) -> set[str]:
    """What the stages and these commands write."""
    lock = root / DVC_LOCK
    named = parse_lock(lock.read_bytes()).md5s if lock.is_file() else {}
    return {CUSTOMERS, MARKER.as_posix(), *RECORDS, *named}


@dataclass(frozen=True)
class RemoveLeftovers(Fix):
    """Remove what killed commands have half written, while none can begin."""

    name = "remove"
    paths: tuple[Path, ...]

    def apply(self, context: FixContext) -> str:
        root = context.project.repository.require_root()
        with hold_dvc_lock(root):
            ensure_nobody_works(root, *self.paths)
            for path in self.paths:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        return (
            f"half-written, and gone: {some_of([str(path.relative_to(root)) for path in self.paths], NAMED)}"
        )


@dataclass(frozen=True)
class DropLock(Fix):
    """Remove a lock of which it is certain that nobody holds it."""

    name = "drop"
    path: Path

    def apply(self, context: FixContext) -> str:
        root = context.project.repository.require_root()
        with hold_dvc_lock(root):
            ensure_nobody_works(root)
            (root / self.path).unlink(missing_ok=True)
        return f"{self.path} is gone: nobody held it"


@dataclass(frozen=True)
class TakeLockBack(Fix):
    """Write HEAD's dvc.lock over one that DVC cannot read; what that told of a run is in DVC's run cache."""

    name = "take HEAD's dvc.lock back over"
    broken: str  # its md5
    recorded: str  # the id of HEAD's

    def apply(self, context: FixContext) -> str:
        repository = context.project.repository
        root = repository.require_root()
        path = root / DVC_LOCK
        with hold_dvc_lock(root):
            ensure_nobody_works(root)
            if hashes.md5(path) != self.broken:
                raise Unreachable(f"{DVC_LOCK} has changed meanwhile")
            ((_, whole),) = repository.blobs([self.recorded])
            with atomic_write(path) as temporary:
                temporary.write_bytes(whole)
        return f"{DVC_LOCK} is HEAD's again: `dvc repro` goes on from there"


def ensure_nobody_works(root: Path, *files: Path) -> None:
    """Raises Unreachable while a command is at work in the project, or any process writes one of these files,
    as one of another project with the same cache: what it writes is no leftover."""
    if busy := [*processes.at_work(root), *processes.holding(*files)]:
        raise Unreachable(f"commands are at work: {some_of(busy, NAMED)}")
