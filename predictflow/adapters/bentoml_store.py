"""BentoML's store of models. BentoML cannot live beside this project's pins: a Python of another environment,
which has it, is asked."""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from predictflow.adapters import processes
from predictflow.adapters.processes import Children
from stages.support.errors import UserError

NEEDS = "'bentoml>=1.4.39,<2'"  # without the first bound, pip silently takes 0.9
MAKE = (
    f"`uv venv ../bentoml && uv pip install --python ../bentoml {NEEDS} -r"
    " models/churn-predictor/requirements.txt`, then `--python ../bentoml/bin/python`."
)
IMPORT = """\
import json, sys
import bentoml.mlflow
tag, folder, labels = sys.argv[1:]
bentoml.mlflow.import_model(tag, folder, labels=json.loads(labels))
"""


def home() -> Path:
    """The folder of BentoML's stores."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml").absolute()


def place_of(store: Path, tag: str) -> Path:
    """Where a store keeps a model."""
    return store / "models" / tag.replace(":", "/")


def find_python() -> Path:
    """The Python beside the `bentoml` on the PATH. Raises UserError where there is none."""
    command = shutil.which("bentoml")
    python = Path(command).resolve().with_name("python") if command else None
    if python is None or not python.exists():
        raise UserError(f"no `bentoml` is on the PATH: it lives in an environment of its own.\nCure: {MAKE}")
    return python


def import_model(python: Path, store: Path, tag: str, folder: Path, labels: Mapping[str, str]) -> None:
    """Let BentoML import an MLflow model's folder into a store. Raises UserError where that Python cannot."""
    if not python.is_file():
        raise UserError(f"there is no Python at {python}.\nCure: {MAKE}")
    if python.parents[1].samefile(sys.prefix):
        raise UserError(
            f"{python} is this project's own, whose packages the locks decide; BentoML needs others.\n"
            f"Cure: {MAKE}"
        )
    log = store / "log"
    env = processes.environ() | {
        "BENTOML_HOME": str(store),
        "BENTOML_DO_NOT_TRACK": "True",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": (store / "mlruns").as_uri(),  # it asks none, but would make one
    }
    words = [str(python), "-c", IMPORT, tag, str(folder), json.dumps(labels)]
    try:
        failed, told = Children().run(words, store, env, log), processes.end_of(log)
    except OSError as error:
        failed, told = True, f"  | {error.strerror}"
    if failed:
        raise UserError(
            f"{python} cannot import {tag} into BentoML's store:\n{told}\n"
            f"Cure: `uv pip install --python {python} {NEEDS} -r models/churn-predictor/requirements.txt`."
        )
