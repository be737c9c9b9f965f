"""A study and its trials in the words in which MLflow is told of them."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from predictflow.adapters.mlflow_entities import CHOICE_TAG, MD5_PREFIX
from predictflow.adapters.mlflow_studies import TrialRecord
from predictflow.formatting import Json
from predictflow.lineage.studies import choice_md5
from predictflow.tuning import report
from predictflow.tuning.journal import Journal
from predictflow.tuning.space import MODEL, Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def of_trial(trial: "FrozenTrial", metric: str) -> TrialRecord:
    """A trial: its metric where it was scored on every fold, and that of each fold as a step."""
    metrics = [(f"fold.{metric}", score, fold) for fold, score in enumerate(trial.user_attrs["scores"])]
    metrics.append(("seconds", trial.user_attrs["seconds"], 0))
    if trial.value is not None:
        metrics.append((metric, trial.value, 0))
    return TrialRecord(
        number=trial.number,
        state=trial.state.name.lower(),
        began=_milliseconds(trial.datetime_start),
        ended=_milliseconds(trial.datetime_complete),
        params={name: str(value) for name, value in trial.params.items()},
        metrics=metrics,
    )


def _milliseconds(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1000) if moment else 0


def tags(study: Journal, space: Space, answer: Json) -> dict[str, str]:
    """For lineage: the md5s of the data, and of what the study has chosen so far."""
    found = {f"{MD5_PREFIX}{path}": digest for path, digest in study.record["inputs"]["data"].items()}
    if answer["best"]:
        found[CHOICE_TAG] = choice_md5(chosen(space, answer["best"][0]["params"]))
    return found


def chosen(space: Space, drawn: Json) -> Json:
    """{dotted name: value} of a model and its settings, as params.yaml would have them."""
    model, settings = space.settings(drawn)
    return {MODEL: model} | {f"models.{model}.{name}": value for name, value in settings.items()}


def params(space: Space) -> dict[str, str]:
    """What was tried, each name with its values as text."""
    tried = {name: _values(declared) for name, declared in space.declared.items()}
    return {
        "tune.metric": space.metric,
        "tune.folds": str(space.folds),
        "seed": str(space.params["seed"]),
    } | tried


def _values(declared: Json) -> str:
    if "choices" in declared:
        return ", ".join(map(str, declared["choices"]))
    step = f", steps of {declared['step']}" if "step" in declared else ""
    return f"{declared['low']} to {declared['high']}{step}{', log' if declared.get('log') else ''}"


def metrics(answer: Json) -> dict[str, float]:
    """The best trial's, today's, and the difference of the two with its interval."""
    metric, best = answer["metric"], answer["best"][:1]
    found = {f"trials.{state}": float(count) for state, count in answer["trials"].items()}
    found[f"today.{metric}"] = answer["today"]["value"]
    for trial in best:
        found |= {metric: trial["value"], f"{metric}_error": trial["error"]}
        found |= {f"difference.{name}": answer["comparison"][name] for name in ("value", "low", "high")}
    return found


def note(answer: Json) -> str:
    """What a person in MLflow's UI reads above all, in Markdown."""
    metric, counts = answer["metric"], answer["trials"]
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"{told or 'no trial yet'}; {metric} over {answer['folds']} folds.", ""]
    if answer["best"]:
        verdict = f"Is the best trial better than the params of today? {answer['better']}."
        lines += [verdict, "", *_table(answer), "", "```", "predictflow tune --apply", "```"]
    return "\n".join(lines)


def _table(answer: Json) -> Iterator[str]:
    columns, lines = report.table(answer)
    yield f"| | {' | '.join(columns)} |"
    yield f"|{'---|' * (len(columns) + 1)}"
    for name, values in lines:
        yield f"| {name} | {' | '.join(values)} |"
