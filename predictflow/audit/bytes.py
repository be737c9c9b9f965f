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
from predictflow.audit.finding import RESTORE, Finding, new_finding
from predictflow.audit.fixes import CopyFile, Download, EndRun, Fix, RestoreRun, SetRunTag, SetTag, WriteList
from predictflow.audit.registry import tag_fix
from predictflow.errors import Unreachable
from predictflow.ledger.chain import Chain
from predictflow.lineage.project import Project
from predictflow.verification.content import ContentCheck, known_model
from predictflow.verification.mlflow_files import Artifacts, Mismatch, artifact_mismatches, folders_in_store
from stages.support import hashes
from stages.support.paths import MODEL_FOLDER, PROVENANCE
from stages.tracking.registry import RegistryStage
from stages.tracking.store import CONTENT_TAG, HOST_TAG, MD5_PREFIX, is_gone

FETCH = f"`dvc fetch --all-commits {MODEL_FOLDER}`"


def content_mismatches(project: Project, version: Version) -> list[Mismatch]:
    """Where a version is not the same everywhere: also in the working tree, where that holds it."""
    check = ContentCheck(project, version)
    return [*check.mismatches(), *check.tree_mismatches()]


def check_version(project: Project, chain: Chain, version: Version) -> Iterator[Finding]:
    """A version without a run, and with a content that is not the same everywhere."""
    run = next((run for run in project.all_runs if run.id == version.run_id), None)
    if run is None:
        yield _without_run(project, version)
    mismatches = content_mismatches(project, version)
    if content := _content_of_all_else(project, version, run, mismatches):
        yield content
        return
    standing = {receipt.content for receipt in chain.standing().values()}
    needed = version.content in standing or version.stage == RegistryStage.PRODUCTION
    promoted = any(receipt.content == version.content for receipt in chain.receipts)
    for mismatch in mismatches:
        if mismatch.kind == "commit" and not promoted:
            message = f"{version.name}: {mismatch.message}"
            yield Finding("not committed", version.name, message, None, note=True)
        elif mismatch.kind != "not here" or needed:
            yield _of_mismatch(project, version, mismatch, mismatches)
    absent = 0 if needed else sum(mismatch.kind == "not here" for mismatch in mismatches)
    if absent:
        message = f"{version.name}: {absent} of its files are not in DVC's cache"
        yield Finding("not here", version.name, message, FETCH, note=True)


def _without_run(project: Project, version: Version) -> Finding:
    in_trash = version.run_id in project.store.trash()
    fixes = [RestoreRun(version.run_id)] if version.run_id and in_trash else []
    where = "in MLflow's trash" if fixes else "not there"
    message = f"the run of {version.name}, {version.run_id or 'which it does not name'}, is {where}"
    return new_finding("run", version.name, message, RESTORE, fixes)


def _content_of_all_else(
    project: Project, version: Version, run: Run | None, mismatches: list[Mismatch]
) -> Finding | None:
    """The one finding where a version, or its run, names another content than everything else does."""
    if run is None or not {"content", "run"} & {mismatch.kind for mismatch in mismatches}:
        return None
    fix: Fix | None = None
    meant = replace(version, tags=version.tags | {CONTENT_TAG: run.content or ""})
    if run.content and not ContentCheck(project, meant).mismatches():
        fix = SetTag(version.number, CONTENT_TAG, run.content)
    md5s = known_model(project, version.content or "").md5s
    tags = project.store.tags([run]).get(run.id, {})
    if len(mismatches) == 1 and md5s and all(tags.get(MD5_PREFIX + path) == md5s[path] for path in md5s):
        fix = SetRunTag(run.id, CONTENT_TAG, version.content or "")
    return new_finding("content", version.name, mismatches[0].message, RESTORE, [fix]) if fix else None


def _of_mismatch(
    project: Project, version: Version, mismatch: Mismatch, mismatches: list[Mismatch]
) -> Finding:
    """A mismatch with its cure."""
    kinds = {"run": "content", "tags": "tag", "commit": "git", "not here": "cache"}
    path, cure = mismatch.path, RESTORE
    fixes: list[Fix] = []
    match mismatch.kind:
        case "tags":
            if not {"content", "run", "commit", "git"} & {other.kind for other in mismatches}:
                fixes = [tag_fix(version, f"{MD5_PREFIX}{path}", mismatch.md5)]
        case "cache" | "not here":
            cure = FETCH
            fixes = _copies(project, Artifacts.of_version(version), version.content, mismatch)
        case "files":
            fixes = _copies(project, Artifacts.of_version(version), version.content, mismatch)
            if path and not mismatch.md5 and path.is_file():
                cure = f"`rm {shlex.quote(str(path))}`"
        case "tree":
            first = project.history.first_with_model.get(version.content or "")
            cure = f"`dvc checkout --force {MODEL_FOLDER}`"
            if first and path and path.name == PROVENANCE.name:
                cure = f"`git checkout {first.sha[:10]} -- {PROVENANCE}`"
        case "git" | "commit":
            cure = "commit dvc.lock and models/provenance.json as they were when it was registered"
    kind = kinds.get(mismatch.kind, mismatch.kind)
    return new_finding(kind, version.name, f"{version.name}: {mismatch.message}", cure, fixes)


def _copies(project: Project, artifacts: Artifacts, content: str | None, mismatch: Mismatch) -> list[Fix]:
    """What brings the right bytes to where they are missed, from where they are: all or nothing."""
    target, files = mismatch.path, known_model(project, content or "").files
    if target is None:
        return []
    if mismatch.md5 and mismatch.md5.endswith(".dir"):
        # As DVC writes it.
        entries = [{"md5": of_it, "relpath": name} for name, of_it in sorted(files.items())]
        listed = json.dumps(entries, sort_keys=True)
        if hashlib.md5(listed.encode()).hexdigest() == mismatch.md5.removesuffix(".dir"):
            return [WriteList(target, listed)]
    wanted = {target: mismatch.md5} if mismatch.md5 else {}
    if not mismatch.md5 and not target.exists():  # the whole folder
        wanted = {target / name: md5 for name, md5 in files.items()}
    fixes: list[Fix] = []
    for path, md5 in wanted.items():
        source = _source(project, artifacts, md5, [name for name, of_it in files.items() if of_it == md5])
        if source:
            fixes.append(CopyFile(source, path, md5))
        elif mismatch.kind != "files" and _may_be_on_remote(project, md5):
            fixes.append(Download(md5))
    return fixes if len(fixes) == len(wanted) else []


def _source(project: Project, artifacts: Artifacts, md5: str, names: list[str]) -> Path | None:
    """Where these bytes are on this machine: DVC's cache, MLflow's store, the working tree."""
    folders = [*folders_in_store(artifacts), (project.repository.root or Path()) / MODEL_FOLDER]
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
        if run.status == "RUNNING":
            yield from _of_running(run)
    of_versions = {version.run_id for version in project.versions}
    for run in project.all_runs:
        if run.content and run.status == "FINISHED" and run.id not in of_versions:
            artifacts = Artifacts.of_run(run)
            for mismatch in artifact_mismatches(project, artifacts, known_model(project, run.content)):
                yield _of_run(project, run, mismatch)


def _of_running(run: Run) -> Iterator[Finding]:
    host = run.tags.get(HOST_TAG)
    if host != socket.gethostname():
        message = f"run {run.id} is RUNNING on {host or 'a host that it does not name'}"
        yield Finding("running", run.id, message, None, note=True)
    elif is_gone(run.tags):
        message = f"run {run.id} says RUNNING, and its process is gone"
        yield new_finding("running", run.id, message, "", [EndRun(run.id)])


def _of_run(project: Project, run: Run, mismatch: Mismatch) -> Finding:
    fixes = _copies(project, Artifacts.of_run(run), run.content, mismatch)
    if run.restored and mismatch.md5 is None and not fixes:  # of which Git alone knew
        message = f"run {run.id} was restored without its files, which are not in DVC's cache"
        return Finding("not here", run.id, message, f"`dvc fetch --all-commits`, then {RESTORE}", note=True)
    cure = "`dvc repro --force register` at its commit, or delete the run"
    return new_finding("model", run.id, f"run {run.id}: {mismatch.message}", cure, fixes)
