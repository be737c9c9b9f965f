"""A store of any kind, and the files of its versions, asked through MLflow."""

import logging
import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from predictflow.adapters.mlflow_entities import (
    CHOICE_TAG,
    COMMIT_TAG,
    PAGE_SIZE,
    RUN_ID,
    STUDIES_TAG,
    TAGS,
    Run,
    Study,
    Version,
    md5s_by_content,
)
from predictflow.errors import Unreachable, masked
from stages.support.errors import UserError, lock_of_another, refusal
from stages.tracking.store import CONTENT_TAG, reach, tracking_uri

# A server or bucket that fails is asked once more, and waited for; MLflow itself would go on for minutes.
SHORT_TIMEOUTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "AWS_MAX_ATTEMPTS": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # an answer has no room for it
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # likewise
}
HEADINGS = ("The following failures", "##### File")  # before the reason, where MLflow downloads many files


def tracking_client(uri: str) -> Any:
    """MLflow's own client. Raises UserError where the store does not answer."""
    reach()
    _set_short_timeouts()
    import mlflow

    return mlflow.MlflowClient(uri)


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


def reason_of(error: Exception) -> str:
    """What MLflow, or what it asks, says, in one line without a password; without a cure."""
    told = refusal(str(error)) or lock_of_another(str(error)) or masked(str(error))
    lines = [line for line in told.splitlines() if line and not line.startswith(HEADINGS)]
    return lines[0] if lines else type(error).__name__


class Client:
    """A store of any kind, asked through MLflow."""

    def __init__(self, uri: str) -> None:
        self.where = masked(uri)
        self._uri = uri
        self._failed: Unreachable | None = None
        self._held: dict[str, Any] = {}  # MLflow's own runs, by their ids

    @cached_property
    def _client(self) -> Any:
        return tracking_client(self._uri)

    def _all(self, search: str, at_most: int | None = None, **asked: Any) -> list[Any]:
        """Every page of a search, or what it finds first. A store that has failed once is not waited for
        again."""
        if self._failed is None:
            try:
                ask = getattr(self._client, search)
                return list(ask(max_results=at_most, **asked)) if at_most else all_pages(ask, **asked)
            except UserError as error:
                self._failed = Unreachable(masked(str(error).splitlines()[0]))
            except Exception as error:  # of MLflow, of its database's driver, of the network
                self._failed = Unreachable(f"{self.where} cannot be read: {reason_of(error)}")
        raise self._failed

    @cached_property
    def _all_experiments(self) -> list[Any]:
        return self._all("search_experiments")

    @cached_property
    def _experiments(self) -> dict[str, str]:
        """{id: the address under which it keeps the files of its runs}, of those that hold trainings."""
        found = (found for found in self._all_experiments if STUDIES_TAG not in found.tags)
        return {experiment.experiment_id: experiment.artifact_location for experiment in found}

    def _search(self, wanted: str = "", at_most: int | None = None) -> list[Run]:
        """The runs that a filter of MLflow's finds, the newest first; what else they hold is kept."""
        asked = {"filter_string": wanted, "order_by": ["start_time DESC"]}
        runs = self._all("search_runs", at_most, experiment_ids=list(self._experiments), **asked)
        self._held |= {run.info.run_id: run for run in runs}
        return [
            Run(
                id=run.info.run_id,
                name=run.info.run_name,
                status=run.info.status,
                began=run.info.start_time,
                ended=run.info.end_time,
                tags={tag: run.data.tags[tag] for tag in TAGS if tag in run.data.tags},
                artifacts=run.info.artifact_uri,
                home=self._experiments[run.info.experiment_id],
            )
            for run in runs
        ]

    @cached_property
    def _all_runs(self) -> list[Run]:
        return self._search()

    def runs(self) -> list[Run]:
        return self._all_runs

    def run(self, run_id: str) -> Run | None:
        found = self._search(f"attributes.run_id = '{run_id}'") if RUN_ID.fullmatch(run_id) else []
        return next(iter(found), None)

    def runs_of(self, content: str) -> list[Run]:
        if not RUN_ID.fullmatch(content):  # no md5, so it may hold what a filter would read otherwise
            return [run for run in self.runs() if run.content == content]
        return self._search(f"tags.`{CONTENT_TAG}` = '{content}'")

    def latest(self) -> list[Run]:
        newest = self._search(f"tags.`{COMMIT_TAG}` != ''", at_most=1)
        running = self._search("attributes.status = 'RUNNING'")
        return sorted(
            {run.id: run for run in newest + running}.values(), key=lambda run: (-run.began, run.id)
        )

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
        return {run.id: self._held[run.id].data.tags for run in runs}

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return {run.id: self._held[run.id].data.params for run in runs}

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        return {run.id: self._held[run.id].data.metrics for run in runs}

    def md5s(self) -> dict[str, dict[str, str]]:
        of_runs = self.tags(self.runs()).values()
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
        reason = reason_of(error)
    raise Unreachable(f"{masked(source)} cannot be read: {reason}")


def _set_short_timeouts() -> None:
    """Let MLflow give up in time, unless a person has set it otherwise."""
    for name, value in SHORT_TIMEOUTS.items():
        os.environ.setdefault(name, value)
