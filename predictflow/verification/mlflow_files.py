"""Where MLflow has the files of a model, and how they may not be the model's."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from predictflow.adapters.mlflow_client import download
from predictflow.adapters.mlflow_entities import RUN_ID, Run, Version
from predictflow.errors import Unreachable, masked
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from stages.support import hashes
from stages.support.paths import PROVENANCE
from stages.tracking.store import own_artifacts

COMPILED = "__pycache__"  # where Python keeps the byte code of what it has imported
# What MLflow puts beside the files of a registered model that it loads, and nothing else in it.
MARK = "registered_model_meta"
MARK_SIZE = 1000  # bytes
OF_MARK = re.compile(rb"(model_name: [^\n]+\n)?(model_version: [^\n]+\n)?")


@dataclass(frozen=True)
class Mismatch:
    """A place that does not say of a model what the others say.

    Attributes:
        kind: content (the version carries none), run (its run made another), commit (no branch or tag has
            it), git (what was committed), tags (its md5s in the registry), cache (other bytes there), not
            here (none in the cache), address (MLflow has its files where another's are), files (MLflow's),
            tree (the working tree's).
        message: a sentence, for people.
        path: the file or folder that is not what it should be; None where it is none.
        md5: what a file should be; None for one that should not be there, and for a folder.
    """

    kind: str
    message: str
    path: Path | None = None
    md5: str | None = None


def differ(path: object, md5: str | None, by: object, other: str | None, at: str) -> str:
    """That a path has one md5 by one source, and another, or none, by another."""
    named, others = (f"the md5 {digest}" if digest else "no md5" for digest in (md5, other))
    return f"{path} has {named} by {by}, but {others} by {at}"


@dataclass(frozen=True)
class Artifacts:
    """Where MLflow keeps a model.

    Attributes:
        name: of the version or run whose model it is, for people.
        source: the address of the files, as MLflow reads them.
        meant: the addresses that the files of this run may have; empty where MLflow does not know the run.
    """

    name: str
    run_id: str
    source: str
    meant: tuple[str, ...]

    @classmethod
    def of_run(cls, run: Run) -> "Artifacts":
        return cls(f"run {run.id}", run.id, f"{run.artifacts.rstrip('/')}/model", _meant(run))

    @classmethod
    def of_version(cls, project: Project, version: Version) -> "Artifacts":
        run = project.runs.with_id(version.run_id)
        meant = _meant(run) if run else ()
        return cls(version.name, version.run_id or "", version.source, meant)

    @property
    def misplaced(self) -> bool:
        """Whether their address is another's: MLflow keeps a run's files in a folder named by the run."""
        if self.meant:
            return self.source not in self.meant
        return not self.source.endswith(f"/{self.run_id}/artifacts/model")

    @property
    def own(self) -> Path | None:
        """The run's own folder where the store lies now, to which alone a fix may write; None at a server."""
        return own_folder(self.run_id)

    @property
    def folders(self) -> list[Path]:
        """The folders on this machine in which MLflow has them: at their address, which is of the place where
        the store lay when the run was made, and where the store lies now."""
        places = [_path(self.source) if self.is_local and not self.misplaced else None, self.own]
        return [folder for folder in dict.fromkeys(places) if folder and folder.is_dir()]

    @property
    def is_local(self) -> bool:
        """Whether they lie in a folder, of this machine or of a server's."""
        return urlsplit(self.source).scheme in ("", "file")


def own_folder(run_id: str) -> Path | None:
    """Where a run's model lies in the project's own store; None at a server, or for what is no run's id."""
    own = own_artifacts()
    return own / run_id / "artifacts/model" if own and RUN_ID.fullmatch(run_id) else None


def _meant(run: Run) -> tuple[str, ...]:
    own = own_folder(run.id)
    at_home = f"{run.home.rstrip('/')}/{run.id}/artifacts/model"
    return (own.as_uri(), at_home) if own else (at_home,)


def _path(address: str) -> Path:
    parts = urlsplit(address)
    return Path(unquote(parts.path) if parts.scheme else address)


def artifact_mismatches(project: Project, artifacts: Artifacts, model: Model) -> Iterator[Mismatch]:
    """The model's files as MLflow would serve them; where they cannot be seen, `project.unseen` says so."""
    unseen = f"MLflow's own files of {artifacts.name}"
    if artifacts.misplaced:
        whose = f"the address of {artifacts.name}, {masked(artifacts.source)}, is not that of its run"
        yield Mismatch("address", f"{whose} {artifacts.run_id or '(none)'}")
        if artifacts.own is None:
            return
    elif not artifacts.is_local:
        with tempfile.TemporaryDirectory() as folder:
            try:
                copy = download(artifacts.source, Path(folder))
            except Unreachable as error:
                project.gaps.note(f"{unseen}: {error}")
                return
            for mismatch in folder_mismatches(copy, model, masked(artifacts.source)):
                yield replace(mismatch, path=None)  # what was brought here goes again
        return
    folders, path = artifacts.folders, _path(artifacts.source)
    if not folders and artifacts.own is None:
        project.gaps.note(f"{unseen}: {path} is a folder of the server's, or of who registered it")
    elif not folders:
        where = artifacts.own if artifacts.misplaced else path
        message = f"MLflow's files of {artifacts.name} are not there: {where}"
        yield Mismatch("files", message, artifacts.own)
    for place in folders:
        if link := link_in(place, 3):  # the folder itself, `artifacts`, and the one named by the run
            message = f"{link} is a link to {link.readlink()}, not a folder of {artifacts.name}'s own"
            yield Mismatch("files", message, link)
        else:
            yield from folder_mismatches(place, model, str(place))


def link_in(path: Path, depth: int) -> Path | None:
    """The first link among the last `depth` parts of a path."""
    parts = [path, *path.parents][:depth]
    return next((part for part in reversed(parts) if part.is_symlink()), None)


def folder_mismatches(folder: Path, model: Model, address: str) -> Iterator[Mismatch]:
    """How the files of a folder are not the model's.

    Args:
        address: the folder as a person knows it.
    """
    for name, md5 in model.files.items():
        path, what = folder / name, f"{address}/{name}"
        if path.is_symlink():
            yield Mismatch("files", f"{what} is a link to {path.readlink()}, and no file", path, md5)
        elif not path.is_file():
            yield Mismatch("files", f"{what} (md5 {md5} by {PROVENANCE}) is not there", path, md5)
        elif (now := hashes.md5(path)) != md5:
            yield Mismatch("files", differ(what, md5, PROVENANCE, now, "its own bytes"), path, md5)
    for path in other_files(folder, model):
        what = f"{address}/{path.relative_to(folder)}"
        message = f"{what} is not named by {PROVENANCE}, and is no file but a link or a device"
        if path.is_file() and not path.is_symlink():
            message = differ(what, None, PROVENANCE, hashes.md5(path), "its own bytes")
        yield Mismatch("files", message, path)


def other_files(folder: Path, model: Model) -> list[Path]:
    """What lies in a model's folder, hidden or not, and is none of its files; plain folders are not told."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or not path.is_dir())
        and str(path.relative_to(folder)) not in model.files
        and not _is_mark(path, folder)
    ]


def _is_mark(path: Path, folder: Path) -> bool:
    """Whether it is what MLflow writes beside the files of a registered model that it loads."""
    if path != folder / MARK or path.is_symlink() or not path.is_file() or path.stat().st_size > MARK_SIZE:
        return False
    return OF_MARK.fullmatch(path.read_bytes()) is not None


def byte_code(path: Path) -> bool:
    """Whether a file is where Python keeps the byte code of what it has imported."""
    return path.parent.name == COMPILED and path.suffix == ".pyc"
