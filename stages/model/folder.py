"""models/churn-predictor/: an MLflow model whose every byte is repeatable.

MLflow's `save_model` writes a uuid, the time, absolute paths and the patch levels of Python and pip into
the folder. These templates hold what loading needs and nothing else.
"""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.model import load_serving, serving
from stages.support import files

SERVING, LOADER = Path(serving.__file__), Path(load_serving.__file__)
UNDATED = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
NEEDS = {  # what scores a model of this file
    "model.ubj": ["mlflow", "numpy", "pandas", "xgboost"],
    "model.skops": ["mlflow", "numpy", "pandas", "scikit-learn", "skops"],
}
KEPT = ("type", "categories", "min", "max", "nullable", "fill")  # of a column's declaration

MLMODEL = """\
flavors:
  python_function:
    code: load_serving.zip
    env:
      virtualenv: python_env.yaml
    loader_module: load_serving
mlflow_version: {mlflow}
signature:
  inputs: '{inputs}'
  outputs: '[{{"type": "double", "name": "churn_probability", "required": true}}]'
  params: null
"""

PYTHON_ENV = """\
python: '3.11'
build_dependencies: []
dependencies:
- -r requirements.txt
"""


def write(
    folder: Path,
    file: str,
    write_model: Callable[[Path], None],
    columns: dict[str, dict[str, Any]],
    pins: dict[str, str],
) -> None:
    """Write the folder, in place of the one that is there.

    Args:
        file: the model's file in it; `write_model` writes it.
        columns: the columns the model learned from, as declared in params.yaml.
        pins: {package: version} of requirements.lock.
    """
    building = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    write_model(building / file)
    shutil.copyfile(SERVING, building / "serving.py")
    with zipfile.ZipFile(building / "load_serving.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(LOADER.name, UNDATED), LOADER.read_bytes())
    kept = {name: {key: spec[key] for key in KEPT if key in spec} for name, spec in columns.items()}
    files.write_json(building / "schema.json", {"columns": kept})
    inputs = json.dumps([_signature(name) for name in sorted(columns)])
    texts = {
        "MLmodel": MLMODEL.format(mlflow=pins["mlflow"], inputs=inputs.replace("'", "''")),
        "python_env.yaml": PYTHON_ENV,
        "requirements.txt": "".join(f"{name}=={pins[name]}\n" for name in NEEDS[file]),
    }
    for name, text in texts.items():
        (building / name).write_text(text, encoding="utf-8", newline="\n")
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)


def _signature(name: str) -> dict[str, Any]:
    """Of MLflow's types `double` refuses the integers of `read_csv`, and `string` a category that looks
    like a number; of a column that must be there MLflow says only in the end which one is missing. As `any`
    that need not be there, all come through to serving.py, which refuses what does not fit."""
    return {"type": "any", "name": name, "required": False}
