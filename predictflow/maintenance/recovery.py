"""What a lost store held, as far as Git, DVC's files and the receipts know it.

What is to be there is planned without touching anything; it is written by the same functions that the stages
use, so that a restored run and version look as they did. Everything may be done again: what is there stays.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictflow.adapters.dvc_files import MEASURED, PREPARED
from predictflow.adapters.mlflow_entities import COMMIT_TAG, DIRTY_TAG, EXPERIMENT_TAG, Run
from predictflow.ledger.chain import Chain
from predictflow.ledger.receipts import ARCHIVED, Receipt
from predictflow.lineage.history import WORKTREE, Model
from predictflow.lineage.project import Project
from stages.model import bars
from stages.support.errors import UserError
from stages.support.params import flat
from stages.support.paths import CURVES, EVALUATION, MODEL_FOLDER, PROVENANCE
from stages.tracking.registry import STAGES, RegistryStage
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX, RESTORED_TAG

if TYPE_CHECKING:
    from stages.tracking.store import TrackingStore

BASELINE = "dvc.baseline_rev"
FOLDERS = (MODEL_FOLDER, CURVES, EVALUATION / "plots")  # what DVC keeps of a model for its run


@dataclass(frozen=True)
class RestoreEntry:
    """A model that the store should have.

    Attributes:
        model: as Git has recorded it.
        experiments: the names of DVC's experiments that hold it, each with a run of its own; empty for a
            model that a branch or a tag holds, which has one run.
        registered: when it was registered, or first committed; milliseconds since 1970. None for one that
            never was registered.
        receipts: those that speak of it, in the order of the chain.
    """

    model: Model
    experiments: tuple[str, ...]
    registered: int | None
    receipts: list[Receipt]

    @property
    def content(self) -> str:
        return self.model.content

    @property
    def sha(self) -> str:
        return self.model.commit.sha

    @property
    def number(self) -> int | None:
        """Its number in the receipts."""
        return self.receipts[0].version if self.receipts else None

    @property
    def told(self) -> dict[str, Any]:
        """What the last receipt that knew its run tells of it."""
        return next((one.body for one in reversed(self.receipts) if one.body["run"]), {})


def plan(project: Project, chain: Chain) -> list[RestoreEntry]:
    """Every model that a commit holds, in the order in which they came to be registered."""
    history = project.history
    receipts: dict[str, list[Receipt]] = {}
    for receipt in chain.receipts:
        receipts.setdefault(receipt.body["content"], []).append(receipt)
    wanted = []
    for content, names in history.contents.items():
        committed = [name for name in names if name != WORKTREE]
        if not committed:
            continue
        passed = [name for name in committed if _was_registered(project, content, name)]
        model = history.model(content, (passed or committed)[-1])
        refs = [ref.name for ref in history.refs_with.get(content, []) if ref.kind == "experiment"]
        experiments = () if history.is_on_branch(content) else tuple(sorted(refs))
        registered = model.commit.time * 1000 if passed else None
        if content in receipts:
            registered = receipts[content][0].body["registered"]
        wanted.append(RestoreEntry(model, experiments, registered, receipts.get(content, [])))
    return sorted(wanted, key=lambda one: (one.registered or one.model.commit.time * 1000, one.content))


def _was_registered(project: Project, content: str, name: str) -> bool:
    """Whether a dvc.lock tells of a registration: register ran on this model, and its bars let it pass."""
    import yaml

    ((_, text),) = project.repository.blobs([name])
    metrics = project.history.model(content, name).metrics
    try:
        stage = yaml.load(text, yaml.CSafeLoader)["stages"]["register"]
        inputs = {entry["path"]: entry["md5"] for entry in stage["deps"]}
        limits = stage["params"]["params.yaml"]["register"]["gate"]
        return inputs[PROVENANCE.as_posix()] == content and bars.decide(metrics, limits).passed
    except (yaml.YAMLError, KeyError, TypeError, UserError):
        return False


def numbered(
    taken: Iterable[int], held: dict[int, str | None], fixed: dict[str, int], order: list[str]
) -> tuple[dict[int, int], dict[str, int]]:
    """Which numbers versions shall have: those of the receipts, else the one that they have, else the lowest
    that are free.

    Args:
        taken: every number of the registry, also those of deleted versions.
        held: {number: content} of the versions that are there.
        fixed: {content: its number in the receipts}.
        order: the contents of all versions that there shall be, in the order in which they are numbered.

    Returns {old number: new one} of those that are there and change theirs, and {content: number} of all.
    """
    oldest = {content: number for number, content in sorted(held.items(), reverse=True)}
    moving = {oldest[content] for content in fixed if content in oldest}
    in_the_way = set(taken) & set(fixed.values()) - moving
    used = set(fixed.values()) | (set(taken) - moving - in_the_way)
    numbers = dict(fixed)
    changed = {oldest[content]: number for content, number in fixed.items() if content in oldest}

    def lowest() -> int:
        number = next(number for number in itertools.count(1) if number not in used)
        used.add(number)
        return number

    for content in order:
        old = oldest.get(content)
        if content not in numbers:
            numbers[content] = lowest() if old is None or old in in_the_way else old
            if old in in_the_way:
                changed[old] = numbers[content]
    for old in sorted(in_the_way - changed.keys()):  # a second one of its content, or a deleted one
        changed[old] = lowest()
    return {old: number for old, number in changed.items() if old != number}, numbers


def stages(wanted: list[RestoreEntry], chain: Chain, is_on_branch: Callable[[str], bool]) -> dict[str, str]:
    """{content: MLflow's stage}, as registrations and receipts have put them there one after the other.

    Args:
        is_on_branch: whether a model is of a branch or tag; an experiment's is registered in no stage.
    """
    events: list[tuple[float, int, str, Receipt | None]] = [
        (one.registered / 1000, 0, one.content, None)
        for one in wanted
        if one.registered is not None and is_on_branch(one.content)
    ]
    events += [
        (receipt.time, place, receipt.body["content"], receipt)
        for place, receipt in enumerate(chain.receipts, 1)
        if receipt.stage
    ]
    found = {one.content: "None" for one in wanted if one.registered is not None}
    for _, _, content, receipt in sorted(events, key=lambda event: event[:2]):
        stage = STAGES[receipt.stage] if receipt else RegistryStage.STAGING
        if receipt and receipt.action == ARCHIVED:
            if found[content] == stage:
                found[content] = "Archived"
            continue
        found |= {other: "Archived" for other, held in found.items() if held == stage}
        found[content] = stage
    return found


# --- Runs -----------------------------------------------------------------------------------------------


def missing(project: Project, model: Model) -> list[str]:
    """The md5s of what DVC's cache lacks of a model's files, curves and plots."""
    found = []
    for folder in FOLDERS:
        md5 = model.lock.md5s.get(folder.as_posix())
        if md5 is None:
            continue
        listed = project.storage.cached(md5)
        if listed is None:
            found.append(md5)
        else:
            entries = json.loads(listed.read_bytes())
            found += [one["md5"] for one in entries if project.storage.cached(one["md5"]) is None]
    return found


def lay_out(project: Project, model: Model, top: Path) -> list[str]:
    """Lay a model's recorded files out under a folder as in its commit; what could not be, in words."""
    lacking = []

    def put(path: str, md5: str, content: bytes | None, where: str) -> None:
        if content is None or hashlib.md5(content).hexdigest() != md5:
            wrong = "is not there" if content is None else "is not these bytes any more"
            lacking.append(f"{path} (md5 {md5}) {wrong} in {where}")
            return
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)

    def cached(md5: str) -> bytes | None:
        held = project.storage.cached(md5)
        return held.read_bytes() if held else None

    for path in (PROVENANCE.as_posix(), PREPARED, MEASURED):
        if md5 := model.lock.md5s.get(path):
            (blob,) = project.repository.ids([f"{model.commit.sha}:{path}"])
            text = next(project.repository.blobs([blob]))[1] if blob else None
            put(path, md5, text, f"commit {model.commit.sha[:10]}")
    for folder in FOLDERS:
        if md5 := model.lock.md5s.get(folder.as_posix()):
            listed = cached(md5)
            if listed is None or hashlib.md5(listed).hexdigest() != md5.removesuffix(".dir"):
                lacking.append(f"the list of {folder} (md5 {md5}) is not in DVC's cache")
                continue
            for entry in json.loads(listed):
                put(f"{folder}/{entry['relpath']}", entry["md5"], cached(entry["md5"]), "DVC's cache")
    return lacking


def evaluated(model: Model) -> bool:
    return MEASURED in model.lock.md5s


def tags_of(one: RestoreEntry, experiment: str | None, baseline: str | None) -> dict[str, str]:
    """The tags of a run that is made anew: its receipt's, else those that say that it was restored."""
    md5s = {f"{MD5_PREFIX}{path}": md5 for path, md5 in one.model.md5s.items()}
    if one.told:
        return one.told["run"]["tags"] | md5s
    tags = {
        CONTENT_TAG: one.content,
        RESTORED_TAG: "true",
        COMMIT_TAG: one.sha,
        DIRTY_TAG: "false",
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.git.commit": one.sha,
    }
    if experiment:
        tags |= {EXPERIMENT_TAG: experiment} | ({BASELINE: baseline} if baseline else {})
    return tags | md5s


def note_numbers(store: "TrackingStore", run_id: str, model: Model) -> None:
    """The params and last numbers of a model whose files are not here: all that Git has of its run."""
    from mlflow.entities import Metric, Param

    noted = store.client.get_run(run_id).data.params
    settings = flat(model.params).items()
    params = [Param(key, str(value)) for key, value in settings if key not in noted]
    measured = flat(model.metrics).items()
    metrics = [Metric(key, value, model.commit.time * 1000, 0) for key, value in measured]
    store.client.log_batch(run_id, params=params, metrics=metrics)


def run_of(runs: list[Run], experiment: str | None) -> Run | None:
    """The run that a model has already; of an experiment's model, this experiment's."""
    return next((run for run in runs if experiment is None or run.experiment == experiment), None)
