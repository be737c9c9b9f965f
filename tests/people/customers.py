"""Another company's customers: members of gyms, in a file that could hardly be less like the telco's."""

from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

COLUMNS = {
    "Größe (m)": {"type": "number", "min": 1.0, "max": 2.5, "nullable": True},
    "visits": {"type": "integer", "min": 0},
    "fee": {"type": "number", "min": 0, "fill": 30.5},
    "plan": {"type": "category", "categories": ["1", "2", "3"]},
    "trainer": {"type": "category", "categories": ["true", "false"], "fill": "false"},
    "city": {"type": "category", "categories": ["Köln", "Lyon", "Łódź"], "nullable": True},
    "remark": {"type": "ignored"},
}


def members(rows: int = 600, seed: int = 7) -> pd.DataFrame:
    """Members, as text and as they would stand in the file."""
    rng = np.random.default_rng(seed)
    visits, fee = rng.integers(0, 30, rows), rng.uniform(10, 60, rows).round(2)
    plan = rng.integers(1, 4, rows)
    chance = 1 / (1 + np.exp(0.3 * visits - 0.05 * fee - 0.4 * plan))
    frame = pd.DataFrame(
        {
            "remark": [f'said "{word}; maybe"' for word in rng.choice(["yes", "no"], rows)],
            "left": np.where(rng.random(rows) < chance, "1", "0"),
            "member": [f"M-{number}" for number in range(rows)],
            "plan": plan.astype(str),
            "visits": visits.astype(str),
            "fee": [f"{value:.2f}".replace(".", ",") for value in fee],
            "Größe (m)": [f"{value:.2f}".replace(".", ",") for value in rng.uniform(1.5, 2, rows)],
            "trainer": rng.choice(["true", "false"], rows),
            "city": rng.choice(["Köln", "Lyon", "Łódź"], rows),
        }
    )
    for name, share in {"Größe (m)": 0.1, "fee": 0.05, "trainer": 0.05, "city": 0.1}.items():
        frame.loc[rng.random(rows) < share, name] = "n/a"
    return frame


def write_members(path: Path, frame: pd.DataFrame | None = None) -> None:
    frame = members() if frame is None else frame
    frame.to_csv(path, index=False, sep=";", encoding="utf-16", lineterminator="\n")


def declare_members(path: Path) -> None:
    """Edit params.yaml, and nothing else, for the members."""
    yaml = YAML()
    params = yaml.load(path)
    params["data"] = {
        "delimiter": ";",
        "encoding": "utf-16",
        "decimal": ",",
        "missing": ["n/a"],
        "id": "member",
        "target": {"column": "left", "positive": "1", "negative": "0"},
        "columns": COLUMNS,
    }
    params["models"]["xgboost"]["rounds"] = 30
    params["models"]["random_forest"]["n_estimators"] = 20
    params["models"]["hist_gradient_boosting"]["max_iter"] = 20
    for decision in ("register", "promote"):
        params[decision]["gate"] = {"minimum": {"roc_auc": 0.6}}
    yaml.dump(params, path)
