"""The same work without tracking: customers.csv to a model, its numbers and its curves, in one process.

Run in a folder that holds data/customers.csv and params.yaml. Its functions import what they need by
themselves, because the stages of the decision record's own way (benchmarks/record/) call them one by one.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ID, TARGET = "customer_id", "churn"
MODEL = Path("models/model.ubj")
EVALUATION = Path("metrics")


def params() -> dict[str, Any]:
    return yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))


def split(share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(train, test): the telco customers, text as categories, `share` of them in test."""
    from sklearn.model_selection import train_test_split

    customers = pd.read_csv("data/customers.csv").drop(columns=ID)
    customers[TARGET] = (customers[TARGET] == "Yes").astype("int8")
    customers["total_charges"] = customers["total_charges"].fillna(0)
    customers = customers.astype(dict.fromkeys(customers.select_dtypes("str"), "category"))
    return train_test_split(customers, test_size=share, random_state=seed, stratify=customers[TARGET])


def fit(train: pd.DataFrame, settings: dict[str, Any], seed: int) -> Any:
    """An XGBClassifier with the settings of models.xgboost in params.yaml."""
    from xgboost import XGBClassifier

    model = XGBClassifier(
        n_estimators=settings["rounds"],
        **{name: value for name, value in settings.items() if name != "rounds"},
        enable_categorical=True,
        random_state=seed,
    )
    return model.fit(train.drop(columns=TARGET), train[TARGET])


def save(model: Any) -> None:
    MODEL.parent.mkdir(exist_ok=True)
    model.save_model(MODEL)


def evaluate(model: Any, test: pd.DataFrame) -> dict[str, float]:
    """Write the numbers and the curves under metrics/; the numbers."""
    import numpy as np
    from sklearn import calibration, metrics

    target = test[TARGET].to_numpy()
    probabilities = model.predict_proba(test.drop(columns=TARGET))[:, 1]
    numbers = {
        "roc_auc": float(metrics.roc_auc_score(target, probabilities)),
        "average_precision": float(metrics.average_precision_score(target, probabilities)),
        "log_loss": float(metrics.log_loss(target, probabilities)),
        "brier": float(metrics.brier_score_loss(target, probabilities)),
    }
    false_positives, true_positives, _ = metrics.roc_curve(target, probabilities)
    precision, recall, _ = metrics.precision_recall_curve(target, probabilities)
    observed, predicted = calibration.calibration_curve(target, probabilities, n_bins=10, strategy="quantile")
    reached = np.cumsum(target[np.argsort(-probabilities)]) / target.sum()
    curves = {
        "roc": {"false_positive_rate": false_positives, "true_positive_rate": true_positives},
        "precision_recall": {"recall": recall, "precision": precision},
        "calibration": {"predicted": predicted, "observed": observed},
        "gain": {"called": np.arange(1, len(target) + 1) / len(target), "reached": reached},
    }
    (EVALUATION / "plots").mkdir(parents=True, exist_ok=True)
    for name, columns in curves.items():
        pd.DataFrame(columns).to_csv(EVALUATION / "plots" / f"{name}.csv", index=False)
    (EVALUATION / "metrics.json").write_text(json.dumps(numbers, indent=2), encoding="utf-8")
    return numbers


def main() -> None:
    settings = params()
    train, test = split(settings["prepare"]["test_share"], settings["seed"])
    model = fit(train, settings["models"]["xgboost"], settings["seed"])
    evaluate(model, test)
    save(model)


if __name__ == "__main__":
    main()
