"""What came of a study: the best trials, what mattered, and the winner against the params of today."""

import warnings
from collections import Counter
from typing import TYPE_CHECKING

from predictflow.formatting import Json
from predictflow.tuning.intervals import DECIMALS, Estimate, difference, estimate
from predictflow.tuning.journal import Journal
from predictflow.tuning.space import Space

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

SHOWN = 5  # of the best trials
FEWEST = 3  # trials of which it can be told what mattered


def complete(trials: "list[FrozenTrial]") -> "list[FrozenTrial]":
    """Those that were scored on every fold."""
    return [trial for trial in trials if trial.state.name == "COMPLETE"]


def best_first(trials: "list[FrozenTrial]", space: Space) -> "list[FrozenTrial]":
    """Those that were scored on every fold; of two that are as good, the earlier one first."""
    return sorted(
        complete(trials), key=lambda trial: trial.value or 0.0, reverse=space.direction == "maximize"
    )


def answer(journal: Journal, space: Space, today: list[float]) -> Json:
    """docs/reference/json.md says what each key means.

    Args:
        today: the scores of the params as they are now, a fold each.
    """
    confidence = space.params["evaluate.confidence"]
    ranked = best_first(journal.trials, space)
    compared = difference(ranked[0].user_attrs["scores"], today, confidence) if ranked else None
    counted = Counter(trial.state.name.lower() for trial in journal.trials)
    return {
        "study": journal.number,
        "metric": space.metric,
        "direction": space.direction,
        "folds": space.folds,
        "confidence": confidence,
        "trials": {state: counted[state] for state in ("complete", "pruned", "fail")},
        "best": [trial_entry(trial, confidence) for trial in ranked[:SHOWN]],
        "today": {"params": space.today()} | estimate(today, confidence).as_json(),
        "comparison": compared.as_json() if compared else None,
        "better": verdict(compared, space) if compared else None,
        "importance": importance(journal.trials, space),
        "failed": [
            {"trial": trial.number, "error": trial.user_attrs["error"]}
            for trial in journal.trials
            if trial.state.name == "FAIL"
        ],
    }


def trial_entry(trial: "FrozenTrial", confidence: float) -> Json:
    return {
        "trial": trial.number,
        "params": trial.params,
        "seconds": round(trial.user_attrs["seconds"], 3),
    } | estimate(trial.user_attrs["scores"], confidence).as_json()


def verdict(compared: Estimate, space: Space) -> str:
    """ "yes"; "not better than chance", where the interval holds no difference; "no"."""
    if not space.is_better(compared.value, 0.0):
        return "no"
    surely = compared.low if space.direction == "maximize" else compared.high
    return "yes" if space.is_better(surely, 0.0) else "not better than chance"


def table(answer: Json) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """A column for each of the best trials and for today's params, a line for each number and setting: (the
    columns' names, each line's name and values)."""
    entries = {f"trial {entry['trial']}": entry for entry in answer["best"]} | {"today": answer["today"]}
    lines = [
        (head, [f"{entry[key]:.4f}" for entry in entries.values()])
        for head, key in {answer["metric"]: "value", "low": "low", "high": "high"}.items()
    ]
    for name in dict.fromkeys(name for entry in entries.values() for name in entry["params"]):
        values = [str(entry["params"].get(name, "")) for entry in entries.values()]
        lines.append((name.removeprefix("models."), values))
    return list(entries), lines


def importance(trials: "list[FrozenTrial]", space: Space) -> dict[str, float]:
    """{dotted name: its share of what made the trials differ}, by Optuna's PED-ANOVA (Watanabe et al., IJCAI
    2023); nothing where too few are there, or all are alike."""
    import optuna

    if len({trial.value for trial in complete(trials)}) < FEWEST:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            shares = optuna.importance.get_param_importances(as_study(trials, space))
        except (RuntimeError, ValueError):  # of models with other settings each, none may be common to all
            return {}
    return {name: round(share, DECIMALS) for name, share in shares.items()}


def as_study(trials: "list[FrozenTrial]", space: Space) -> "optuna.Study":
    """The trials as Optuna's functions want them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=space.direction)
    study.add_trials(trials)
    return study
