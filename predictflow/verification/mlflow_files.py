"""Where MLflow has the files of a model, and how they may not be the model's."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from predictflow.adapters.mlflow_client import download
from predictflow.adapters.mlflow_entities import Run, Version
from predictflow.errors import Unreachable, masked
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from stages.support import hashes
from stages.support.paths import PROVENANCE
from stages.tracking.store import SQLITE, tracking_uri

# What MLflow and Python put beside the files of a model that they load.
BESIDE = {"registered_model_meta"}
COMPILED = "__pycache__"


@dataclass(frozen=True)
class Mismatch:
    """A place that does not say of a model what the others say.

    Attributes:
        kind: content (the version carries none), run (its run made another), commit (no branch or tag has
            it), git (what was committed), tags (its md5s in the registry), cache (other bytes there), not
            here (none in the cache), files (MLflow's), tree (the working tree's).
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
    """

    name: str
    run_id: str | None
    source: str

    @classmethod
    def of_run(cls, run: Run) -> "Artifacts":
        return cls(f"run {run.id}", run.id, f"{run.artifacts.rstrip('/')}/model")

    @classmethod
    def of_version(cls, version: Version) -> "Artifacts":
        return cls(version.name, version.run_id, version.source)

    @property
    def is_local(self) -> bool:
        """Whether they lie in a folder, of this machine or of a server's."""
        return urlsplit(self.source).scheme in ("", "file")

    @property
    def path(self) -> Path:
        """Where the database says that they are, if they are local."""
        address = urlsplit(self.source)
        return Path(unquote(address.path) if address.scheme else self.source)

    def moved(self, path: Path) -> Path | None:
        """Where a folder lies after its store was moved: the same path under the store's folder.

        MLflow's database names it by the place where the store lay when the run was made.
        """
        uri = tracking_uri()
        if self.run_id not in path.parts or not uri.startswith(SQLITE):
            return None
        folder = Path(uri.removeprefix(SQLITE)).parent
        ends = range(1, path.parts.index(self.run_id) + 1)
        return next((there for at in ends if (there := folder.joinpath(*path.parts[at:])).is_dir()), None)


def folders_in_store(artifacts: Artifacts) -> list[Path]:
    """The folders on this machine in which MLflow has the files of a model."""
    if not artifacts.is_local:
        return []
    places = dict.fromkeys([artifacts.path, artifacts.moved(artifacts.path)])
    return [folder for folder in places if folder and folder.is_dir()]


def artifact_mismatches(project: Project, artifacts: Artifacts, model: Model) -> Iterator[Mismatch]:
    """The model's files as MLflow would serve them; where they cannot be seen, `project.unseen` says so."""
    unseen = f"MLflow's own files of {artifacts.name}"
    if not artifacts.is_local:
        with tempfile.TemporaryDirectory() as folder:
            try:
                copy = download(artifacts.source, Path(folder))
            except Unreachable as error:
                project.gaps.note(f"{unseen}: {error}")
                return
            for mismatch in folder_mismatches(copy, model, masked(artifacts.source)):
                yield replace(mismatch, path=None)  # what was brought here goes again
        return
    path, folders = artifacts.path, folders_in_store(artifacts)
    if not folders and not tracking_uri().startswith(SQLITE):
        project.gaps.note(f"{unseen}: {path} is a folder of the server's, or of who registered it")
    elif not folders:
        above = path.parent if path.parent.is_dir() else artifacts.moved(path.parent)
        message = f"MLflow's files of {artifacts.name} are not there: {path}"
        yield Mismatch("files", message, above and above / path.name)
    for place in folders:
        yield from folder_mismatches(place, model, str(place))


def folder_mismatches(folder: Path, model: Model, address: str) -> Iterator[Mismatch]:
    """How the files of a folder are not the model's.

    Args:
        address: the folder as a person knows it.
    """
    for name, md5 in model.files.items():
        path, what = folder / name, f"{address}/{name}"
        if not path.is_file():
            yield Mismatch("files", f"{what} (md5 {md5} by {PROVENANCE}) is not there", path, md5)
        elif (now := hashes.md5(path)) != md5:
            yield Mismatch("files", differ(what, md5, PROVENANCE, now, "its own bytes"), path, md5)
    for path in other_files(folder, model):
        what = f"{address}/{path.relative_to(folder)}"
        yield Mismatch("files", differ(what, None, PROVENANCE, hashes.md5(path), "its own bytes"), path)


def other_files(folder: Path, model: Model) -> list[Path]:
    """Files in a model's folder that are none of the model's."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and COMPILED not in path.parts
        and str(path.relative_to(folder)) not in BESIDE | model.files.keys()
    ]
