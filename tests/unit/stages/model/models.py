"""Small models of each family, fitted to made-up customers, in a model folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.model import folder as model_folder
from stages.model.families import FAMILIES, Sample
from stages.model.serving import features

COLUMNS = {
    "tenure": {"type": "integer", "min": 0},
    "fee": {"type": "number", "nullable": True},
    "it's a plan": {"type": "category", "categories": ["1", "2", "Größe"], "nullable": True},
}
SETTINGS = {
    "xgboost": {"rounds": 5, "max_depth": 2},
    "logistic_regression": {"C": 1.0, "max_iter": 1000},
    "random_forest": {"n_estimators": 5, "min_samples_leaf": 2},
    "hist_gradient_boosting": {"max_iter": 5, "max_depth": 2},
}
PINS = {name: "1.0" for names in model_folder.NEEDS.values() for name in names}


def customers(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "tenure": rng.integers(0, 70, rows),
            "fee": rng.uniform(10, 100, rows).round(2),
            "it's a plan": rng.choice(["1", "2", "Größe"], rows),
        }
    )
    frame.loc[::7, "fee"] = None
    frame.loc[::11, "it's a plan"] = None
    return frame


def sample() -> Sample:
    raw = customers()
    target = (raw["tenure"] < 20).to_numpy().astype("int8")
    target[::9] = 1 - target[::9]
    return Sample(features(raw, COLUMNS), target)


def fit(name: str) -> Any:
    return FAMILIES[name].fit(sample(), dict(SETTINGS[name]), seed=1)


def write(folder: Path, name: str = "xgboost", model: Any = None) -> Any:
    """Write a model folder; the model in it."""
    family, model = FAMILIES[name], model or fit(name)
    model_folder.write(folder, family.file, lambda path: family.write(model, path), COLUMNS, PINS)
    return model
