"""What each model of params.yaml reaches on the customers: 5-fold cross-validation, twice.

    python -m benchmarks.cross_validation --markdown

Every customer is scored by models that never saw it, from the model's own file, as it is served.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold

from benchmarks.tables import show
from stages.data.customer_file import CustomerFile
from stages.data.schema import Schema
from stages.model.families import FAMILIES, Family, Sample
from stages.model.serving import LOADERS, features
from stages.support import errors, params
from stages.support.paths import CUSTOMERS

FOLDS, TIMES = 5, 2


def customers(settings: params.Params) -> Sample:
    """All customers, checked and cleaned as prepare does it."""
    schema = Schema(settings)
    frame = pd.concat(list(CustomerFile(CUSTOMERS, schema).batches()), ignore_index=True)
    return Sample(features(frame, schema.columns), frame[schema.target].to_numpy())


def scores(family: Family, learn: Sample, test: Sample, settings: dict, seed: int) -> tuple[float, float]:
    """(ROC AUC, Brier score) on `test` of a model that learned from `learn`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, family.file)
        family.write(family.fit(learn, settings, seed), file)
        probabilities = LOADERS[family.file](file)(test.frame)
    return roc_auc_score(test.target, probabilities), brier_score_loss(test.target, probabilities)


def mean(values: np.ndarray) -> str:
    """Mean ± standard error over the folds; they share customers, so the error is a rough one."""
    return f"{values.mean():.4f} ± {values.std(ddof=1) / np.sqrt(len(values)):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cross_validation", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args()
    settings = params.load()
    seed = settings["seed"]
    sample = customers(settings)
    folds = list(
        RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=TIMES, random_state=seed).split(
            sample.frame, sample.target
        )
    )
    rows = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(FAMILIES) * len(folds))
        for name, family in FAMILIES.items():
            progress.update(task, description=name)
            found = []
            for _, test in folds:
                held_out = np.isin(np.arange(len(sample.target)), test)
                part = scores(family, sample[~held_out], sample[held_out], settings[f"models.{name}"], seed)
                found.append(part)
                progress.advance(task)
            auc, brier = np.transpose(found)
            rows.append([name, mean(auc), mean(brier)])
    show(
        f"{FOLDS}-fold cross-validation, {TIMES} times, on {len(sample.target):,} customers:"
        " mean ± standard error",
        ("model", "ROC AUC", "Brier score"),
        rows,
        options.markdown,
    )


if __name__ == "__main__":
    errors.run(main)
