"""Fixes of files: the right bytes come to where they are missed, and nothing is written through a link."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from predictflow.adapters.dvc_storage import right_file
from predictflow.audit.fixes import Fix, FixContext
from predictflow.errors import Unreachable
from stages.support import files, hashes
from stages.tracking.store import own_artifacts

READ_ONLY = 0o444  # as DVC keeps the files of its cache


@dataclass(frozen=True)
class CopyFile(Fix):
    """Bring the right bytes to a file from where they are on this machine."""

    name = "copy"
    source: Path
    target: Path
    md5: str

    def apply(self, context: FixContext) -> str:
        in_cache = self.target == context.project.storage.place(self.md5)
        ensure_own(self.target)
        with files.atomic_write(self.target) as temporary:
            temporary.unlink(missing_ok=True)  # it may be a link
            shutil.copyfile(self.source, temporary)
            if hashes.md5(temporary) != self.md5:
                raise Unreachable(f"{self.source} has changed meanwhile")
            if in_cache:
                temporary.chmod(READ_ONLY)
        return f"{self.target} is {self.source} again"


@dataclass(frozen=True)
class DropIndex(Fix):
    """Remove the index of Git's history: the next command that asks makes it anew."""

    name = "drop"
    path: Path

    def apply(self, context: FixContext) -> str:
        self.path.unlink(missing_ok=True)
        return f"{self.path} is gone: it is made anew from Git"


@dataclass(frozen=True)
class WriteList(Fix):
    """Write the list of a folder's files into DVC's cache."""

    name = "write"
    target: Path
    text: str

    def apply(self, context: FixContext) -> str:
        with files.atomic_write(self.target) as temporary:
            temporary.unlink(missing_ok=True)
            temporary.write_text(self.text, encoding="utf-8")
            temporary.chmod(READ_ONLY)
        return f"{self.target} lists the model's files again"


@dataclass(frozen=True)
class Download(Fix):
    """Bring a file into DVC's cache from the default remote."""

    name = "download"
    md5: str

    def apply(self, context: FixContext) -> str:
        storage = context.project.storage
        if not storage.on_remote([self.md5], True):
            raise Unreachable(f"the remote {storage.remote} has no {self.md5}")
        place = storage.place(self.md5)
        before = place.with_name(f".{place.name}.tmp")
        if place.exists():  # DVC would take other bytes for these
            place.replace(before)
        try:
            storage.fetch([self.md5])
            if not right_file(place, self.md5):
                raise Unreachable(f"what the remote {storage.remote} has as {self.md5} are other bytes")
        except BaseException:
            if before.exists():
                before.replace(place)
            raise
        before.unlink(missing_ok=True)
        return f"{self.md5} is in DVC's cache, from the remote {storage.remote}"


@dataclass(frozen=True)
class RemoveByteCode(Fix):
    """Remove what Python has kept of an import: it makes it again, and nothing says who made this."""

    name = "remove"
    path: Path

    def apply(self, context: FixContext) -> str:
        ensure_own(self.path)
        self.path.unlink(missing_ok=True)
        return f"{self.path} is gone: byte code that nothing tells of"


def ensure_own(path: Path) -> None:
    """Raises Unreachable where a folder of MLflow's that a place lies in is a link: it is another's."""
    own = own_artifacts()
    above = [folder for folder in path.parents if own and folder.is_relative_to(own) and folder != own]
    if link := next((folder for folder in above if folder.is_symlink()), None):
        raise Unreachable(f"{link} is a link to {link.readlink()}, where others' files may be")
