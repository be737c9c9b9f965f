"""MLflow's store, only read: its runs and versions, joined to everything else by content.

The project's own database, SQLite, is asked directly: MLflow takes seconds to start, and a newer MLflow
upgrades an older store for good even when it is only asked. Any other store is asked through MLflow.
"""

import logging
import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from stages import tracking
from stages.errors import UserError

EXPERIMENT, COMMIT, DIRTY = "dvc.exp_name", "git.commit", "git.dirty"
PROCESS = (tracking.HOST, tracking.PID, tracking.BEGAN)  # which one has made a run
TAGS = (tracking.CONTENT, tracking.RESTORED, EXPERIMENT, COMMIT, DIRTY, *PROCESS)
MD5 = "md5/"  # before a path, in the name of a tag
PROMPT = "mlflow.prompt.is_prompt"  # MLflow keeps prompts among its models
PATIENCE = 5  # seconds that somebody who writes to a database may hold it
PAGE = 1000  # what MLflow hands out at once
LIVING = (  # neither they nor their experiment are in MLflow's trash
    "FROM runs JOIN experiments USING (experiment_id)"
    " WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'"
)
OPEN = ("-wal", "-journal")  # beside a database that somebody has open
# A server or bucket that fails is asked once more, and waited for; MLflow itself would go on for minutes.
BRIEFLY = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "AWS_MAX_ATTEMPTS": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # an answer has no room for it
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # likewise
}
HEADINGS = ("The following failures", "##### File")  # before the reason, where MLflow downloads many files


class Unreachable(Exception):
    """A store that is not there, or does not answer: what was asked, and why it could not be."""


class Missing(Unreachable):
    """A store that is not there: nothing was ever logged to it."""


@dataclass(frozen=True)
class Run:
    """A run of MLflow's.

    Attributes:
        status: RUNNING, FINISHED, FAILED or KILLED.
        began, ended: milliseconds since 1970; `ended` is None while it goes on.
        tags: those of TAGS that it has.
        artifacts: the address of its files, as MLflow reads them.
    """

    id: str
    name: str
    status: str
    began: int
    ended: int | None
    tags: dict[str, str]
    artifacts: str

    @property
    def content(self) -> str | None:
        """The model that it made; None for a run that made none."""
        return self.tags.get(tracking.CONTENT)

    @property
    def experiment(self) -> str | None:
        """The name of DVC's experiment."""
        return self.tags.get(EXPERIMENT)

    @property
    def restored(self) -> bool:
        """Whether it was written from the recorded files, not by the training itself."""
        return tracking.RESTORED in self.tags


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        stage: as MLflow names it: None, Staging, Production or Archived.
        registered: milliseconds since 1970.
        source: the address of its files, as MLflow reads them.
        description: in Markdown.
    """

    model: str
    number: int
    stage: str
    aliases: tuple[str, ...]
    run_id: str | None
    registered: int
    tags: dict[str, str]
    source: str
    description: str

    @property
    def name(self) -> str:
        return f"{self.model}/{self.number}"

    @property
    def content(self) -> str | None:
        return self.tags.get(tracking.CONTENT)


class Store(Protocol):
    """What can be asked of a store. Every question may raise Unreachable."""

    where: str

    def runs(self) -> list[Run]:
        """All that are not deleted, the newest first."""

    def trash(self) -> set[str]:
        """The ids of the runs in MLflow's trash."""

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        """{run's id: all its tags}."""

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        """{run's id: its params}."""

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        """{run's id: the last value of each metric}."""

    def md5s(self) -> dict[str, dict[str, str]]:
        """{content: {path: md5}} of all runs and versions."""

    def versions(self) -> list[Version]:
        """All of every registered model, the newest first."""


def find() -> Store:
    """The store that the stages write to. Raises Missing where it is not there, Unreachable where that
    cannot be seen."""
    uri = tracking.uri()
    if not uri.startswith(tracking.SQLITE):
        return Client(uri)
    path = Path(uri.removeprefix(tracking.SQLITE))
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise Missing(f"{path} is not there") from None
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}") from error
    return Database(path)


class Database:
    """A store in SQLite, of which MLflow's own tables are read."""

    def __init__(self, path: Path) -> None:
        self.where, self._path = str(path), path

    def _ask(self, question: str, *values: Any) -> list[Any]:
        """Rows. Nothing is written: a reader that takes part in a write-ahead log would leave its files
        behind, so a database that nobody has open is read as one that does not change."""
        try:
            before = self._path.stat().st_mtime_ns
            alone = not any(self._path.with_name(self._path.name + end).exists() for end in OPEN)
            rows = self._rows("immutable=1" if alone else "mode=ro", question, values)
            if alone and self._path.stat().st_mtime_ns != before:  # it has changed all the same
                rows = self._rows("mode=ro", question, values)
            return rows
        except (OSError, sqlite3.Error) as error:
            raise Unreachable(f"{self.where} cannot be read: {error}") from error

    def _rows(self, how: str, question: str, values: Iterable[Any]) -> list[Any]:
        with closing(sqlite3.connect(f"{self._path.as_uri()}?{how}", PATIENCE, uri=True)) as connection:
            return connection.execute(question, tuple(values)).fetchall()

    def runs(self) -> list[Run]:
        return self._runs(LIVING)

    def every_run(self) -> list[Run]:
        """Those in MLflow's trash too."""
        return self._runs("FROM runs")

    def _runs(self, those: str) -> list[Run]:
        tags = _grouped(
            self._ask(f"SELECT run_uuid, key, value FROM tags WHERE key IN {_marks(TAGS)}", *TAGS)
        )
        rows = self._ask(
            f"SELECT run_uuid, runs.name, status, start_time, end_time, artifact_uri {those}"
            " ORDER BY start_time DESC, run_uuid"
        )
        return [
            Run(id, name, status, began, ended, tags.get(id, {}), artifacts or "")
            for id, name, status, began, ended, artifacts in rows
        ]

    def trash(self) -> set[str]:
        return {id for (id,) in self._ask("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted'")}

    def _of_runs(self, columns: str, runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
        ids = [run.id for run in runs]
        rows = []
        for start in range(0, len(ids), PAGE):
            some = ids[start : start + PAGE]
            rows += self._ask(f"SELECT run_uuid, {columns} WHERE run_uuid IN {_marks(some)}", *some)
        return _grouped(rows)

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._of_runs("key, value FROM tags", runs)

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._of_runs("key, value FROM params", runs)

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        values = "CASE is_nan WHEN 1 THEN 'nan' ELSE value END"
        told = self._of_runs(f"key, {values} FROM latest_metrics", runs)
        return {id: {key: float(value) for key, value in metrics.items()} for id, metrics in told.items()}

    def md5s(self) -> dict[str, dict[str, str]]:
        of_runs = self._ask(
            f"SELECT run_uuid, key, value FROM tags WHERE (key = ? OR key GLOB '{MD5}*')"
            f" AND run_uuid IN (SELECT run_uuid {LIVING})",
            tracking.CONTENT,
        )
        return _md5s([*_grouped(of_runs).values(), *(version.tags for version in self.versions())])

    def versions(self) -> list[Version]:
        tags = _grouped(self._ask("SELECT name || '/' || version, key, value FROM model_version_tags"))
        aliases: dict[tuple[str, int], list[str]] = {}
        for name, number, alias in self._ask(
            "SELECT name, version, alias FROM registered_model_aliases ORDER BY alias"
        ):
            aliases.setdefault((name, number), []).append(alias)
        rows = self._ask(
            "SELECT name, version, current_stage, run_id, creation_time,"
            " COALESCE(NULLIF(storage_location, ''), source), description FROM model_versions"
            " WHERE current_stage != 'Deleted_Internal' AND name NOT IN"
            " (SELECT name FROM model_version_tags WHERE key = ? AND value = 'true')"
            " ORDER BY name, version DESC",
            PROMPT,
        )
        return [
            Version(
                name,
                number,
                stage,
                tuple(aliases.get((name, number), ())),
                run,
                registered,
                tags.get(f"{name}/{number}", {}),
                source or "",
                description or "",
            )
            for name, number, stage, run, registered, source, description in rows
        ]


class Client:
    """A store of any kind, asked through MLflow."""

    def __init__(self, uri: str) -> None:
        self.where = masked(uri)
        self._uri = uri
        self._failed: Unreachable | None = None

    @cached_property
    def _client(self) -> Any:
        tracking.reach()
        _be_brief()
        import mlflow

        return mlflow.MlflowClient(self._uri)

    def _all(self, search: str, **asked: Any) -> list[Any]:
        """Every page of a search. A store that has failed once is not waited for again."""
        if self._failed is None:
            try:
                return self._pages(search, asked)
            except UserError as error:
                self._failed = Unreachable(masked(str(error).splitlines()[0]))
            except Exception as error:  # of MLflow, of its database's driver, of the network
                told = str(error).splitlines() or [type(error).__name__]
                self._failed = Unreachable(f"{self.where} cannot be read: {masked(told[0])}")
        raise self._failed

    def _pages(self, search: str, asked: dict[str, Any]) -> list[Any]:
        found, token = [], None
        while True:
            page = getattr(self._client, search)(max_results=PAGE, page_token=token, **asked)
            found += page
            token = page.token
            if not token:
                return found

    @cached_property
    def _experiments(self) -> list[str]:
        return [experiment.experiment_id for experiment in self._all("search_experiments")]

    @cached_property
    def _runs(self) -> dict[str, Any]:
        found = self._all("search_runs", experiment_ids=self._experiments, order_by=["start_time DESC"])
        return {run.info.run_id: run for run in found}

    def runs(self) -> list[Run]:
        return [
            Run(
                id,
                run.info.run_name,
                run.info.status,
                run.info.start_time,
                run.info.end_time,
                {tag: run.data.tags[tag] for tag in TAGS if tag in run.data.tags},
                run.info.artifact_uri,
            )
            for id, run in self._runs.items()
        ]

    def trash(self) -> set[str]:
        from mlflow.entities import ViewType

        found = self._all(
            "search_runs", experiment_ids=self._experiments, run_view_type=ViewType.DELETED_ONLY
        )
        return {run.info.run_id for run in found}

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return {run.id: self._runs[run.id].data.tags for run in runs}

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return {run.id: self._runs[run.id].data.params for run in runs}

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        return {run.id: self._runs[run.id].data.metrics for run in runs}

    def md5s(self) -> dict[str, dict[str, str]]:
        of_runs = (run.data.tags for run in self._runs.values())
        return _md5s([*of_runs, *(version.tags for version in self.versions())])

    def versions(self) -> list[Version]:
        aliases: dict[tuple[str, str], list[str]] = {}
        for model in self._all("search_registered_models"):
            for alias, number in sorted(model.aliases.items()):
                aliases.setdefault((model.name, str(number)), []).append(alias)
        found = [
            Version(
                version.name,
                int(version.version),
                version.current_stage,
                tuple(aliases.get((version.name, str(version.version)), ())),
                version.run_id,
                version.creation_timestamp,
                dict(version.tags),
                version.source or "",
                version.description or "",
            )
            for version in self._all("search_model_versions")
        ]
        return sorted(found, key=lambda version: (version.model, -version.number))


def download(source: str, folder: Path) -> Path:
    """Bring the files at a version's source into a folder, through MLflow; where they lie in it.

    Raises Unreachable where they cannot be had: the server does not answer, or a package for it is missing.
    """
    _be_brief()
    from mlflow.artifacts import download_artifacts

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # below that it tells addresses with their password
    try:
        # With the slash at its end a folder that is gone is an empty one, as it is in a bucket.
        return Path(download_artifacts(f"{source}/", dst_path=str(folder), tracking_uri=tracking.uri()))
    except ModuleNotFoundError as error:
        reason = f"MLflow needs the module {error.name}, which is not here (for S3: `pip install boto3`)"
    except Exception as error:  # of MLflow, of the network, of a cloud's own package
        told = [line for line in str(error).splitlines() if line and not line.startswith(HEADINGS)]
        reason = masked(told[0]) if told else type(error).__name__
    raise Unreachable(f"{masked(source)} cannot be read: {reason}")


def _be_brief() -> None:
    """Let MLflow give up in time, unless a person has set it otherwise."""
    for name, value in BRIEFLY.items():
        os.environ.setdefault(name, value)


def masked(text: str) -> str:
    """A text without the name and password of an address in it."""
    return re.sub(r"//[^/\s]*@", "//…@", text)


def _md5s(tagged: Iterable[dict[str, str]]) -> dict[str, dict[str, str]]:
    """{content: {path: md5}} of the tags of runs and versions."""
    found: dict[str, dict[str, str]] = {}
    for tags in tagged:
        if tracking.CONTENT in tags:
            md5s = {tag.removeprefix(MD5): md5 for tag, md5 in tags.items() if tag.startswith(MD5)}
            found.setdefault(tags[tracking.CONTENT], {}).update(md5s)
    return found


def _marks(values: Iterable[Any]) -> str:
    return f"({', '.join('?' for _ in values)})"


def _grouped(rows: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    """{owner: {key: value}}."""
    groups: dict[str, dict[str, Any]] = {}
    for owner, key, value in rows:
        groups.setdefault(owner, {})[key] = value
    return groups
