"""Versions at a server that point at nothing: `mlflow gc` deletes a run for good with its files, and leaves
the version that was registered from it, READY and in its stage."""

import tempfile
from collections.abc import Container
from pathlib import Path

from predictflow.adapters.mlflow_client import download
from predictflow.adapters.mlflow_entities import Version
from predictflow.audit.registry import versions_of
from predictflow.lineage.project import Project
from stages.tracking.store import TrackingStore


def delete_lost(
    project: Project, store: TrackingStore, model: str, again: Container[str | None]
) -> list[str]:
    """Delete the versions that point at nothing, where they are registered anew afterwards: at a server
    MLflow changes neither the run of a version nor where its files are. Their names.

    Args:
        again: the contents that a run has whole, and that are registered anew.
    """
    lost = [version for version in _lost(project, model) if version.content in again]
    for version in lost:
        store.client.delete_model_version(model, str(version.number))
    if lost:
        project.forget_store()
    return [version.name for version in lost]


def _lost(project: Project, model: str) -> list[Version]:
    """The versions whose run is neither there nor in MLflow's trash, and none of whose files is there.

    Whatever cannot be looked at is no proof: such a version is left out, and `project.unseen` says why.
    """
    with project.gaps.collecting() as gaps:
        versions = versions_of(project, model)
        project.runs.bring(version.run_id for version in versions)
        gone = [version for version in versions if not project.runs.with_id(version.run_id)]
        in_trash = project.store.trash(version.run_id for version in gone if version.run_id)
        runless = [version for version in gone if version.run_id not in in_trash]
    return [] if gaps else [version for version in runless if _is_empty(project, version)]


def _is_empty(project: Project, version: Version) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        copy = project.look(lambda: download(version.source, Path(folder)), None)
        return copy is not None and not any(path.is_file() for path in copy.rglob("*"))
