"""A model's folder, brought from wherever its files lie; each of them is held against Git's md5 first."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from predictflow.adapters.mlflow_client import download
from predictflow.errors import CouldNotTell, Unreachable
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from predictflow.verification.mlflow_files import Artifacts
from stages.support import hashes
from stages.support.paths import MODEL_FOLDER


@contextmanager
def model_folder(project: Project, model: Model) -> Iterator[Path]:
    """A temporary folder with the files of a model, and no other.

    They come from DVC's cache, the working tree, MLflow's store, the default remote or MLflow's server:
    whichever has the right bytes first. A place with others is told in `project.unseen`.

    Raises CouldNotTell where a file is in none of them.
    """
    with tempfile.TemporaryDirectory() as here:
        folder, copies = Path(here, MODEL_FOLDER.name), Path(here, "copies")
        folder.mkdir()
        missing = dict(model.files)
        nearby = _nearby(project, model)
        _take(project, folder, missing, lambda name, md5: [*_cached(project, md5), *_in(nearby, name)])
        if missing:
            project.look(lambda: project.storage.fetch(missing.values()), None)
            _take(project, folder, missing, lambda _, md5: _cached(project, md5))
        if missing:
            brought = _from_server(project, model, copies)
            _take(project, folder, missing, lambda name, _: _in(brought, name))
        if missing or not model.files:
            raise _not_here(project, model, missing)
        yield folder


def _take(
    project: Project, folder: Path, missing: dict[str, str], places: Callable[[str, str], list[Path]]
) -> None:
    """Copy those of the files that are missing, by {name: md5}, of which a place has the right bytes."""
    for name, md5 in list(missing.items()):
        for place in places(name, md5):
            if not place.is_file():
                continue
            shutil.copyfile(place, folder / name)
            if (now := hashes.md5(folder / name)) == md5:  # of the copy, which nobody else can change
                del missing[name]
                break
            project.gaps.note(f"{place}: its md5 is {now}, not {md5}, so it was not used")


def _in(folders: list[Path], name: str) -> list[Path]:
    return [folder / name for folder in folders]


def _cached(project: Project, md5: str) -> list[Path]:
    return project.look(lambda: [project.storage.place(md5)], [])


def _nearby(project: Project, model: Model) -> list[Path]:
    """The working tree's folder, and those that MLflow has on this machine."""
    root = project.repository.root
    of_tree = [root / MODEL_FOLDER] if root else []
    return [*of_tree, *(folder for artifacts in _artifacts(project, model) for folder in artifacts.folders)]


def _from_server(project: Project, model: Model, copies: Path) -> list[Path]:
    """What MLflow's server or bucket gives."""
    folders = []
    for artifacts in _artifacts(project, model):
        if not artifacts.is_local and not artifacts.misplaced:
            copy = copies / artifacts.run_id
            copy.mkdir(parents=True)
            try:
                folders.append(download(artifacts.source, copy))
            except Unreachable as error:
                project.gaps.note(str(error))
    return folders


def _artifacts(project: Project, model: Model) -> list[Artifacts]:
    return [Artifacts.of_run(run) for run in project.runs.get(model.content, [])]


def _not_here(project: Project, model: Model, missing: dict[str, str]) -> CouldNotTell:
    names = ", ".join(sorted(missing)) or "every file"
    looked = "".join(f"\n  {reason}" for reason in project.unseen)
    return CouldNotTell(
        f"the model {model.content} is not here: {names} of its folder, with the md5 that Git has, is neither"
        f" in DVC's cache nor in the working tree, in MLflow's store or at the default remote.{looked}\n"
        f"Cure: `dvc fetch --all-commits {MODEL_FOLDER}` brings it from a remote that has it (`dvc remote"
        " list`); `predictflow rebuild` makes it again."
    )
