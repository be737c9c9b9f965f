"""A registered model in BentoML's store, under a tag that names its content; and what serves it there."""

import shlex
import shutil
from pathlib import Path

from filelock import FileLock

from predictflow.adapters import bentoml_store
from predictflow.adapters.mlflow_entities import Version
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from predictflow.verification.content import copy_from_cache, known_model
from predictflow.verification.mlflow_files import folder_mismatches
from stages.support.errors import UserError
from stages.support.files import atomic_write
from stages.support.progress import progress

BUILDING = ".predictflow"  # in BentoML's folder: a store of its own, from which a whole model is moved
WRITTEN = "Written by `predictflow export bentoml`"
SERVICE = '''\
"""{tag}, served by BentoML.

{written}; start it with `bentoml serve {module}:Churn`.
"""

import bentoml
import pandas as pd
from mlflow.exceptions import MlflowException


@bentoml.service(name="{name}")
class Churn:
    model = bentoml.models.BentoModel("{tag}")

    def __init__(self) -> None:
        self.loaded = bentoml.mlflow.load_model(self.model)

    @bentoml.api
    def predict(self, rows: list[dict], ctx: bentoml.Context) -> list[float]:
        """The probability that each customer leaves; 400 where one does not fit, with row and column."""
        ctx.response.headers["model-content"] = "{content}"
        try:
            return self.loaded.predict(pd.DataFrame(rows)).tolist()
        except MlflowException as error:
            raise bentoml.exceptions.InvalidArgument(error.message) from error
'''


def tag_of(version: Version) -> str:
    """The model's name, and as BentoML's version its number and its content."""
    return f"{version.model.lower()}:v{version.number}-{version.content}"


def export_model(project: Project, version: Version, python: Path | None) -> bool:
    """Have a version in BentoML's store, whole; whether it had to be imported.

    A lock lets one import at a time, and a kill leaves nothing under the tag.

    Args:
        python: of the environment with BentoML, asked only where the tag is not there yet; by default the one
            beside the `bentoml` on the PATH.

    Raises UserError where it cannot be imported, or where other files stand under the tag.
    """
    tag, model = tag_of(version), known_model(project, version.content or "")
    store = bentoml_store.home()
    place = bentoml_store.place_of(store, tag)
    store.mkdir(parents=True, exist_ok=True)
    with progress(f"importing {tag}"), FileLock(store / f"{BUILDING}.lock"):
        missing = not place.exists()
        if missing:
            _import(project, version, model, python or bentoml_store.find_python(), place)
    _ensure_content(place, model, f"`rm -r {shlex.quote(str(place))}`, and ask again")
    return missing


def _import(project: Project, version: Version, model: Model, python: Path, place: Path) -> None:
    building, tag = bentoml_store.home() / BUILDING, tag_of(version)
    shutil.rmtree(building, ignore_errors=True)  # of one that was killed
    folder = building / "model"
    folder.mkdir(parents=True)
    copy_from_cache(project, model, folder)
    labels = {"content": model.content, "version": str(version.number)}
    bentoml_store.import_model(python, building, tag, folder, labels)
    made = bentoml_store.place_of(building, tag)
    _ensure_content(made, model, "ask again")
    place.parent.mkdir(parents=True, exist_ok=True)
    made.rename(place)
    (place.parent / "latest").unlink(missing_ok=True)  # BentoML finds the newest anew
    shutil.rmtree(building)


def _ensure_content(place: Path, model: Model, cure: str) -> None:
    """Raise UserError where what stands in a store is not the model."""
    mismatches = list(folder_mismatches(place / "mlflow_model", model, str(place / "mlflow_model")))
    if mismatches:
        reasons = "\n".join(f"  {mismatch.message}" for mismatch in mismatches)
        raise UserError(f"{place} is not the content {model.content}:\n{reasons}\nCure: {cure}.")


def write_service(path: Path, version: Version) -> None:
    """Write the service of a version. Raises UserError for a file that no export has written."""
    if path.exists() and WRITTEN not in path.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{path} is a file of yours.\nCure: name another one with --service.")
    text = SERVICE.format(
        tag=tag_of(version), name=version.model, content=version.content, module=path.name, written=WRITTEN
    )
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
