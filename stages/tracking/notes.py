"""What a person in MLflow's UI reads of a run or a version."""

from pathlib import Path
from typing import Any

from stages.support.params import flat
from stages.support.paths import CUSTOMERS, CUSTOMERS_FOLDER, TEST, TRAIN
from stages.tracking.provenance import Provenance

NOTE = "mlflow.note.content"  # what MLflow's UI shows as a run's description
DATASETS = {  # path: how a run used it that was made from it
    CUSTOMERS.as_posix(): "source",
    CUSTOMERS_FOLDER.as_posix(): "source",
    TRAIN.as_posix(): "training",
    TEST.as_posix(): "testing",
}


def datasets_of(recorded: Provenance) -> list[str]:
    """The files and folders of DATASETS that a model was made from."""
    return [path for path in DATASETS if path in recorded.md5s]


def counts_of(prepared: dict[str, Any], path: str) -> dict[str, int]:
    """The rows and positives of a file of DATASETS; each customer of the source is on one side."""
    train, test = prepared["train"], prepared["test"]
    return prepared.get(Path(path).stem) or {key: train[key] + test[key] for key in train}


def describe(recorded: Provenance, prepared: dict[str, Any], tags: dict[str, str], done: str) -> str:
    """What a person in MLflow's UI wants to know of a run or a version, in Markdown.

    Args:
        prepared: metrics/prepare/metrics.json.
        tags: git.state() when the run was made or the version registered; dvc.exp_name where it has one.
        done: at that commit: made, restored or registered.
    """
    settings = flat(recorded.params)
    chosen = {k: v for k, v in settings.items() if k.startswith(("models.", "train.", "seed"))}
    changes = ", with uncommitted changes" if tags["git.dirty"] == "true" else ""
    find = f"git log --all --reverse --format=%h -S {recorded.content} -- dvc.lock"

    def customers(path: str) -> str:
        counts = counts_of(prepared, path)
        return f"{counts['rows']:,} customers, {counts['positives']:,} of them positive"

    lines = [
        "| | |",
        "|---|---|",
        *[f"| {path} | {customers(path)}, md5 `{recorded.md5s[path]}` |" for path in datasets_of(recorded)],
        f"| experiment | {tags.get('dvc.exp_name', '`dvc repro`')} |",
        f"| {done} at commit | `{tags['git.commit'][:10] or 'none'}`{changes} |",
        f"| environment | requirements.lock, md5 `{recorded.md5s['requirements.lock']}` |",
        f"| content | `{recorded.content}` |",
        *[f"| {key} | {value} |" for key, value in chosen.items()],
        "",
        "Where it comes from, and what else came of it:",
        "",
        "```",
        f"predictflow lineage {recorded.content}",
        "```",
        "",
        "With Git alone: go to the first commit that holds it (none does, if its dvc.lock was never"
        " committed), and rebuild it, byte for byte:",
        "",
        "```",
        f'git checkout "$({find} | head -n 1)"',
        "MLFLOW_TRACKING_URI=sqlite:///mlflow_data/rebuild.db make repro",
        "git diff --exit-code dvc.lock",
        "```",
    ]
    return "\n".join(lines)
