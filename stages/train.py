"""train.parquet → models/churn-predictor/, models/provenance.json and metrics/train/, and a run."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages import environment, errors, files, model_folder, params, provenance, tracking
from stages.hashes import md5, unchanged
from stages.models import FAMILIES, Family, Sample
from stages.serving import features
from stages.split import held_out

TRAIN = Path("data/prepared/train.parquet")
PREPARED = Path("metrics/prepare/metrics.json")
LIVE = Path("metrics/train")


def main() -> None:
    environment.check()
    settings = params.load()
    family = settings.choice("train.model", FAMILIES)
    store = tracking.open_store(settings)
    run_id = store.create(settings["train.model"], {})
    with store.running(run_id), unchanged(TRAIN, PREPARED, environment.LOCK):
        frame = pd.read_parquet(TRAIN)
        columns = {k: v for k, v in settings["data.columns"].items() if v["type"] != "ignored"}
        learn = Sample(
            features(frame, columns), frame[settings["data.target.column"]].to_numpy()
        )
        validation = held_out(
            frame[settings["data.id"]],
            f"{settings['prepare.split_salt']} validation ",
            settings.number("train.validation_share", 0.01, 0.99),
        )
        model = fit(family, learn, validation, settings)

        lock = environment.pins(environment.LOCK.read_text(encoding="utf-8"))
        model_folder.write(
            provenance.FOLDER, family.file, lambda path: family.write(model, path), columns, lock
        )
        made = {path.as_posix(): md5(path) for path in sorted(provenance.FOLDER.iterdir())}
        given = files.read_json(PREPARED)["md5"] | {str(environment.LOCK): md5(environment.LOCK)}
        provenance.write(given | made, used(settings))
        tracking.complete(store, run_id, evaluated=False)


def fit(family: Family, learn: Sample, validation: np.ndarray, settings: params.Params) -> Any:
    """Draw the learning curve on a fixed fold, then fit the model to every customer.

    Raises UserError where the library refuses the settings, or would leave one of them unused.
    """
    name = settings["train.model"]
    block, seed = settings[f"models.{name}"], settings["seed"]
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            draw(family.curve(learn[~validation], learn[validation], block, seed))
            tracking.autolog(family.flavor)
            model = family.fit(learn, block, seed)
        unused = [str(warning.message) for warning in told if "are not used" in str(warning.message)]
        if unused:
            raise ValueError(unused[0])
    except (TypeError, ValueError) as error:
        raise errors.UserError(
            f"{name} refuses its settings: {str(error).strip()}\n"
            f"Cure: correct models.{name} in params.yaml."
        ) from error
    return model


def draw(curve: Any) -> None:
    """Write the learning curve with dvclive: rounded, so that no number of threads shows in it."""
    from dvclive import Live

    with Live(str(LIVE), dvcyaml=False, save_dvc_exp=False) as live:
        for step, point in curve:
            live.step = step
            for sample, metrics in point.items():
                for metric, value in metrics.items():
                    live.log_metric(f"{sample}/{metric}", round(float(value), 6))


def used(settings: params.Params) -> dict[str, Any]:
    """The params that decide the model's bytes: those that dvc.yaml declares for prepare and train."""
    return settings.subset(
        "data",
        "prepare",
        "seed",
        "train",
        f"models.{settings['train.model']}",
    )


if __name__ == "__main__":
    errors.run(main)
