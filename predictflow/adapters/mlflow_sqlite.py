"""The project's own store, SQLite, read directly and left as it is.

MLflow takes seconds to start, and a newer MLflow upgrades an older store for good even when it is only
asked.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from math import nan
from pathlib import Path
from typing import Any

from predictflow.adapters.mlflow_entities import PAGE_SIZE, TAGS, Run, Version, md5s_by_content
from predictflow.errors import Unreachable
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX

PROMPT_TAG = "mlflow.prompt.is_prompt"  # MLflow keeps prompts among its models
LOCK_TIMEOUT = 5  # seconds that somebody who writes to a database may hold it
ACTIVE_RUNS = (  # neither they nor their experiment are in MLflow's trash
    "FROM runs JOIN experiments USING (experiment_id)"
    " WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'"
)
OPEN_SUFFIXES = ("-wal", "-journal")  # beside a database that somebody has open


class Database:
    """A store in SQLite, of which MLflow's own tables are read."""

    def __init__(self, path: Path) -> None:
        self.where, self._path = str(path), path

    def _ask(self, question: str, *values: Any) -> list[Any]:
        """Rows. Nothing is written: a reader that takes part in a write-ahead log would leave its files
        behind, so a database that nobody has open is read as one that does not change."""
        try:
            before = self._path.stat().st_mtime_ns
            alone = not any(self._path.with_name(self._path.name + end).exists() for end in OPEN_SUFFIXES)
            rows = self._rows("immutable=1" if alone else "mode=ro", question, values)
            if alone and self._path.stat().st_mtime_ns != before:  # it has changed all the same
                rows = self._rows("mode=ro", question, values)
            return rows
        except (OSError, sqlite3.Error) as error:
            raise Unreachable(f"{self.where} cannot be read: {error}") from error

    def _rows(self, how: str, question: str, values: Iterable[Any]) -> list[Any]:
        with closing(sqlite3.connect(f"{self._path.as_uri()}?{how}", LOCK_TIMEOUT, uri=True)) as connection:
            return connection.execute(question, tuple(values)).fetchall()

    def _number(self, value: Any, what: str) -> Any:
        """SQLite lets a column of numbers hold texts, too, where somebody writes them by hand."""
        if isinstance(value, int | float):
            return value
        raise Unreachable(f"{self.where} cannot be read: {what} is {value!r}, which is no number")

    def runs(self) -> list[Run]:
        return self._runs(ACTIVE_RUNS)

    def every_run(self) -> list[Run]:
        """Those in MLflow's trash too."""
        return self._runs("FROM runs LEFT JOIN experiments USING (experiment_id)")

    def _runs(self, those: str) -> list[Run]:
        tags = _grouped(
            self._ask(f"SELECT run_uuid, key, value FROM tags WHERE key IN {_marks(TAGS)}", *TAGS)
        )
        rows = self._ask(
            "SELECT run_uuid, runs.name, status, start_time, end_time, artifact_uri, artifact_location"
            f" {those} ORDER BY start_time DESC, run_uuid"
        )
        return [
            Run(
                id=run_id,
                name=name,
                status=status,
                began=self._number(began, f"start_time of run {run_id}"),
                ended=None if ended is None else self._number(ended, f"end_time of run {run_id}"),
                tags=tags.get(run_id, {}),
                artifacts=artifacts or "",
                home=home or "",
            )
            for run_id, name, status, began, ended, artifacts, home in rows
        ]

    def trash(self) -> set[str]:
        return {
            run_id for (run_id,) in self._ask("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted'")
        }

    def _of_runs(self, columns: str, runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
        ids = [run.id for run in runs]
        rows = []
        for start in range(0, len(ids), PAGE_SIZE):
            some = ids[start : start + PAGE_SIZE]
            rows += self._ask(f"SELECT run_uuid, {columns} WHERE run_uuid IN {_marks(some)}", *some)
        return _grouped(rows)

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._of_runs("key, value FROM tags", runs)

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._of_runs("key, value FROM params", runs)

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        values = "CASE is_nan WHEN 1 THEN 'nan' ELSE value END"
        of_runs = self._of_runs(f"key, {values} FROM latest_metrics", runs)
        return {
            run_id: {
                key: nan if value == "nan" else self._number(value, f"metric {key} of run {run_id}")
                for key, value in metrics.items()
            }
            for run_id, metrics in of_runs.items()
        }

    def md5s(self) -> dict[str, dict[str, str]]:
        of_runs = self._ask(
            f"SELECT run_uuid, key, value FROM tags WHERE (key = ? OR key GLOB '{MD5_PREFIX}*')"
            f" AND run_uuid IN (SELECT run_uuid {ACTIVE_RUNS})",
            CONTENT_TAG,
        )
        return md5s_by_content([*_grouped(of_runs).values(), *(version.tags for version in self.versions())])

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
            PROMPT_TAG,
        )
        return [
            Version(
                model=name,
                number=self._number(number, f"a version of {name}"),
                stage=stage,
                aliases=tuple(aliases.get((name, number), ())),
                run_id=run_id,
                registered=self._number(registered, f"creation_time of {name}/{number}"),
                tags=tags.get(f"{name}/{number}", {}),
                source=source or "",
                description=description or "",
            )
            for name, number, stage, run_id, registered, source, description in rows
        ]


def _marks(values: Iterable[Any]) -> str:
    return f"({', '.join('?' for _ in values)})"


def _grouped(rows: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    """{owner: {key: value}}."""
    groups: dict[str, dict[str, Any]] = {}
    for owner, key, value in rows:
        groups.setdefault(owner, {})[key] = value
    return groups
