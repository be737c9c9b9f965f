"""What a lost store held, as far as Git, DVC's files and the receipts know it.

What is to be there is planned without touching anything; it is written by the same functions that the stages
use, so that a restored run and version look as they did. Everything may be done again: what is there stays.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from predictflow.adapters.dvc_files import MEASURED, PREPARED
from predictflow.adapters.dvc_storage import right_file
from predictflow.adapters.mlflow_entities import COMMIT_TAG, DIRTY_TAG, EXPERIMENT_TAG, Run
from predictflow.formatting import Json
from predictflow.ledger.chain import Chain
from predictflow.ledger.receipts import ARCHIVED, Receipt
from predictflow.lineage.history import WORKTREE, Commit, Model
from predictflow.lineage.project import Project
from stages.model import bars
from stages.support.errors import UserError
from stages.support.paths import CURVES, MODEL_FOLDER, PLOTS, PROVENANCE
from stages.tracking.registry import STAGES, RegistryStage
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX, RESTORED_TAG

BASELINE = "dvc.baseline_rev"
FOLDERS = (MODEL_FOLDER, CURVES, PLOTS)  # what DVC keeps of a model for its run


@dataclass(frozen=True)
class RestoreEntry:
    """A model that the store should have.

    Attributes:
        model: as Git has recorded it.
        commit: the first one with its dvc.lock.
        experiments: the names of DVC's experiments that hold it.
        on_branch: whether a branch or a tag holds or held it; else it is an experiment's alone.
        registered: when it was registered, or first committed; milliseconds since 1970. None for one that
            never was registered.
        receipts: those that speak of it, in the order of the chain.
    """

    model: Model
    commit: Commit
    experiments: tuple[str, ...]
    on_branch: bool
    registered: int | None
    receipts: list[Receipt]

    @property
    def content(self) -> str:
        return self.model.content

    @property
    def committed(self) -> int:
        """Milliseconds since 1970."""
        return self.commit.time * 1000

    @property
    def number(self) -> int | None:
        """Its number in the receipts."""
        return self.receipts[0].version if self.receipts else None

    @property
    def recorded_run(self) -> Json:
        """Its run, as the last receipt that knew one tells it; empty where none did."""
        runs = (receipt.run for receipt in reversed(self.receipts))
        return next(filter(None, runs), {})

    @property
    def runs(self) -> list[str | None]:
        """The experiments whose runs there should be, a run each; None for one that no experiment made."""
        recorded = [self.recorded_run.get("experiment")] if self.recorded_run else []
        return list(dict.fromkeys([*recorded, *self.experiments])) or [None]

    def recorded(self, experiment: str | None) -> Json:
        """The run that its receipts tell of, if an experiment (or none) made that; else empty."""
        return self.recorded_run if self.recorded_run.get("experiment") == experiment else {}


def plan(project: Project, chain: Chain) -> list[RestoreEntry]:
    """Every model that a commit holds, in the order in which they came to be registered."""
    history = project.history
    receipts = chain.by_content
    entries = []
    for content, locks in history.contents.items():
        committed = [lock for lock in locks if lock != WORKTREE]
        passed = [lock for lock in committed if _was_registered(project, content, lock)]
        model = history.model(content, (passed or committed)[-1]) if committed else None
        if model is None or model.commit is None:
            continue
        refs = [ref.name for ref in history.refs_with.get(content, []) if ref.kind == "experiment"]
        on_branch = history.is_on_branch(content)
        registered = model.commit.time * 1000 if passed else None
        if content in receipts:
            registered = receipts[content][0].body["registered"]
        told = receipts.get(content, [])
        names = tuple(sorted(refs))
        entries.append(RestoreEntry(model, model.commit, names, on_branch, registered, told))
    return sorted(entries, key=lambda entry: (entry.registered or entry.committed, entry.content))


def _was_registered(project: Project, content: str, lock: str) -> bool:
    """Whether a dvc.lock tells of a registration: register ran on this model, and its bars let it pass."""
    import yaml

    ((_, text),) = project.repository.blobs([lock])
    metrics = project.history.model(content, lock).metrics
    try:
        stage = yaml.load(text, yaml.CSafeLoader)["stages"]["register"]
        inputs = {entry["path"]: entry["md5"] for entry in stage["deps"]}
        limits = stage["params"]["params.yaml"]["register"]["gate"]
        return inputs[PROVENANCE.as_posix()] == content and bars.decide(metrics, limits).passed
    except (yaml.YAMLError, KeyError, TypeError, UserError):
        return False


def registry_stages(entries: list[RestoreEntry], chain: Chain) -> dict[str, str]:
    """{content: MLflow's stage}, as registrations and receipts have put them there one after the other.

    An experiment's is registered in no stage.
    """
    events = [
        (entry.registered / 1000, 0, entry.content, RegistryStage.STAGING, False)
        for entry in entries
        if entry.registered is not None and entry.on_branch
    ]
    events += [
        (receipt.time, place, receipt.content, STAGES[receipt.stage], receipt.action == ARCHIVED)
        for place, receipt in enumerate(chain.believed(), 1)
        if receipt.stage
    ]
    stages: dict[str, str] = {entry.content: "None" for entry in entries if entry.registered is not None}
    for _, _, content, stage, leaves in sorted(events, key=lambda event: event[:2]):
        if not leaves:
            stages |= {other: "Archived" for other, held in stages.items() if held == stage}
            stages[content] = stage
        elif stages[content] == stage:
            stages[content] = "Archived"
    return stages


def missing(project: Project, model: Model) -> list[str]:
    """The md5s of what DVC's cache lacks of a model's files, curves and plots."""
    md5s: list[str] = []
    for _, md5 in _folders(model):
        inside = _inside(project, md5)
        md5s += [md5] if inside is None else inside.values()
    return [md5 for md5 in md5s if project.storage.cached(md5) is None]


def _folders(model: Model) -> list[tuple[str, str]]:
    """(path, md5 of its list) of the folders that are recorded of a model."""
    paths = [folder.as_posix() for folder in FOLDERS]
    return [(path, model.lock.md5s[path]) for path in paths if model.lock.md5s.get(path)]


def _inside(project: Project, md5: str) -> dict[str, str] | None:
    """{path: md5} of a folder's files; None where the cache has not their list, or another."""
    return project.storage.inside(md5) if right_file(project.storage.place(md5), md5) else None


def lay_out(project: Project, entry: RestoreEntry, top: Path) -> list[str]:
    """Lay a model's recorded files out under a folder as in its commit; what could not be, in words."""
    return [*_lay_out_commit(project, entry, top), *_lay_out_cache(project, entry.model, top)]


def _lay_out_commit(project: Project, entry: RestoreEntry, top: Path) -> Iterator[str]:
    for path in (PROVENANCE.as_posix(), PREPARED, MEASURED):
        if md5 := entry.model.lock.md5s.get(path):
            (blob,) = project.repository.ids([f"{entry.commit.sha}:{path}"])
            content = next(project.repository.blobs([blob]))[1] if blob else None
            yield from _put(top / path, path, md5, content, f"commit {entry.commit.sha[:10]}")


def _lay_out_cache(project: Project, model: Model, top: Path) -> Iterator[str]:
    for folder, md5 in _folders(model):
        inside = _inside(project, md5)
        if inside is None:
            yield f"the list of {folder} (md5 {md5}) is not in DVC's cache"
            continue
        for name, of_file in inside.items():
            path = f"{folder}/{name}"
            yield from _put(top / path, path, of_file, _cached(project, of_file), "DVC's cache")


def _cached(project: Project, md5: str) -> bytes | None:
    held = project.storage.cached(md5)
    return held.read_bytes() if held else None


def _put(target: Path, path: str, md5: str, content: bytes | None, where: str) -> Iterator[str]:
    """Write a file if these are its bytes; else say what is wrong."""
    if content is None or hashlib.md5(content).hexdigest() != md5:
        wrong = "is not there" if content is None else "is not these bytes any more"
        yield f"{path} (md5 {md5}) {wrong} in {where}"
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def tags_of(entry: RestoreEntry, experiment: str | None, baseline: str | None) -> dict[str, str]:
    """The tags of a run that is made anew: its receipt's, else those that say that it was restored."""
    md5s = {f"{MD5_PREFIX}{path}": md5 for path, md5 in entry.model.md5s.items()}
    if recorded := entry.recorded(experiment):
        return recorded["tags"] | md5s
    tags = {
        CONTENT_TAG: entry.content,
        RESTORED_TAG: "true",
        COMMIT_TAG: entry.commit.sha,
        DIRTY_TAG: "false",
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.git.commit": entry.commit.sha,
    }
    if experiment:
        tags |= {EXPERIMENT_TAG: experiment} | ({BASELINE: baseline} if baseline else {})
    return tags | md5s


def run_of(runs: list[Run], experiment: str | None) -> Run | None:
    """The run that a model has already; of an experiment's model, this experiment's."""
    return next((run for run in runs if experiment is None or run.experiment == experiment), None)
