"""The project's own store, SQLite, read directly and left as it is."""

from collections.abc import Iterable, Iterator

from predictflow.adapters.mlflow_entities import (
    CHOICE_TAG,
    COMMIT_TAG,
    EXPERIMENT_TAG,
    PAGE_SIZE,
    STUDIES_TAG,
    TAGS,
    Run,
    Study,
    Version,
    md5s_by_content,
    portions,
)
from stages.tracking import database
from stages.tracking.database import AT_ONCE, grouped, marks
from stages.tracking.store import CONTENT_TAG, MD5_PREFIX

PROMPT_TAG = "mlflow.prompt.is_prompt"  # MLflow keeps prompts among its models
OF_STUDIES = f"(SELECT experiment_id FROM experiment_tags WHERE key = '{STUDIES_TAG}')"
ACTIVE = (  # neither they nor their experiment are in MLflow's trash
    "FROM runs JOIN experiments USING (experiment_id)"
    " WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'"
)
ACTIVE_RUNS = f"{ACTIVE} AND experiment_id NOT IN {OF_STUDIES}"
TAGGED = "(SELECT run_uuid FROM tags WHERE key = ?"  # open at its end


class Database(database.Database):
    """A store in SQLite, of which MLflow's own tables are read."""

    def pages(self) -> Iterator[list[Run]]:
        ids = self.ask(f"SELECT run_uuid {ACTIVE_RUNS} ORDER BY start_time DESC, run_uuid")
        for page in portions((run_id for (run_id,) in ids), PAGE_SIZE):
            yield self.with_ids(page)

    def few(self) -> list[Run] | None:
        ((count,),) = self.ask(f"SELECT COUNT(*) {ACTIVE_RUNS}")
        return self._runs(ACTIVE_RUNS) if count <= PAGE_SIZE else None

    def newest(self) -> Run | None:
        newest = f"(SELECT run_uuid {ACTIVE_RUNS} ORDER BY start_time DESC, run_uuid LIMIT ?)"
        return next(iter(self._runs(f"{ACTIVE_RUNS} AND run_uuid = {newest}", 1)), None)

    def with_ids(self, ids: Iterable[str]) -> list[Run]:
        those = portions(ids, AT_ONCE)
        return [
            run for some in those for run in self._runs(f"{ACTIVE_RUNS} AND run_uuid IN {marks(some)}", *some)
        ]

    def named(self, experiment: str, beginning: str | None) -> list[Run]:
        of_experiment = f"run_uuid IN {TAGGED} AND value = ?)"
        begins_so = "substr(run_uuid, 1, length(?)) = ?"
        those = f"{ACTIVE_RUNS} AND ({of_experiment} OR {begins_so})"
        nothing = "no id"
        return self._runs(those, EXPERIMENT_TAG, experiment, beginning or nothing, beginning or nothing)

    def every_run(self) -> list[Run]:
        """Those in MLflow's trash too."""
        return self._runs("FROM runs LEFT JOIN experiments USING (experiment_id)")

    def runs_of(self, content: str) -> list[Run]:
        return self._runs(f"{ACTIVE_RUNS} AND run_uuid IN {TAGGED} AND value = ?)", CONTENT_TAG, content)

    def latest(self) -> list[Run]:
        newest = f"SELECT run_uuid {ACTIVE_RUNS} AND run_uuid IN {TAGGED}) ORDER BY start_time DESC, run_uuid"
        those = f"{ACTIVE_RUNS} AND (status = 'RUNNING' OR run_uuid = ({newest} LIMIT 1))"
        return self._runs(those, COMMIT_TAG)

    def _runs(self, those: str, *values: str | int) -> list[Run]:
        of_all = f"SELECT run_uuid, key, value FROM tags WHERE key IN {marks(TAGS)}"
        of_some = f"{of_all} AND run_uuid IN (SELECT run_uuid {those})" if values else of_all
        tags = grouped(self.ask(of_some, *TAGS, *values))
        rows = self.ask(
            "SELECT run_uuid, runs.name, status, start_time, end_time, artifact_uri, artifact_location"
            f" {those} ORDER BY start_time DESC, run_uuid",
            *values,
        )
        return [
            Run(
                id=run_id,
                name=name,
                status=status,
                began=self.number(began, f"start_time of run {run_id}"),
                ended=None if ended is None else self.number(ended, f"end_time of run {run_id}"),
                tags=tags.get(run_id, {}),
                artifacts=artifacts or "",
                home=home or "",
            )
            for run_id, name, status, began, ended, artifacts, home in rows
        ]

    def studies(self) -> list[Study]:
        rows = self.ask(
            f"SELECT run_uuid, runs.name {ACTIVE} AND experiment_id IN {OF_STUDIES}"
            " AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = ?) ORDER BY start_time DESC, run_uuid",
            CHOICE_TAG,
        )
        ids = [run_id for run_id, _ in rows]
        tags, metrics = self.tags_of(ids), self.metrics_of(ids)
        return [Study(run_id, name, tags[run_id], metrics.get(run_id, {})) for run_id, name in rows]

    def trash(self, ids: Iterable[str]) -> set[str]:
        deleted = "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted' AND run_uuid IN"
        return {
            run_id
            for some in portions(ids, AT_ONCE)
            for (run_id,) in self.ask(f"{deleted} {marks(some)}", *some)
        }

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self.tags_of([run.id for run in runs])

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self.params_of([run.id for run in runs])

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        return self.metrics_of([run.id for run in runs])

    def md5s(self, beginning: str) -> dict[str, dict[str, str]]:
        named = f"(key = ? OR key GLOB '{MD5_PREFIX}*')"
        of_runs = self.ask(
            f"SELECT run_uuid, key, value FROM tags WHERE {named}"
            f" AND run_uuid IN (SELECT run_uuid {ACTIVE_RUNS})"
            f" AND run_uuid IN (SELECT run_uuid FROM tags WHERE {named} AND substr(value, 1, length(?)) = ?)",
            *(CONTENT_TAG, CONTENT_TAG, beginning, beginning),
        )
        of_versions = (version.tags for version in self.versions())
        return md5s_by_content([*grouped(of_runs).values(), *of_versions], beginning)

    def versions(self) -> list[Version]:
        tags = grouped(self.ask("SELECT name || '/' || version, key, value FROM model_version_tags"))
        aliases: dict[tuple[str, int], list[str]] = {}
        for name, number, alias in self.ask(
            "SELECT name, version, alias FROM registered_model_aliases ORDER BY alias"
        ):
            aliases.setdefault((name, number), []).append(alias)
        rows = self.ask(
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
                number=self.number(number, f"a version of {name}"),
                stage=stage,
                aliases=tuple(aliases.get((name, number), ())),
                run_id=run_id,
                registered=self.number(registered, f"creation_time of {name}/{number}"),
                tags=tags.get(f"{name}/{number}", {}),
                source=source or "",
                description=description or "",
            )
            for name, number, stage, run_id, registered, source, description in rows
        ]
