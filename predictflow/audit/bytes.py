"""Is every version, and every run, still the bytes that were recorded?"""

import contextlib
import hashlib
import json
import shlex
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from predictflow.adapters.mlflow_entities import Run, Version
from predictflow.audit.finding import RESTORE, Finding, Step, new_finding
from predictflow.audit.registry import tag_step
from predictflow.errors import Unreachable
from predictflow.ledger.chain import Chain, standing_receipts
from predictflow.lineage.project import Project
from predictflow.verification.content import (
    Mismatch,
    RunArtifacts,
    folders_in_store,
    known_model,
    mismatches_of,
    run_mismatches,
    tree_mismatches,
)
from stages.support import hashes
from stages.support.paths import MODEL_FOLDER, PROVENANCE
from stages.tracking.registry import RegistryStage
from stages.tracking.store import CONTENT_TAG, HOST_TAG, MD5_PREFIX, is_gone


def content_mismatches(project: Project, version: Version) -> list[Mismatch]:
    """All doubts about what a version is: also those of the working tree, where that holds it."""
    return [*mismatches_of(project, version), *tree_mismatches(project, version)]


def check_version(project: Project, chain: Chain, version: Version) -> Iterator[Finding]:
    """A version without a run, and with a content that is not the same everywhere."""
    run = next((run for run in project.all_runs if run.id == version.run_id), None)
    if run is None:
        trash = project.ask_store(lambda store: store.trash(), set())
        steps = [("restore run", version.run_id)] if version.run_id in trash else []
        where = "in MLflow's trash" if steps else "not there"
        told = f"the run of {version.name}, {version.run_id or 'which it does not name'}, is {where}"
        yield new_finding("run", version.name, told, RESTORE, steps)
    doubts = content_mismatches(project, version)
    content = _content_of_all_else(project, version, run, doubts)
    if content:
        yield content
        return
    standing = {one.body["content"] for one in standing_receipts(chain.receipts).values()}
    needed = version.content in standing or version.stage == RegistryStage.PRODUCTION
    promoted = any(one.body["content"] == version.content for one in chain.receipts)
    for doubt in doubts:
        if doubt.kind == "commit" and not promoted:
            yield Finding("not committed", version.name, f"{version.name}: {doubt.told}", None, note=True)
        elif doubt.kind != "not here" or needed:
            yield _of_mismatch(project, version, doubt, doubts)
    absent = 0 if needed else sum(doubt.kind == "not here" for doubt in doubts)
    if absent:
        told = f"{version.name}: {absent} of its files are not in DVC's cache"
        yield Finding("not here", version.name, told, f"`dvc fetch --all-commits {MODEL_FOLDER}`", note=True)


def _content_of_all_else(
    project: Project, version: Version, run: Run | None, doubts: list[Mismatch]
) -> Finding | None:
    """The one finding where a version, or its run, names another content than everything else does."""
    if run is None or not {"content", "run"} & {doubt.kind for doubt in doubts}:
        return None
    step: Step | None = None
    meant = replace(version, tags=version.tags | {CONTENT_TAG: run.content or ""})
    if run.content and not mismatches_of(project, meant):
        step = ("set tag", str(version.number), CONTENT_TAG, run.content)
    md5s = known_model(project, version.content or "").md5s
    of_run = project.ask_store(lambda store: store.tags([run]), {}).get(run.id, {})
    if len(doubts) == 1 and md5s and all(of_run.get(MD5_PREFIX + path) == md5 for path, md5 in md5s.items()):
        step = ("set tag of run", run.id, CONTENT_TAG, version.content or "")
    return new_finding("content", version.name, doubts[0].told, RESTORE, [step]) if step else None


def _of_mismatch(project: Project, version: Version, doubt: Mismatch, doubts: list[Mismatch]) -> Finding:
    """A doubt with its cure."""
    kind = {"run": "content", "tags": "tag", "commit": "git", "not here": "cache"}.get(doubt.kind, doubt.kind)
    cure, steps = RESTORE, []
    if doubt.kind == "tags" and not {"content", "run", "commit", "git"} & {one.kind for one in doubts}:
        steps = [tag_step(version, f"{MD5_PREFIX}{doubt.path}", doubt.md5)]
    elif doubt.kind in ("cache", "not here", "files"):
        steps = _copies(project, version, version.content, doubt)
        if doubt.kind != "files":
            cure = f"`dvc fetch --all-commits {MODEL_FOLDER}`"
        elif doubt.path and not doubt.md5 and doubt.path.is_file():
            cure = f"`rm {shlex.quote(str(doubt.path))}`"
    elif doubt.kind == "tree":
        first = project.history.first_with_model.get(version.content or "")
        cure = f"`dvc checkout --force {MODEL_FOLDER}`"
        if first and doubt.path and doubt.path.name == PROVENANCE.name:
            cure = f"`git checkout {first.sha[:10]} -- {PROVENANCE}`"
    elif doubt.kind in ("git", "commit"):
        cure = "commit dvc.lock and models/provenance.json as they were when it was registered"
    return new_finding(kind, version.name, f"{version.name}: {doubt.told}", cure, steps)


def _copies(
    project: Project, where: Version | RunArtifacts, content: str | None, doubt: Mismatch
) -> list[Step]:
    """What brings the right bytes to where a doubt misses them, from where they are: all or nothing."""
    path, model = doubt.path, known_model(project, content or "")
    if path is None:
        return []
    if doubt.md5 and doubt.md5.endswith(".dir"):
        listed = _list(model.files)
        if hashlib.md5(listed.encode()).hexdigest() == doubt.md5.removesuffix(".dir"):
            return [("write", str(path), listed)]
    wanted = {path: doubt.md5} if doubt.md5 else {}
    if not doubt.md5 and not path.exists():  # the whole folder
        wanted = {path / name: md5 for name, md5 in model.files.items()}
    steps = []
    for path, md5 in wanted.items():
        source = _source(project, where, md5, [name for name, of_it in model.files.items() if of_it == md5])
        if source:
            steps.append(("copy", str(source), str(path), md5))
        elif doubt.kind != "files" and _may_be_on_remote(project, md5):
            steps.append(("download", md5))
    return steps if len(steps) == len(wanted) else []


def _list(files: dict[str, str]) -> str:
    """The list of a folder's files as DVC writes it."""
    return json.dumps([{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())], sort_keys=True)


def _source(project: Project, where: Version | RunArtifacts, md5: str, names: list[str]) -> Path | None:
    """Where these bytes are on this machine: DVC's cache, MLflow's store, the working tree."""
    folders = [*folders_in_store(where), (project.repository.root or Path()) / MODEL_FOLDER]
    places = [folder / name for folder in folders for name in names]
    with contextlib.suppress(Unreachable):  # there is no cache
        places.insert(0, project.storage.place(md5))
    return next((place for place in places if place.is_file() and hashes.md5(place) == md5), None)


def _may_be_on_remote(project: Project, md5: str) -> bool:
    """Whether the default remote has it; one in a network is asked when it is mended."""
    try:
        return md5 in project.storage.on_remote([md5], False)
    except Unreachable:
        return "://" in project.storage.remote_url


def check_runs(project: Project) -> Iterator[Finding]:
    """Runs left RUNNING, and runs that have not the model that they say they made."""
    for run in project.all_runs:
        if run.status != "RUNNING":
            continue
        host = run.tags.get(HOST_TAG)
        if host != socket.gethostname():
            told = f"run {run.id} is RUNNING on {host or 'a host that it does not name'}"
            yield Finding("running", run.id, told, None, note=True)
        elif is_gone(run.tags):
            told = f"run {run.id} says RUNNING, and its process is gone"
            yield new_finding("running", run.id, told, "", [("end", run.id)])
    of_versions = {version.run_id for version in project.versions}
    for run in project.all_runs:
        if run.content and run.status == "FINISHED" and run.id not in of_versions:
            for doubt in run_mismatches(project, run):
                steps = _copies(project, RunArtifacts.of(run), run.content, doubt)
                if run.restored and doubt.md5 is None and not steps:  # of which Git alone knew
                    told = f"run {run.id} was restored without its files, which are not in DVC's cache"
                    cure = f"`dvc fetch --all-commits`, then {RESTORE}"
                    yield Finding("not here", run.id, told, cure, note=True)
                    continue
                cure = "`dvc repro --force register` at its commit, or delete the run"
                yield new_finding("model", run.id, f"run {run.id}: {doubt.told}", cure, steps)
