"""train.parquet → models/churn-predictor/, models/provenance.json and metrics/train/, and a run."""

from stages.support import environment, errors
from stages.support.paths import REQUIREMENTS

if __name__ == "__main__":
    errors.run(environment.check)  # before the imports below: they are what it checks

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet

from stages.data.split import held_out
from stages.model import dask_engine, prepared
from stages.model import folder as model_folder
from stages.model.cuda import ensure_cuda
from stages.model.families import FAMILIES, Family, Sample, XGBoost
from stages.support import files, git, params
from stages.support.hashes import ensure_unchanged, md5, md5s
from stages.support.model_settings import cpu_family_notes
from stages.support.parallel import beside, finish
from stages.support.paths import MODEL_FOLDER, PREPARED, PROVENANCE, TRAIN
from stages.support.progress import progress
from stages.tracking import provenance
from stages.tracking.runs import autolog, complete
from stages.tracking.store import open_store, reach

LIVE = Path("metrics/train")
ON_THE_CURVE = 200_000  # customers, about: drawn from all of them, it would take longer than the model


def main() -> None:
    settings = params.load()
    family = FAMILIES[settings["train.model"]]
    reach()
    if not git.state()["git.commit"]:
        raise errors.UserError("there is no Git commit to train on yet.\nCure: `git add . && git commit`.")
    # Two fits run at once: threads that waited by spinning would take each other's cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    ensure_ready(settings)
    inputs = md5s(TRAIN, PREPARED, REQUIREMENTS)
    with beside(draw_curve, settings) as curve:
        store = open_store(settings)
        run_id = store.create(settings["train.model"])
        with store.running(run_id):
            autolog(family.flavor)
            told = f"{settings['train.model']} learns from {count_customers()} customers"
            chosen = settings[f"models.{settings['train.model']}"]
            print(told, *cpu_family_notes(settings["train.model"], chosen), sep="\n", flush=True)
            with progress(told), settings_refused(settings):
                model = ENGINES[settings["train.engine"]](family, settings)
                finish(curve)
            write(family, model, settings)
            ensure_unchanged(inputs)
            params.ensure_unchanged(used, settings)
            complete(store, run_id, evaluated=False)
    print(f"content {md5(PROVENANCE)}: the model, its data, environment and params")


def ensure_ready(settings: params.Params) -> None:
    """Raise UserError where train.engine or train.device is not to be had here: before anything is fitted."""
    if settings["train.device"] == "cuda":
        ensure_cuda()
    if settings["train.engine"] == "dask":
        dask_engine.check(settings["train.workers"])


def learn_here(family: Family, settings: params.Params) -> Any:
    """The model, fitted in this process."""
    own = settings[f"models.{settings['train.model']}"]
    device = {"device": "cuda"} if settings["train.device"] == "cuda" else {}
    return family.fit(customers(settings), own | device, settings["seed"])


def learn_over_dask(family: XGBoost, settings: params.Params) -> Any:
    """The model, fitted by the workers of a cluster."""
    parts = dask_engine.cut(batches(settings), count_customers(), settings["train.partitions"])
    params_and_rounds = family.options(settings[f"models.{settings['train.model']}"], settings["seed"])
    return dask_engine.fit(parts, settings["train.workers"], *params_and_rounds)


ENGINES: dict[str, Callable[[Any, params.Params], Any]] = {"local": learn_here, "dask": learn_over_dask}


def count_customers() -> int:
    """How many customers there are to learn from, as train.parquet itself says."""
    return pyarrow.parquet.read_metadata(TRAIN).num_rows


def customers(settings: params.Params) -> Sample:
    """All that the model learns from."""
    return _joined(list(batches(settings)))


def batches(settings: params.Params) -> Iterator[Sample]:
    """The same, as prepare has written them: row group by row group."""
    target = settings["data.target.column"]
    for frame, others in prepared.read(TRAIN, columns(settings), (target,)):
        yield Sample(frame, others[target].to_numpy())


def on_the_curve(settings: params.Params) -> tuple[Sample, Sample]:
    """Those that the curve's model learns from, and those of the fixed fold that it is measured on: all
    customers, or about ON_THE_CURVE whom their ids choose."""
    id_, target = settings["data.id"], settings["data.target.column"]
    salt = settings["prepare.split_salt"]
    share = min(1, ON_THE_CURVE / count_customers())
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for frame, others in prepared.read(TRAIN, columns(settings), (id_, target)):
        chosen = held_out(others[id_], f"{salt} curve ", share)
        part, ids = Sample(frame, others[target].to_numpy())[chosen], others[id_][chosen]
        validation = held_out(ids, f"{salt} validation ", settings["train.validation_share"])
        for side, rows in zip(sides, (~validation, validation), strict=True):
            side.append(part[rows])
    learn, validated = map(_joined, sides)
    for sample in (learn, validated):
        if not 0 < sample.target.sum() < len(sample.target):
            raise errors.UserError(
                "the customers of the learning curve would not hold both classes.\n"
                "Cure: more customers, or another train.validation_share in params.yaml."
            )
    return learn, validated


def _joined(parts: list[Sample]) -> Sample:
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return Sample(frame, np.concatenate([part.target for part in parts]))


def columns(settings: params.Params) -> dict[str, dict[str, Any]]:
    return {name: spec for name, spec in settings["data.columns"].items() if spec["type"] != "ignored"}


def draw_curve(settings: params.Params) -> None:
    """Write the learning curve with dvclive: rounded, so that no number of threads shows in it.

    Of more customers than ON_THE_CURVE it is that of a model that learns from so many.
    """
    from dvclive import Live

    learn, validation = on_the_curve(settings)
    name = settings["train.model"]
    points = FAMILIES[name].curve(learn, validation, settings[f"models.{name}"], settings["seed"])
    with Live(str(LIVE), dvcyaml=False, save_dvc_exp=False) as live:
        for step, point in points:
            live.step = step
            for sample, metrics in point.items():
                for metric, value in metrics.items():
                    live.log_metric(f"{sample}/{metric}", round(float(value), 6))


@contextmanager
def settings_refused(settings: params.Params) -> Iterator[None]:
    """Raise UserError where the model's library refuses a setting, or says that it leaves one unused."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            yield
        for warning in told:
            if "are not used" in str(warning.message):
                raise ValueError(str(warning.message))
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    except (KeyError, TypeError, ValueError) as error:
        name = settings["train.model"]
        raise errors.UserError(
            f"{name} refuses its settings: {str(error).strip()}\nCure: correct models.{name} in params.yaml."
        ) from error


def write(family: Family, model: Any, settings: params.Params) -> None:
    """Write the model's folder and its provenance."""
    lock = REQUIREMENTS
    model_folder.write(
        MODEL_FOLDER,
        family.file,
        lambda path: family.write(model, path),
        columns(settings),
        environment.pins(lock.read_text(encoding="utf-8")),
    )
    made = md5s(lock, *(path for path in MODEL_FOLDER.iterdir() if path.is_file()))
    provenance.write(files.read_json(PREPARED)["md5"] | made, used(settings))


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
