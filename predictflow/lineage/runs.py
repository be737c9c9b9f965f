"""MLflow's runs, asked for as narrowly as a question needs: a team's server may hold a hundred thousand."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import cached_property

from predictflow.adapters.mlflow_entities import Run
from predictflow.lineage.gaps import ForgivingStore
from stages.support.progress import progress

ASKED_ALONE = 20  # questions after which all runs are read at once, where they are few
READING = "reading MLflow's runs"


class Runs(Mapping[str, list[Run]]):
    """{content: the runs that made it or tell of it, the newest first}.

    Attributes:
        tell: who is told how far it has come; None for whoever looks at the terminal.
    """

    def __init__(self, store: ForgivingStore) -> None:
        self._store = store
        self.tell: Callable[[str], None] | None = None
        self._of: dict[str, list[Run]] = {}
        self._with_id: dict[str, Run | None] = {}

    def pages(self) -> Iterator[list[Run]]:
        """Every run that is not deleted, the newest first, many at once and no more than that held."""
        count = 0
        with nullcontext(self.tell) if self.tell else progress(READING) as tell:
            for page in self._store.pages():
                count += len(page)
                tell(f"{READING}, {count:,}")
                yield page

    @cached_property
    def _contents(self) -> dict[str, None]:
        return {run.content: None for page in self.pages() for run in page if run.content}

    @cached_property
    def _few(self) -> list[Run] | None:
        return self._store.few()

    @cached_property
    def _by_content(self) -> dict[str, list[Run]]:
        runs: dict[str, list[Run]] = {}
        for run in self._few or ():
            if run.content:
                runs.setdefault(run.content, []).append(run)
        return runs

    @cached_property
    def _by_id(self) -> dict[str, Run]:
        return {run.id: run for run in self._few or ()}

    @property
    def _are_read(self) -> bool:
        return len(self._of) + len(self._with_id) >= ASKED_ALONE and self._few is not None

    def __getitem__(self, content: str) -> list[Run]:
        if content not in self._of and self._are_read:
            return self._by_content[content]
        if content not in self._of:
            self._of[content] = self._store.runs_of(content)
        if not self._of[content]:
            raise KeyError(content)
        return self._of[content]

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)

    def with_id(self, run_id: str | None) -> Run | None:
        """The run with an id; None where there is none, or it is deleted."""
        if not run_id:
            return None
        if run_id not in self._with_id and self._are_read:
            return self._by_id.get(run_id)
        if run_id not in self._with_id:
            self.bring([run_id])
        return self._with_id[run_id]

    def bring(self, ids: Iterable[str | None]) -> None:
        """Ask for runs by their ids, all at once: it is quicker than one by one."""
        unknown = [run_id for run_id in dict.fromkeys(ids) if run_id and run_id not in self._with_id]
        self._with_id |= dict.fromkeys(unknown)
        self._with_id |= {run.id: run for run in self._store.with_ids(unknown)} if unknown else {}
