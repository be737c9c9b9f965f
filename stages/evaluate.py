"""test.parquet and the model → metrics/evaluate/: numbers, intervals, curves; the same to its run."""

from stages.support import environment, errors

if __name__ == "__main__":
    errors.run(environment.check)  # before the imports below: they are what it checks

from typing import Any

from stages.support import files, params
from stages.support.hashes import ensure_unchanged, md5s
from stages.support.parallel import beside, finish
from stages.support.paths import MEASURED, MODEL_FOLDER, PLOTS, PREPARED, PROVENANCE, TEST
from stages.support.progress import progress
from stages.tracking.runs import complete, resumed
from stages.tracking.store import open_store, reach


def main() -> None:
    settings = params.load()
    reach()
    model = sorted(path for path in MODEL_FOLDER.iterdir() if path.is_file())
    inputs = md5s(TEST, PREPARED, PROVENANCE, *model)
    with beside(evaluate, settings) as told, progress("measuring"):
        store = open_store(settings)
        with resumed(store) as run_id:
            result = finish(told)
            ensure_unchanged(inputs)
            params.ensure_unchanged(used, settings)
            complete(store, run_id, evaluated=True)
    print(result)


def used(settings: params.Params) -> dict[str, Any]:
    """The params that decide this stage's outputs."""
    return settings.subset("data.target", "evaluate", "seed")


def evaluate(settings: params.Params) -> str:
    """Score the test customers, write what the model is worth, and say it in a sentence."""
    import numpy as np
    import pandas as pd

    from stages.model import measures, prepared
    from stages.model.serving import Model

    campaign = measures.Campaign(
        settings["evaluate.contact_cost"],
        settings["evaluate.customer_value"],
        settings["evaluate.success_rate"],
    )
    bins, confidence = settings["evaluate.calibration_bins"], settings["evaluate.confidence"]
    target_of = settings["data.target"]

    model = Model(MODEL_FOLDER)
    parts = [
        (features, others[target_of["column"]], model.score(features))
        for features, others in prepared.read(TEST, model.columns, (target_of["column"],))
    ]
    frames, targets, scores = zip(*parts, strict=True)
    frame, target = pd.concat(frames, ignore_index=True), np.concatenate(targets)
    probabilities = np.concatenate(scores).round(measures.DECIMALS)

    numbers = measures.numbers(target, probabilities, campaign, confidence, bins)
    labels = (str(target_of["negative"]), str(target_of["positive"]))
    points = measures.curves(target, probabilities, numbers["threshold"], bins, labels)
    points["importance"] = measures.importance(model.score, frame, target, settings["seed"])
    for name, table in points.items():
        with files.atomic_write(PLOTS / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    files.write_json(MEASURED, numbers)
    return (
        f"ROC AUC {numbers['roc_auc']:.3f} ({numbers['roc_auc_low']:.3f} to"
        f" {numbers['roc_auc_high']:.3f}), Brier {numbers['brier']:.3f}; calling the customers from"
        f" probability {numbers['threshold']:.2f} on earns {numbers['profit_per_customer']:.2f} a customer"
    )


if __name__ == "__main__":
    errors.run(main)
