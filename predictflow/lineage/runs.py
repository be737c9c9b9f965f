"""MLflow's runs, asked for as narrowly as a question needs: a team's server may hold a hundred thousand."""

from collections.abc import Iterator, Mapping
from functools import cached_property

from predictflow.adapters.mlflow_entities import Run
from predictflow.lineage.gaps import ForgivingStore

ASKED_ALONE = 20  # questions after which all runs are read at once


class Runs(Mapping[str, list[Run]]):
    """{content: the runs that made it or tell of it, the newest first}."""

    def __init__(self, store: ForgivingStore) -> None:
        self._store = store
        self._of: dict[str, list[Run]] = {}
        self._with_id: dict[str, Run | None] = {}

    @cached_property
    def all(self) -> list[Run]:
        """Every run that is not deleted, the newest first."""
        return self._store.runs()

    @cached_property
    def _by_content(self) -> dict[str, list[Run]]:
        runs: dict[str, list[Run]] = {}
        for run in self.all:
            if run.content:
                runs.setdefault(run.content, []).append(run)
        return runs

    @cached_property
    def _by_id(self) -> dict[str, Run]:
        return {run.id: run for run in self.all}

    @property
    def _are_read(self) -> bool:
        return "all" in self.__dict__ or len(self._of) + len(self._with_id) >= ASKED_ALONE

    def __getitem__(self, content: str) -> list[Run]:
        if content not in self._of and self._are_read:
            return self._by_content[content]
        if content not in self._of:
            self._of[content] = self._store.runs_of(content)
        if not self._of[content]:
            raise KeyError(content)
        return self._of[content]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_content)

    def __len__(self) -> int:
        return len(self._by_content)

    def with_id(self, run_id: str | None) -> Run | None:
        """The run with an id; None where there is none, or it is deleted."""
        if not run_id:
            return None
        if run_id not in self._with_id and self._are_read:
            return self._by_id.get(run_id)
        if run_id not in self._with_id:
            self._with_id[run_id] = self._store.run(run_id)
        return self._with_id[run_id]
