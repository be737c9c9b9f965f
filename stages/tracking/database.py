"""MLflow's tables in SQLite, read directly and left as they are.

MLflow takes seconds to start, and a newer MLflow upgrades an older store for good even when it is only
asked.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from math import nan
from pathlib import Path
from typing import Any

from stages.support.errors import Unreachable

LOCK_TIMEOUT = 5  # seconds that somebody who writes to a database may hold it
OPEN_SUFFIXES = ("-wal", "-journal")  # beside a database that somebody has open
AT_ONCE = 1000  # values in one question


class Database:
    """A store in SQLite. Every question may raise Unreachable."""

    def __init__(self, path: Path) -> None:
        self.where, self._path = str(path), path

    def ask(self, question: str, *values: Any) -> list[Any]:
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

    def number(self, value: Any, what: str) -> Any:
        """SQLite lets a column of numbers hold texts, too, where somebody writes them by hand."""
        if isinstance(value, int | float):
            return value
        raise Unreachable(f"{self.where} cannot be read: {what} is {value!r}, which is no number")

    def _of_runs(self, columns: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        rows = []
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            rows += self.ask(f"SELECT run_uuid, {columns} WHERE run_uuid IN {marks(some)}", *some)
        return grouped(rows)

    def tags_of(self, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """{run's id: all its tags}."""
        return self._of_runs("key, value FROM tags", ids)

    def params_of(self, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """{run's id: its params}."""
        return self._of_runs("key, value FROM params", ids)

    def metrics_of(self, ids: Sequence[str]) -> dict[str, dict[str, float]]:
        """{run's id: the last value of each metric}."""
        values = "CASE is_nan WHEN 1 THEN 'nan' ELSE value END"
        of_runs = self._of_runs(f"key, {values} FROM latest_metrics", ids)
        return {
            run_id: {
                key: nan if value == "nan" else self.number(value, f"metric {key} of run {run_id}")
                for key, value in metrics.items()
            }
            for run_id, metrics in of_runs.items()
        }


def marks(values: Iterable[Any]) -> str:
    """A place for each value in a question."""
    return f"({', '.join('?' for _ in values)})"


def grouped(rows: Iterable[tuple[Any, str, Any]]) -> dict[Any, dict[str, Any]]:
    """{owner: {key: value}}."""
    groups: dict[Any, dict[str, Any]] = {}
    for owner, key, value in rows:
        groups.setdefault(owner, {})[key] = value
    return groups
