"""MLflow's registry, written to."""

from collections.abc import Mapping

from predictflow.adapters.mlflow_entities import Version
from predictflow.errors import Unreachable
from stages.support import params
from stages.tracking import registry
from stages.tracking.store import open_store


def move_version(version: Version, registry_stage: str, tags: Mapping[str, str]) -> None:
    """Put a version in a stage, MLflow's stage and alias together, and tag it.

    Raises UserError or Unreachable where MLflow does not take it.
    """
    from mlflow.exceptions import MlflowException

    number = str(version.number)
    try:
        store = open_store(params.load())
        registry.move(store, version.model, number, registry_stage)
        for name, value in tags.items():
            store.client.set_model_version_tag(version.model, number, name, value)
    except MlflowException as error:
        raise Unreachable(str(error) or type(error).__name__) from error
