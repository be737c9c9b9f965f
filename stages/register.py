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
from stages.tracking.notes import describe
from stages.tracking.provenance import Provenance
from stages.tracking.runs import complete, resumed
from stages.tracking.store import MD5_PREFIX, TrackingStore, open_store


def main() -> None:
    settings = params.load()
    model = settings["tracking.model"]
    with unchanged(PROVENANCE, MEASURED, PREPARED):
        recorded = provenance.read()
        verify(recorded)
        metrics = files.read_json(MEASURED)
        decision = bars.decide(metrics, settings["register.gate"])
        store = open_store(settings)
        with resumed(store) as run_id:
            complete(store, run_id, evaluated=True)
        print("\n".join(decision.reasons))
        if decision.passed:
            register(store, model, recorded, run_id, metrics)
        else:
            print(f"not registered: the model misses a bar of register.gate in {PARAMS}")
    params.ensure_unchanged(used, settings)
    files.write_json(
        MARKER,
        {
            "model": model,
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


def register(
    store: TrackingStore,
    model: str,
    recorded: Provenance,
    run_id: str,
    metrics: dict[str, float],
) -> None:
    """Register the content once; what was never in a stage goes to Staging, but not in an experiment."""
    tags = {f"{MD5_PREFIX}{name}": digest for name, digest in recorded.md5s.items()} | git.state()
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
    where = "in no stage" if stage == "None" else f"in {stage}"
    print(f"{model} version {version.version}, {where}: content {recorded.content}")


def headline(model: str, metrics: dict[str, float], prepared: dict[str, Any]) -> str:
    """What the model is worth, in Markdown."""
    return (
        f"`{model}`, ROC AUC **{metrics['roc_auc']:.3f}**"
        f" ({metrics['roc_auc_low']:.3f} to {metrics['roc_auc_high']:.3f}),"
        f" Brier {metrics['brier']:.3f}, on {prepared['test']['rows']:,} customers it has not seen."
    )


if __name__ == "__main__":
    errors.run(main)
