"""MLflow's way into a model folder: it runs the folder's serving.py, from its source.

`train` puts this file into an archive, `load_serving.zip`, for MLflow imports it by name, and Python
would run byte code that lies beside a plain file in its stead. An archive holds what it was given.
"""

import types
from pathlib import Path
from typing import Any


def module(folder: Path) -> types.ModuleType:
    """The serving.py of a folder as a module of its own: two folders' do not mix in one process."""
    file = folder / "serving.py"
    serving = types.ModuleType("serving_of_a_folder")
    serving.__file__ = str(file)
    exec(compile(file.read_bytes(), str(file), "exec"), serving.__dict__)
    return serving


def _load_pyfunc(folder: str) -> Any:
    serving = module(Path(folder))
    return serving.MLflowModel(serving.Model(folder))
