"""Is every version, and every run, still the bytes that were recorded?"""

import shlex
import socket
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter

from predictflow.adapters.dvc_files import LIST, MODEL, customers_path, parse_list
from predictflow.adapters.dvc_storage import right_file
from predictflow.adapters.mlflow_entities import Run, Version, md5s_of
from predictflow.audit import fixes
from predictflow.audit.copies import cached_again, copies
from predictflow.audit.finding import FIX, RESTORE, Finding, new_finding
from predictflow.audit.fixes import Fix
from predictflow.audit.registry import tag_fix
from predictflow.errors import masked
from predictflow.ledger.chain import Chain
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from predictflow.verification.content import (
    ContentCheck,
    cache_mismatch,
    content_of,
    contents_by_md5s,
    known_model,
)
from predictflow.verification.mlflow_files import Artifacts, Mismatch, artifact_mismatches, byte_code
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
    run = project.runs.with_id(version.run_id)
    yield from check_run(project, chain, version)
    mismatches = content_mismatches(project, version)
    if content := _content_of_all_else(project, version, run, mismatches):
        yield content
        return
    standing = {receipt.content for receipt in chain.standing().values()}
    needed = version.content in standing or version.stage == RegistryStage.PRODUCTION
    for mismatch in mismatches:
        if mismatch.kind == "commit" and version.content not in chain.by_content:
            message = f"{version.name}: {mismatch.message}"
            yield Finding("not committed", version.name, message, None, note=True)
        elif mismatch.kind != "not here" or needed:
            yield _of_mismatch(project, chain, version, mismatch, mismatches)
    absent = 0 if needed else sum(mismatch.kind == "not here" for mismatch in mismatches)
    if absent:
        message = f"{version.name}: {absent} of its files are not in DVC's cache"
        yield Finding("not here", version.name, message, FETCH, note=True)


def check_run(project: Project, chain: Chain, version: Version) -> Iterator[Finding]:
    """That a version's run is in MLflow's trash, or not there."""
    if project.runs.with_id(version.run_id):
        return
    in_trash = bool(version.run_id and project.store.trash([version.run_id]))
    back: list[Fix] = [fixes.RestoreRun(version.run_id)] if version.run_id and in_trash else []
    where = "in MLflow's trash" if back else "not there"
    message = f"the run of {version.name}, {version.run_id or 'which it does not name'}, is {where}"
    yield new_finding("run", version.name, message, RESTORE, back or _attach(project, chain, version))


def _attach(project: Project, chain: Chain, version: Version) -> list[Fix]:
    """What lets a version be of the run that made its content, with its files in that run's own folder.

    MLflow itself changes neither of a version: at a server there is no fix.
    """
    md5s = known_model(project, version.content or "").md5s
    runs = project.runs.get(version.content or "", [])
    tags = project.store.tags(runs)
    made = [run for run in runs if md5s and md5s.items() <= md5s_of(tags.get(run.id, {})).items()]
    receipts = chain.by_content.get(version.content or "", [])
    told = [(receipt.run or {}).get("id") for receipt in receipts]
    made.sort(key=lambda run: (run.id != version.run_id, run.id not in told, run.restored, run.began))
    for run in made:
        artifacts = Artifacts.of_run(run)
        if artifacts.own:
            address = artifacts.own.as_uri() if artifacts.misplaced else artifacts.source
            return [fixes.AttachVersion(version.number, run.id, address)]
    return []


def _content_of_all_else(
    project: Project, version: Version, run: Run | None, mismatches: list[Mismatch]
) -> Finding | None:
    """The one finding where a version, or its run, names another content than everything else does."""
    if not {"content", "run"} & {mismatch.kind for mismatch in mismatches}:
        return None
    fix: Fix | None = None
    said = (run and run.content) or content_of(contents_by_md5s(project), version.tags)
    if said and said != version.content:
        meant = ContentCheck(project, replace(version, tags=version.tags | {CONTENT_TAG: said}))
        others = {mismatch.kind for mismatch in meant.mismatches()} - {"commit", "not here"}
        if not others and md5s_of(version.tags) == known_model(project, said).md5s:
            fix = fixes.SetTag(version.number, CONTENT_TAG, said)
    md5s = known_model(project, version.content or "").md5s
    if run and len(mismatches) == 1 and md5s:
        tags = md5s_of(project.store.tags([run]).get(run.id, {}))
        if md5s.items() <= tags.items():
            fix = fixes.SetRunTag(run.id, CONTENT_TAG, version.content or "")
    return new_finding("content", version.name, mismatches[0].message, RESTORE, [fix]) if fix else None


def _of_mismatch(
    project: Project, chain: Chain, version: Version, mismatch: Mismatch, mismatches: list[Mismatch]
) -> Finding:
    """A mismatch with its cure."""
    kinds = {"run": "content", "tags": "tag", "commit": "git", "not here": "cache"}
    path, cure = mismatch.path, RESTORE
    artifacts = Artifacts.of_version(project, version)
    mends: list[Fix] = []
    first = project.history.first_with_model.get(version.content or "")
    match mismatch.kind:
        case "tags":
            if not {"content", "run", "commit", "git"} & {other.kind for other in mismatches}:
                mends = [tag_fix(version, f"{MD5_PREFIX}{path}", mismatch.md5)]
        case "run" | "address":
            mends = _attach(project, chain, version)
            if artifacts.own is None:
                cure = f"delete {version.name} in MLflow, then {RESTORE}"
        case "cache" | "not here":
            cure = FETCH
            mends = copies(project, artifacts, version.content, mismatch)
        case "files":
            mends = copies(project, artifacts, version.content, mismatch)
            if path and path.is_symlink():
                cure = f"`rm {shlex.quote(str(path))}`, then {FIX}"
            elif path and not mismatch.md5 and path.exists():
                cure = f"`rm {shlex.quote(str(path))}`"
            elif path is None and mismatch.md5 and not artifacts.meant:
                cure = RESTORE  # its run is gone, too
            elif path is None and mismatch.md5 and first:
                get = f"`dvc get . {MODEL_FOLDER} --rev {first.sha[:10]} --out right`"
                cure = f"{get}, and who keeps the server's files copies it from there"
            elif path is None:
                cure = "who keeps the server's files takes it away"
        case "tree":
            cure = f"`dvc checkout --force {MODEL_FOLDER}`"
            if first and path and path.name == PROVENANCE.name:
                cure = f"`git checkout {first.sha[:10]} -- {PROVENANCE}`"
            elif path and byte_code(path):  # .dvcignore names it
                cure = f"`rm {shlex.quote(str(path))}`"
        case "git" | "commit":
            cure = "commit dvc.lock and models/provenance.json as they were when it was registered"
    kind = kinds.get(mismatch.kind, mismatch.kind)
    return new_finding(kind, version.name, f"{version.name}: {mismatch.message}", cure, mends)


def check_cache(project: Project) -> Iterator[Finding]:
    """Other bytes in DVC's cache than the md5 by which Git knows them: data, indexes, plots, models without a
    version. What is not there is no finding: a laptop need not have all."""
    if project.repository.root is None:
        return
    history, storage = project.history, project.storage
    named = {md5: path for lock in history.locks.values() for path, md5 in lock.md5s.items()}
    customers = [*history.first_with_customers, *history.worktree_customers.values()]
    named |= {md5: customers_path(md5) for md5 in customers}
    models = [known_model(project, version.content or "") for version in project.versions]
    seen = {md5 for model in models for md5 in (*model.files.values(), model.lock.md5s.get(MODEL))}
    for md5, path in list(named.items()):
        listed = storage.cached(md5) if md5.endswith(LIST) else None
        if listed and right_file(listed, md5):
            for name, of_file in parse_list(listed.read_bytes()).items():
                named.setdefault(of_file, f"{path}/{name}")
    for md5, path in sorted(named.items(), key=itemgetter(1, 0)):
        mismatch = None if md5 in seen else cache_mismatch(project, path, md5)
        if mismatch and mismatch.kind == "cache":
            place = storage.place(md5)
            cure = f"`rm {shlex.quote(str(place))}`, then `dvc fetch --all-commits`"
            mends = cached_again(project, place, path, md5)
            yield new_finding("cache", path, mismatch.message, cure, mends)


def check_run_files(project: Project, run: Run, model: Model | None) -> Iterator[Finding]:
    """That a run was left RUNNING, has its files at another's address, or is without the model that it says
    it made.

    Args:
        model: None where its files are not to be looked at.
    """
    artifacts = Artifacts.of_run(run)
    if run.status == "RUNNING":
        yield from _of_running(run)
    elif run.content and artifacts.misplaced:
        yield _of_address(run, artifacts)
    elif model:
        for mismatch in artifact_mismatches(project, artifacts, model):
            yield _of_run(project, run, mismatch)


def _of_address(run: Run, artifacts: Artifacts) -> Finding:
    mends = [fixes.AddressRun(run.id, artifacts.own.parent.as_uri())] if artifacts.own else []
    message = f"the address of run {run.id}'s files, {masked(run.artifacts)}, is not that of its own folder"
    cure = f"who owns the server's database sets it to {run.home}/{run.id}/artifacts"
    return new_finding("address", run.id, message, cure, mends)


def _of_running(run: Run) -> Iterator[Finding]:
    host = run.tags.get(HOST_TAG)
    if host != socket.gethostname():
        message = f"run {run.id} is RUNNING on {host or 'a host that it does not name'}"
        yield Finding("running", run.id, message, None, note=True)
    elif is_gone(run.tags):
        message = f"run {run.id} says RUNNING, and its process is gone"
        yield new_finding("running", run.id, message, "", [fixes.EndRun(run.id)])


def _of_run(project: Project, run: Run, mismatch: Mismatch) -> Finding:
    mends = copies(project, Artifacts.of_run(run), run.content, mismatch)
    if run.restored and mismatch.md5 is None and not mends:  # of which Git alone knew
        message = f"run {run.id} was restored without its files, which are not in DVC's cache"
        return Finding("not here", run.id, message, f"`dvc fetch --all-commits`, then {RESTORE}", note=True)
    cure = "`dvc repro --force register` at its commit, or delete the run"
    return new_finding("model", run.id, f"run {run.id}: {mismatch.message}", cure, mends)
