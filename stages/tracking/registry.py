"""The model registry: one version for one content, and one version in a stage."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from stages.tracking.store import CONTENT_TAG, TrackingStore

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


class RegistryStage(StrEnum):
    """A stage that holds one version at a time, as MLflow names it.

    MLflow's stages are deprecated and aliases take their place: the two always say the same.
    """

    PRODUCTION = "Production"
    STAGING = "Staging"

    @property
    def alias(self) -> str:
        return self.lower()


STAGES = {stage.alias: stage for stage in RegistryStage}  # by their aliases, which receipts name


def find(store: TrackingStore, model: str, content: str) -> "ModelVersion | None":
    """The version of a content; the oldest, should there be several."""
    versions = store.client.search_model_versions(f"name = '{model}' and tags.`{CONTENT_TAG}` = '{content}'")
    return min(versions, key=lambda version: int(version.version), default=None)


def register(
    store: TrackingStore, model: str, content: str, run_id: str, tags: dict[str, str], description: str
) -> "ModelVersion":
    """The version of a content, made from its run's artifacts where there is none."""
    client = store.client
    # The lock keeps the processes of one machine apart. Two machines at one server may still both find
    # nothing and both create: then both see two, and the younger one goes.
    with store.lock:
        found = find(store, model, content)
        if found is not None:
            return found
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model)
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        made = client.create_model_version(
            model, source, run_id, tags=tags | {CONTENT_TAG: content}, description=description
        )
        oldest = find(store, model, content) or made
        if oldest.version != made.version:
            client.delete_model_version(model, made.version)
        return oldest


def move(store: TrackingStore, model: str, version: str, stage: str) -> None:
    """Put a version in a stage, MLflow's stage and the alias together; whoever was there is archived."""
    client = store.client
    with store.lock, _known_deprecation():
        client.transition_model_version_stage(model, version, stage)
        # Not by `archive_existing_versions`: with psycopg 3 PostgreSQL refuses it (mlflow/mlflow#24592).
        there = client.search_model_versions(f"name = '{model}'") if stage in STAGES.values() else []
        for other in there:
            if other.current_stage == stage and str(other.version) != str(version):
                client.transition_model_version_stage(model, other.version, "Archived")
        held = client.get_registered_model(model).aliases
        for alias, other in STAGES.items():
            if other != stage and str(held.get(alias)) == str(version):
                client.delete_registered_model_alias(model, alias)
        if stage in STAGES.values():
            client.set_registered_model_alias(model, RegistryStage(stage).alias, version)


@contextmanager
def _known_deprecation() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*stages.*")
        yield
