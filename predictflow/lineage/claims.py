"""What MLflow's store says of a run, held against Git wherever that knows it: by its commits, its experiments
and its receipts."""

import math
from collections.abc import Iterator

from predictflow.adapters.mlflow_entities import COMMIT_TAG, Run
from predictflow.formatting import SHORT, Json
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from stages.support.params import flat

PRECISION = 1e-9  # of a metric, as the stages write it


def held_against_git(project: Project, content: str, runs: list[Run]) -> dict[str, Json]:
    """{run's id: `otherwise`, what Git has otherwise; `mlflow_alone`, what none of it tells}."""
    history = project.history
    models = [history.model(content, name) for name in history.contents.get(content, [])]
    params, metrics = project.store.params(runs), project.store.metrics(runs)
    held = {}
    for run in runs:
        recorded = _of_receipt(project, content, run)
        alone = {
            "experiment": run.experiment and run.experiment not in _experiments(project, content),
            "commit": run.tags.get(COMMIT_TAG) and run.tags[COMMIT_TAG] not in history.made_at(content),
            "metrics": metrics.get(run.id) and not any(model.metrics for model in models),
            "params": params.get(run.id) and not any(model.params for model in models),
        }
        held[run.id] = {
            "otherwise": [
                *_of_experiment(project, content, run),
                *_differing(run, recorded),
                *_metrics(metrics.get(run.id, {}), models),
                *_params(params.get(run.id, {}), models),
            ],
            "mlflow_alone": [what for what, is_alone in alone.items() if is_alone and what not in recorded],
        }
    return held


def _of_receipt(project: Project, content: str, run: Run) -> Json:
    """What a receipt has recorded of a run: its experiment and its commit; nothing where none tells of it."""
    for receipt in project.chain(project.model).receipts if project.model else ():
        if receipt.content == content and receipt.run and receipt.run.get("id") == run.id:
            tags = receipt.run.get("tags")
            commit = tags.get(COMMIT_TAG) if isinstance(tags, dict) else None
            return {"experiment": receipt.run.get("experiment"), "commit": commit, "by": receipt.name}
    return {}


def _differing(run: Run, recorded: Json) -> Iterator[str]:
    """Where a run is not what its receipt says."""
    for what, claimed in (("experiment", run.experiment), ("commit", run.tags.get(COMMIT_TAG))):
        if what in recorded and claimed != recorded[what]:
            by, said = recorded["by"], recorded[what] or "none"
            yield f"its {what} is {claimed or 'none'}, the receipt {by} says {said}"


def _experiments(project: Project, content: str) -> set[str]:
    refs = project.history.refs_with.get(content, [])
    return {ref.name for ref in refs if ref.kind == "experiment"}


def _of_experiment(project: Project, content: str, run: Run) -> Iterator[str]:
    """Where DVC's experiment of that name holds another model."""
    history, names = project.history, _experiments(project, content)
    for ref in project.repository.refs:
        if (ref.kind, ref.name) == ("experiment", run.experiment) and ref.name not in names:
            other = history.commits[history.places[ref.commit]].content or "no model"
            yield f"its experiment is {run.experiment}, which holds {other[:SHORT]} in Git"


def _metrics(claimed: dict[str, float], models: list[Model]) -> Iterator[str]:
    """A model may have been measured more than once, with other settings."""
    for name, number in sorted(claimed.items()):
        known = [model.metrics[name] for model in models if name in model.metrics]
        if known and not any(math.isclose(number, one, abs_tol=PRECISION) for one in known):
            yield f"its {name} is {number:g}, in Git {known[0]:g}"


def _params(claimed: dict[str, str], models: list[Model]) -> Iterator[str]:
    known = flat(models[0].params) if models else {}
    for name, value in sorted(claimed.items()):
        # The library's own name for a setting, as MLflow notes it, has no dot: its seed need not be ours.
        if "." in name and name in known and value != str(known[name]):
            yield f"its {name} is {value}, in Git {known[name]}"
