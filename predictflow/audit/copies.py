"""Where the right bytes of a model's file are, and the fixes that bring them to where they are missed."""

import contextlib
from pathlib import Path

from predictflow.audit.file_fixes import CopyFile, Download, RemoveByteCode, WriteList
from predictflow.audit.fixes import Fix
from predictflow.errors import Unreachable
from predictflow.lineage.project import Project
from predictflow.verification.content import known_model
from predictflow.verification.mlflow_files import Artifacts, Mismatch, byte_code
from stages.support import hashes
from stages.support.paths import MODEL_FOLDER


def copies(project: Project, artifacts: Artifacts, content: str | None, mismatch: Mismatch) -> list[Fix]:
    """What brings the right bytes to where they are missed, from where they are: all or nothing."""
    target, files = mismatch.path, known_model(project, content or "").files
    if target is None or (mismatch.kind == "files" and not _may_write(project, artifacts, content, target)):
        return []
    if mismatch.kind == "files" and not mismatch.md5 and byte_code(target) and not target.is_symlink():
        return [RemoveByteCode(target)]
    if mismatch.md5 and hashes.folder_md5(files) == mismatch.md5:
        return [WriteList(target, hashes.folder_list(files))]
    wanted = {target: mismatch.md5} if mismatch.md5 else {}
    if target == artifacts.own and not target.exists():  # the whole folder
        wanted = {target / name: md5 for name, md5 in files.items()}
    fixes: list[Fix] = []
    for path, md5 in wanted.items():
        source = _source(project, artifacts, md5, [name for name, of_it in files.items() if of_it == md5])
        if source:
            fixes.append(CopyFile(source, path, md5))
        elif mismatch.kind != "files" and _may_be_on_remote(project, md5):
            fixes.append(Download(md5))
    return fixes if len(fixes) == len(wanted) else []


def cached_again(project: Project, place: Path, path: str, md5: str) -> list[Fix]:
    """What brings the right bytes to a place in DVC's cache, from the working tree or the remote."""
    source = (project.repository.root or Path()) / path
    if source.is_file() and hashes.md5(source) == md5:
        return [CopyFile(source, place, md5)]
    return [Download(md5)] if _may_be_on_remote(project, md5) else []


def _may_write(project: Project, artifacts: Artifacts, content: str | None, target: Path) -> bool:
    """Whether a place is in the run's own folder, and everybody who names the run says this content of it."""
    own = artifacts.own
    if own is None or not target.is_relative_to(own) or own.is_symlink():
        return False
    run = project.runs.with_id(artifacts.run_id)
    said: list[tuple[str | None, str | None]] = [(run.id, run.content)] if run else []
    said += [(version.run_id, version.content) for version in project.versions]
    if project.model:
        receipts = project.chain(project.model).receipts
        said += [((receipt.run or {}).get("id"), receipt.content) for receipt in receipts]
    return all(of_it == content for run_id, of_it in said if run_id == artifacts.run_id)


def _source(project: Project, artifacts: Artifacts, md5: str, names: list[str]) -> Path | None:
    """Where these bytes are on this machine: DVC's cache, MLflow's store, the working tree."""
    folders = [*artifacts.folders, (project.repository.root or Path()) / MODEL_FOLDER]
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
