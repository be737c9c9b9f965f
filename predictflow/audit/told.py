"""Does the store say of runs and versions what Git and the receipts know of them?

Git knows the md5s and params that a model was made from, the numbers of its evaluation, and the experiments
that hold it; a receipt knows all that the store said when a version was promoted. What neither knows is not
held against anything, and what a person has added stays.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping

from predictflow.adapters.mlflow_entities import EXPERIMENT_TAG, Run, md5s_of
from predictflow.audit import fixes
from predictflow.audit.finding import RESTORE, Finding, new_finding
from predictflow.formatting import Json, some_of
from predictflow.ledger.chain import Chain
from predictflow.lineage.project import Project
from predictflow.verification.content import content_of, recorded_model
from predictflow.verification.mlflow_files import own_folder
from stages.support.params import flat
from stages.support.paths import PROVENANCE
from stages.tracking.notes import NOTE
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX

KINDS: dict[str, type | tuple[type, ...]] = {"tags": str, "params": str, "metrics": (int, float)}
# The tags of a run that the stages write, by how they begin: all others are a person's.
WRITTEN = ("git.", "dvc.", "predictflow.", "mlflow.source.")


def check_told(project: Project, chain: Chain, ledger_is_whole: bool) -> Iterator[Finding]:
    """What the store says of runs, and how it describes versions, where that is not what is recorded.

    Args:
        ledger_is_whole: whether the receipts are believed.
    """
    store, runs = project.store, [run for run in project.all_runs if run.status != "RUNNING"]
    tags, params, metrics = store.tags(runs), store.params(runs), store.metrics(runs)
    believed = chain.believed() if ledger_is_whole else []
    receipts = {(receipt.run or {}).get("id"): _read(receipt.run or {}) for receipt in believed}
    for run in runs:
        own, receipt = tags.get(run.id, {}), receipts.get(run.id, {})
        yield from _of_content(project, run, own)
        yield from _of_tags(project, run, own, receipt)
        yield from _of_experiment(project, run)
        yield from _of_params(project, run, params.get(run.id, {}), receipt)
        yield from _of_metrics(project, run, metrics.get(run.id, {}), receipt)
    made = {run.id: run.content for run in runs}
    for version in project.versions:
        agrees = version.model == chain.model and made.get(version.run_id or "") == version.content
        told = [receipt for receipt in believed if agrees and receipt.content == version.content]
        text = told[-1].body["description"] if told else ""
        if text not in version.description:
            message = f"the description of {version.name} is not the one that {told[-1].name} tells"
            yield new_finding("told", version.name, message, "", [fixes.Describe(version.number, text)])


def _read(run: Json) -> dict[str, Json]:
    """What a receipt tells of a run, as far as it is what it should be: nobody else holds it to that."""
    parts = ((part, run.get(part)) for part in ("tags", "params", "metrics"))
    told = {part: values for part, values in parts if isinstance(values, dict)}
    return {
        part: {key: value for key, value in values.items() if isinstance(value, KINDS[part])}
        for part, values in told.items()
    }


def _of_content(project: Project, run: Run, tags: Mapping[str, str]) -> Iterator[Finding]:
    """A run that names a content of which Git does not know, or none, where its md5s are those of another."""
    if run.content and recorded_model(project, run.content):
        return
    content = content_of(project, tags) or _own_provenance(run, tags)
    if content not in (None, run.content):
        message = f"run {run.id} made {run.content or 'no model'} by its tag, {content} by its md5s"
        yield new_finding("content", run.id, message, "", [fixes.SetRunTag(run.id, CONTENT_TAG, content)])


def _own_provenance(run: Run, tags: Mapping[str, str]) -> str | None:
    """The md5 of the provenance.json among a run's own files, where that names just the md5s of its tags."""
    folder = own_folder(run.id)
    path = folder and folder.with_name(PROVENANCE.name)
    try:
        text = path.read_bytes() if path else b""
        *entries, _ = json.loads(text)
        named = {entry["path"]: entry["md5"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return hashlib.md5(text).hexdigest() if named and named == md5s_of(tags) else None


def _of_tags(project: Project, run: Run, tags: Mapping[str, str], receipt: Json) -> Iterator[Finding]:
    model = recorded_model(project, run.content or "")
    wanted = {key: value for key, value in receipt.get("tags", {}).items() if key.startswith(WRITTEN)}
    wanted.pop(CONTENT_TAG, None)  # with which everything else is compared
    told = model.md5s if model and md5s_of(tags) else {}  # one that lacks them all is not complete yet
    md5s = {f"{MD5_PREFIX}{path}": md5 for path, md5 in told.items()}
    more = {key: None for key in tags if told and key.startswith(MD5_PREFIX) and key not in md5s}
    for key, value in (wanted | md5s | more).items():
        if tags.get(key) != value:
            yield _differs(run, f"tag {key}", tags.get(key), value, fixes.SetRunTag(run.id, key, value))
    note = receipt.get("tags", {}).get(NOTE, "")
    if note not in tags.get(NOTE, ""):
        message = f"the description of run {run.id} is not the one that its receipt tells"
        yield new_finding("told", run.id, message, "", [fixes.SetRunTag(run.id, NOTE, note)])


def _of_experiment(project: Project, run: Run) -> Iterator[Finding]:
    """The run of a model that only experiments hold, where it names none of them, and no other run does."""
    history, content = project.history, run.content or ""
    if content not in history.first_with_model or history.is_on_branch(content):
        return
    names = sorted(ref.name for ref in history.refs_with.get(content, []) if ref.kind == "experiment")
    if names and not {other.experiment for other in project.runs[content]} & set(names):
        mend = fixes.SetRunTag(run.id, EXPERIMENT_TAG, names[0])
        yield _differs(run, "experiment", run.experiment, " or ".join(names), mend)


def _of_params(project: Project, run: Run, params: Mapping[str, str], receipt: Json) -> Iterator[Finding]:
    model = recorded_model(project, run.content or "")
    # A name without a dot may be what the fit was given: MLflow's autolog has noted that before the stages.
    of_git = {key: str(value) for key, value in flat(model.params).items() if "." in key} if model else {}
    of_receipt = receipt.get("params", {})
    for key, value in (of_receipt | of_git).items():
        if params.get(key) != value and (key in params or key in of_receipt):
            mend = fixes.SetParam(run.id, key, value)
            yield _differs(run, f"param {key}", params.get(key), value, mend)


def _of_metrics(project: Project, run: Run, metrics: Mapping[str, float], receipt: Json) -> Iterator[Finding]:
    """Numbers of the run that no evaluation of its model has come to."""
    history = project.history
    recorded: dict[str, list[float]] = {}
    known = [ref.name for refs in history.refs_with.values() for ref in refs if ref.kind == "experiment"]
    if run.experiment is None or run.experiment in known:  # else what was evaluated there is gone from Git
        for name in history.contents.get(run.content or "", []):
            for key, value in flat(history.model(run.content or "", name).metrics).items():
                recorded.setdefault(key, []).append(value)
    for key, value in receipt.get("metrics", {}).items():
        recorded.setdefault(key, []).append(value)
    for key, values in recorded.items():
        if key in metrics and metrics[key] not in values:
            mend = fixes.SetMetric(run.id, key, values[-1])
            yield _differs(run, f"metric {key}", metrics[key], values[-1], mend)
    if lacking := sorted(receipt.get("metrics", {}).keys() - metrics.keys()):
        message = f"run {run.id} lacks metrics that its receipt tells: {some_of(lacking)}"
        yield Finding("told", run.id, message, RESTORE, note=True)


def _differs(run: Run, what: str, now: object, recorded: object, mend: fixes.Fix) -> Finding:
    has = "not there" if now is None else now
    message = f"the {what} of run {run.id} is {has}, by what is recorded {recorded or 'none'}"
    return new_finding("told", run.id, message, RESTORE, [mend])
