"""A store of any kind, and the files of its versions, asked through MLflow."""

import logging
import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from predictflow.adapters.mlflow_entities import (
    CHOICE_TAG,
    PAGE_SIZE,
    STUDIES_TAG,
    TAGS,
    Run,
    Study,
    Version,
    md5s_by_content,
)
from predictflow.errors import Unreachable, masked
from stages.support.errors import UserError
from stages.tracking.store import reach, tracking_uri

# A server or bucket that fails is asked once more, and waited for; MLflow itself would go on for minutes.
SHORT_TIMEOUTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "AWS_MAX_ATTEMPTS": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # an answer has no room for it
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # likewise
}
HEADINGS = ("The following failures", "##### File")  # before the reason, where MLflow downloads many files


def all_pages(search: Callable[..., Any], **asked: Any) -> list[Any]:
    """What a search of MLflow's client finds, page after page."""
    entities: list[Any] = []
    token = None
    while True:
        page = search(max_results=PAGE_SIZE, page_token=token, **asked)
        entities += page
        token = page.token
        if not token:
            return entities


class Client:
    """A store of any kind, asked through MLflow."""

    def __init__(self, uri: str) -> None:
        self.where = masked(uri)
        self._uri = uri
        self._failed: Unreachable | None = None

    @cached_property
    def _client(self) -> Any:
        reach()
        _set_short_timeouts()
        import mlflow

        return mlflow.MlflowClient(self._uri)

    def _all(self, search: str, **asked: Any) -> list[Any]:
        """Every page of a search. A store that has failed once is not waited for again."""
        if self._failed is None:
            try:
                return all_pages(getattr(self._client, search), **asked)
            except UserError as error:
                self._failed = Unreachable(masked(str(error).splitlines()[0]))
            except Exception as error:  # of MLflow, of its database's driver, of the network
                lines = str(error).splitlines() or [type(error).__name__]
                self._failed = Unreachable(f"{self.where} cannot be read: {masked(lines[0])}")
        raise self._failed

    @cached_property
    def _all_experiments(self) -> list[Any]:
        return self._all("search_experiments")

    @cached_property
    def _experiments(self) -> dict[str, str]:
        """{id: the address under which it keeps the files of its runs}, of those that hold trainings."""
        found = (found for found in self._all_experiments if STUDIES_TAG not in found.tags)
        return {experiment.experiment_id: experiment.artifact_location for experiment in found}

    @cached_property
    def _runs(self) -> dict[str, Any]:
        runs = self._all("search_runs", experiment_ids=list(self._experiments), order_by=["start_time DESC"])
        return {run.info.run_id: run for run in runs}

    def runs(self) -> list[Run]:
        return [
            Run(
                id=run_id,
                name=run.info.run_name,
                status=run.info.status,
                began=run.info.start_time,
                ended=run.info.end_time,
                tags={tag: run.data.tags[tag] for tag in TAGS if tag in run.data.tags},
                artifacts=run.info.artifact_uri,
                home=self._experiments[run.info.experiment_id],
            )
            for run_id, run in self._runs.items()
        ]

    def studies(self) -> list[Study]:
        of_studies = [found.experiment_id for found in self._all_experiments if STUDIES_TAG in found.tags]
        if not of_studies:
            return []
        chosen = f"tags.`{CHOICE_TAG}` != ''"
        runs = self._all("search_runs", experiment_ids=of_studies, filter_string=chosen)
        return [Study(run.info.run_id, run.info.run_name, run.data.tags, run.data.metrics) for run in runs]

    def trash(self) -> set[str]:
        from mlflow.entities import ViewType

        deleted = self._all(
            "search_runs", experiment_ids=list(self._experiments), run_view_type=ViewType.DELETED_ONLY
        )
        return {run.info.run_id for run in deleted}

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return {run.id: self._runs[run.id].data.tags for run in runs}

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return {run.id: self._runs[run.id].data.params for run in runs}

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        return {run.id: self._runs[run.id].data.metrics for run in runs}

    def md5s(self) -> dict[str, dict[str, str]]:
        of_runs = (run.data.tags for run in self._runs.values())
        return md5s_by_content([*of_runs, *(version.tags for version in self.versions())])

    def versions(self) -> list[Version]:
        aliases: dict[tuple[str, str], list[str]] = {}
        for model in self._all("search_registered_models"):
            for alias, number in sorted(model.aliases.items()):
                aliases.setdefault((model.name, str(number)), []).append(alias)
        versions = [
            Version(
                model=version.name,
                number=int(version.version),
                stage=version.current_stage,
                aliases=tuple(aliases.get((version.name, str(version.version)), ())),
                run_id=version.run_id,
                registered=version.creation_timestamp,
                tags=dict(version.tags),
                source=version.source or "",
                description=version.description or "",
            )
            for version in self._all("search_model_versions")
        ]
        return sorted(versions, key=lambda version: (version.model, -version.number))


def download(source: str, folder: Path) -> Path:
    """Bring the files at a version's source into a folder, through MLflow; where they lie in it.

    Raises Unreachable where they cannot be had: the server does not answer, or a package for it is missing.
    """
    _set_short_timeouts()
    from mlflow.artifacts import download_artifacts

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # below that it tells addresses with their password
    try:
        # With the slash at its end a folder that is gone is an empty one, as it is in a bucket.
        return Path(download_artifacts(f"{source}/", dst_path=str(folder), tracking_uri=tracking_uri()))
    except ModuleNotFoundError as error:
        reason = f"MLflow needs the module {error.name}, which is not here (for S3: `pip install boto3`)"
    except Exception as error:  # of MLflow, of the network, of a cloud's own package
        lines = [line for line in str(error).splitlines() if line and not line.startswith(HEADINGS)]
        reason = masked(lines[0]) if lines else type(error).__name__
    raise Unreachable(f"{masked(source)} cannot be read: {reason}")


def _set_short_timeouts() -> None:
    """Let MLflow give up in time, unless a person has set it otherwise."""
    for name, value in SHORT_TIMEOUTS.items():
        os.environ.setdefault(name, value)
