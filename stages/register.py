"""The model and its numbers → a registered version, if they pass the gate; and the marker of it."""

from stages.support import environment, errors

if __name__ == "__main__":
    errors.run(environment.check)  # before the imports below: they are what it checks

import os
from pathlib import Path
from typing import Any

from stages.model import bars
from stages.support import files, git, params
from stages.support.hashes import md5, unchanged
from stages.support.paths import MARKER, MEASURED, MODEL_FOLDER, PARAMS, PREPARED, PROVENANCE
from stages.tracking import provenance, registry
from stages.tracking.held import HeldVersion, look_up
from stages.tracking.notes import describe
from stages.tracking.provenance import Provenance
from stages.tracking.runs import complete, ensure_its_data, missing, resumed, tags_of
from stages.tracking.store import TrackingStore, open_store

MISSED = f"not registered: the model misses a bar of register.gate in {PARAMS}"


def main() -> None:
    settings = params.load()
    with unchanged(PROVENANCE, MEASURED, PREPARED):
        recorded = provenance.read()
        verify(recorded)
        ensure_its_data(recorded)
        metrics = files.read_json(MEASURED)
        decision = bars.decide(metrics, settings["register.gate"])
        told = already(settings, recorded, decision) or record(settings, recorded, decision, metrics)
        print("\n".join([*decision.reasons, told]))
    params.ensure_unchanged(used, settings)
    files.write_json(
        MARKER,
        {
            "model": settings["tracking.model"],
            "content": recorded.content,
            "passed": decision.passed,
            "reasons": decision.reasons,
        },
    )


def used(settings: params.Params) -> dict[str, Any]:
    """The params that decide what is registered, and where."""
    return settings.subset("register.gate", "tracking.experiment", "tracking.model")


def verify(recorded: Provenance) -> None:
    """Raises UserError where a file of the model is not the one that provenance.json names."""
    for name, digest in recorded.md5s.items():
        path = Path(name)
        if path.parent == MODEL_FOLDER and (not path.exists() or md5(path) != digest):
            raise errors.UserError(
                f"{path} is not the file that {PROVENANCE} names (md5 {digest}).\n"
                "Cure: `dvc checkout`, or `dvc repro --force train`."
            )


def already(settings: params.Params, recorded: Provenance, decision: bars.BarsDecision) -> str | None:
    """What there is to tell where the project's own store holds the run and the version whole, so that
    nothing is to be done; None where MLflow has to look, or to write."""
    model = settings["tracking.model"]
    run, version = look_up(settings["tracking.experiment"], recorded.content, model)
    if run is None or missing(run, recorded, evaluated=True):
        return None
    if not decision.passed:
        return MISSED
    if version is None or not is_settled(version, recorded):
        return None
    return registered(model, version.number, version.stage, recorded.content)


def is_settled(version: HeldVersion, recorded: Provenance) -> bool:
    """Whether a version has all that this stage gives one, and its source is its own run's whole model."""
    return (
        (version.stage != "None" or "DVC_EXP_NAME" in os.environ)
        and version.source == f"{version.run.artifacts}/model"
        and tags_of(recorded).items() <= version.tags.items()
        and not missing(version.run, recorded, evaluated=False)
    )


def record(
    settings: params.Params, recorded: Provenance, decision: bars.BarsDecision, metrics: dict[str, float]
) -> str:
    """Complete the run and, where the model passes, register it: what there is to tell."""
    store = open_store(settings)
    with resumed(store) as run_id:
        complete(store, run_id, evaluated=True)
    if not decision.passed:
        return MISSED
    return register(store, settings["tracking.model"], recorded, run_id, metrics)


def register(
    store: TrackingStore,
    model: str,
    recorded: Provenance,
    run_id: str,
    metrics: dict[str, float],
) -> str:
    """Register the content once; what was never in a stage goes to Staging, but not in an experiment."""
    tags = tags_of(recorded) | git.state()
    made_by = store.client.get_run(run_id).data.tags
    if "dvc.exp_name" in made_by:
        tags["dvc.exp_name"] = made_by["dvc.exp_name"]
    prepared = files.read_json(PREPARED)
    text = "\n\n".join(
        [
            headline(recorded.params["train"]["model"], metrics, prepared),
            describe(recorded, prepared, tags, "registered"),
        ]
    )
    version = registry.register(store, model, recorded.content, run_id, tags, text)
    stage = version.current_stage
    if stage == "None" and "DVC_EXP_NAME" not in os.environ:
        stage = registry.RegistryStage.STAGING
        registry.move(store, model, version.version, stage)
    return registered(model, version.version, stage, recorded.content)


def registered(model: str, number: int | str, stage: str | None, content: str) -> str:
    where = "in no stage" if stage == "None" else f"in {stage}"
    return f"{model} version {number}, {where}: content {content}"


def headline(model: str, metrics: dict[str, float], prepared: dict[str, Any]) -> str:
    """What the model is worth, in Markdown."""
    return (
        f"`{model}`, ROC AUC **{metrics['roc_auc']:.3f}**"
        f" ({metrics['roc_auc_low']:.3f} to {metrics['roc_auc_high']:.3f}),"
        f" Brier {metrics['brier']:.3f}, on {prepared['test']['rows']:,} customers it has not seen."
    )


if __name__ == "__main__":
    errors.run(main)
