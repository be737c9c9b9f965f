"""Does the store say of runs and versions what Git and the receipts know of them?

Git knows the md5s and params that a model was made from, the numbers of its evaluation, and the experiments
that hold it; a receipt knows all that the store said when a version was promoted. What neither knows is not
held against anything, and what a person has added stays.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from predictflow.adapters.mlflow_entities import EXPERIMENT_TAG, Run, md5s_of
from predictflow.audit import fixes
from predictflow.audit.finding import RESTORE, Finding, new_finding
from predictflow.formatting import Json, some_of
from predictflow.ledger.chain import Chain
from predictflow.ledger.receipts import Receipt
from predictflow.lineage.project import Project
from predictflow.verification.content import content_of, contents_by_md5s, recorded_model
from predictflow.verification.mlflow_files import own_folder
from stages.support.params import flat
from stages.support.paths import PROVENANCE
from stages.tracking.notes import NOTE
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX

KINDS: dict[str, type | tuple[type, ...]] = {"tags": str, "params": str, "metrics": (int, float)}
# The tags of a run that the stages write, by how they begin: all others are a person's.
WRITTEN = ("git.", "dvc.", "predictflow.", "mlflow.source.")


@dataclass(frozen=True)
class Recorded:
    """What Git has recorded, found by what runs say."""

    project: Project

    @cached_property
    def contents_by_md5s(self) -> dict[frozenset[tuple[str, str]], str]:
        return contents_by_md5s(self.project)

    @cached_property
    def experiments(self) -> set[str]:
        """The names of DVC's experiments that hold a model."""
        refs_with = self.project.history.refs_with.values()
        return {ref.name for refs in refs_with for ref in refs if ref.kind == "experiment"}


@dataclass(frozen=True)
class ToldOfRun:
    """What the store tells of a run.

    Attributes:
        receipt: what a receipt tells of it: tags, params and metrics; empty where none does.
    """

    run: Run
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    receipt: Json


def check_told_of_run(recorded: Recorded, told: ToldOfRun) -> Iterator[Finding]:
    """What the store says of a run that has ended, where that is not what is recorded."""
    run = told.run
    yield from _of_content(recorded, run, told.tags)
    yield from _of_tags(recorded.project, run, told.tags, told.receipt)
    yield from _of_experiment(recorded.project, run)
    yield from _of_params(recorded.project, run, told.params, told.receipt)
    yield from _of_metrics(recorded, run, told.metrics, told.receipt)


def check_descriptions(project: Project, chain: Chain, believed: list[Receipt]) -> Iterator[Finding]:
    """Versions that are described otherwise than their receipts tell."""
    for version in project.versions:
        run = project.runs.with_id(version.run_id)
        made = run.content if run and run.status != "RUNNING" else None
        agrees = version.model == chain.model and made == version.content
        told = [receipt for receipt in believed if agrees and receipt.content == version.content]
        text = told[-1].body["description"] if told else ""
        if text not in version.description:
            message = f"the description of {version.name} is not the one that {told[-1].name} tells"
            yield new_finding("told", version.name, message, "", [fixes.Describe(version.number, text)])


def told_by_receipt(run: Json) -> dict[str, Json]:
    """What a receipt tells of a run, as far as it is what it should be: nobody else holds it to that."""
    parts = ((part, run.get(part)) for part in ("tags", "params", "metrics"))
    told = {part: values for part, values in parts if isinstance(values, dict)}
    return {
        part: {key: value for key, value in values.items() if isinstance(value, KINDS[part])}
        for part, values in told.items()
    }


def _of_content(recorded: Recorded, run: Run, tags: Mapping[str, str]) -> Iterator[Finding]:
    """A run that names a content of which Git does not know, or none, where its md5s are those of another."""
    if not md5s_of(tags) or (run.content and recorded_model(recorded.project, run.content)):
        return
    content = content_of(recorded.contents_by_md5s, tags) or _own_provenance(run, tags)
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


def _of_metrics(
    recorded: Recorded, run: Run, metrics: Mapping[str, float], receipt: Json
) -> Iterator[Finding]:
    """Numbers of the run that no evaluation of its model has come to."""
    history = recorded.project.history
    measured: dict[str, list[float]] = {}
    # Of an experiment that Git does not hold any more, what was evaluated there is gone.
    if run.experiment is None or run.experiment in recorded.experiments:
        for name in history.contents.get(run.content or "", []):
            for key, value in flat(history.model(run.content or "", name).metrics).items():
                measured.setdefault(key, []).append(value)
    for key, value in receipt.get("metrics", {}).items():
        measured.setdefault(key, []).append(value)
    for key, values in measured.items():
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
