"""A store of any kind, and the files of its versions, asked through MLflow."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

from predictflow.adapters.mlflow_entities import (
    CHOICE_TAG,
    COMMIT_TAG,
    EXPERIMENT_TAG,
    PAGE_SIZE,
    RUN_ID,
    STUDIES_TAG,
    TAGS,
    Run,
    Study,
    Version,
    md5s_by_content,
    portions,
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
QUOTABLE = r"[\w.@/+-]+"  # a name that a filter can hold as it is
AT_ONCE = 100  # ids in one question
KEPT = 2000  # runs of which all that they hold is kept for the next question
HEADINGS = ("The following failures", "##### File")  # before the reason, where MLflow downloads many files


def tracking_client(uri: str) -> Any:
    """MLflow's own client. Raises UserError where the store does not answer."""
    reach()
    _set_short_timeouts()
    import mlflow

    return mlflow.MlflowClient(uri)


def pages_of(search: Callable[..., Any], **asked: Any) -> Iterator[Any]:
    """What a search of MLflow's client finds, a page at a time."""
    token = None
    while True:
        page = search(max_results=PAGE_SIZE, page_token=token, **asked)
        yield page
        token = page.token
        if not token:
            return


def all_pages(search: Callable[..., Any], **asked: Any) -> list[Any]:
    """What a search of MLflow's client finds, page after page."""
    return [*chain.from_iterable(pages_of(search, **asked))]


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
        self._held: dict[str, Any] = {}  # of the runs that were asked for last, what else they hold

    @cached_property
    def _client(self) -> Any:
        return tracking_client(self._uri)

    def _ask(self, search: str, **asked: Any) -> Any:
        """A page of what a search finds. A store that has failed once is not waited for again."""
        if self._failed is None:
            try:
                return getattr(self._client, search)(**asked)
            except UserError as error:
                self._failed = Unreachable(masked(str(error).splitlines()[0]))
            except Exception as error:  # of MLflow, of its database's driver, of the network
                self._failed = Unreachable(f"{self.where} cannot be read: {reason_of(error)}")
        raise self._failed

    def _all(self, search: str, **asked: Any) -> list[Any]:
        return all_pages(partial(self._ask, search), **asked)

    @cached_property
    def _all_experiments(self) -> list[Any]:
        return self._all("search_experiments")

    @cached_property
    def _experiments(self) -> dict[str, str]:
        """{id: the address under which it keeps the files of its runs}, of those that hold trainings."""
        found = (found for found in self._all_experiments if STUDIES_TAG not in found.tags)
        return {experiment.experiment_id: experiment.artifact_location for experiment in found}

    def _search(self, wanted: str = "", **asked: Any) -> Any:
        """A page of the runs that a filter of MLflow's finds, the newest first."""
        return self._ask(
            "search_runs",
            experiment_ids=list(self._experiments),
            filter_string=wanted,
            order_by=["start_time DESC"],
            **asked,
        )

    def _runs(self, found: Iterable[Any]) -> list[Run]:
        """MLflow's runs as ours; what else they hold is kept for a while."""
        runs = []
        for run in found:
            data, info = run.data, run.info
            self._held.pop(info.run_id, None)
            self._held[info.run_id] = (data.tags, data.params, data.metrics)
            runs.append(
                Run(
                    id=info.run_id,
                    name=info.run_name,
                    status=info.status,
                    began=info.start_time,
                    ended=info.end_time,
                    tags={tag: data.tags[tag] for tag in TAGS if tag in data.tags},
                    artifacts=info.artifact_uri,
                    home=self._experiments[info.experiment_id],
                )
            )
        for run_id in [*self._held][: -max(KEPT, len(runs))]:
            del self._held[run_id]
        return runs

    def _found(self, wanted: str) -> list[Run]:
        return [run for page in self._pages(wanted) for run in page]

    def _pages(self, wanted: str = "") -> Iterator[list[Run]]:
        before: set[str] = set()
        for page in pages_of(self._search, wanted=wanted):
            # A run that was begun meanwhile moves all others on, some of them to the next page.
            runs = [run for run in self._runs(page) if run.id not in before]
            before = {run.info.run_id for run in page}
            yield runs

    def pages(self) -> Iterator[list[Run]]:
        few = self.few() if "_few" in self.__dict__ else None
        return self._pages() if few is None else iter([few])

    @cached_property
    def _few(self) -> list[Run] | None:
        page = self._search(max_results=PAGE_SIZE)
        return None if page.token else self._runs(page)

    def few(self) -> list[Run] | None:
        return self._few

    def newest(self) -> Run | None:
        return next(iter(self._runs(self._search(max_results=1))), None)

    def with_ids(self, ids: Iterable[str]) -> list[Run]:
        those = filter(RUN_ID.fullmatch, ids)
        return [run for some in portions(those, AT_ONCE) for run in self._found(_of_ids(some))]

    def named(self, experiment: str, beginning: str | None) -> list[Run]:
        if re.fullmatch(QUOTABLE, experiment):
            found = self._found(f"tags.`{EXPERIMENT_TAG}` = '{experiment}'")
        else:
            found = [run for page in self._pages() for run in page if run.experiment == experiment]
        runs = {run.id: run for run in found}
        if beginning and re.fullmatch("[0-9a-f]+", beginning):
            runs |= {run.id: run for run in self._found(f"attributes.run_id LIKE '{beginning}%'")}
        return sorted(runs.values(), key=lambda run: (-run.began, run.id))

    def runs_of(self, content: str) -> list[Run]:
        if not RUN_ID.fullmatch(content):  # no md5, so it may hold what a filter would read otherwise
            return [run for page in self._pages() for run in page if run.content == content]
        return self._found(f"tags.`{CONTENT_TAG}` = '{content}'")

    def latest(self) -> list[Run]:
        newest = self._runs(self._search(f"tags.`{COMMIT_TAG}` != ''", max_results=1))
        running = self._found("attributes.status = 'RUNNING'")
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

    def trash(self, ids: Iterable[str]) -> set[str]:
        from mlflow.entities import ViewType

        deleted: set[str] = set()
        for some in portions(filter(RUN_ID.fullmatch, ids), AT_ONCE):
            asked = {"filter_string": _of_ids(some), "run_view_type": ViewType.DELETED_ONLY}
            found = self._all("search_runs", experiment_ids=list(self._experiments), **asked)
            deleted.update(run.info.run_id for run in found)
        return deleted

    def _data(self, runs: Iterable[Run], part: int) -> dict[str, Any]:
        """What else runs hold; those that are not kept any more are asked for again."""
        data: dict[str, Any] = {}
        for some in portions(runs, PAGE_SIZE):
            data |= {run.id: self._held[run.id][part] for run in some if run.id in self._held}
            lacking = [run.id for run in some if run.id not in data]
            data |= {run.id: self._held[run.id][part] for run in self.with_ids(lacking)}
        return data

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._data(runs, 0)

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._data(runs, 1)

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        return self._data(runs, 2)

    def md5s(self, beginning: str) -> dict[str, dict[str, str]]:
        with_model = self._pages(f"tags.`{CONTENT_TAG}` != ''")
        of_runs = (tags for page in with_model for tags in self.tags(page).values())
        of_versions = (version.tags for version in self.versions())
        return md5s_by_content(chain(of_runs, of_versions), beginning)

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


def _of_ids(ids: Iterable[str]) -> str:
    quoted = ", ".join(f"'{run_id}'" for run_id in ids)
    return f"attributes.run_id IN ({quoted})"


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
