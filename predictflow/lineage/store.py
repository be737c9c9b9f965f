"""MLflow's store, for those who go on without it."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TypeVar

from predictflow.adapters.mlflow_entities import Run, RunReader, Version
from predictflow.adapters.mlflow_store import find_store
from predictflow.errors import Unreachable
from predictflow.lineage.gaps import Gaps

Answer = TypeVar("Answer")


class ForgivingStore:
    """The questions of a RunReader; where it cannot answer, a gap is noted and the answer is empty."""

    def __init__(self, gaps: Gaps) -> None:
        self._gaps = gaps

    @cached_property
    def _reader(self) -> RunReader | Unreachable:
        try:
            return find_store()
        except Unreachable as error:
            return error

    def _ask(self, question: Callable[[RunReader], Answer], empty: Answer) -> Answer:
        def ask() -> Answer:
            if isinstance(self._reader, Unreachable):  # a gap each time: each question wants to know its own
                raise self._reader
            return question(self._reader)

        return self._gaps.look(ask, empty)

    def runs(self) -> list[Run]:
        return self._ask(lambda reader: reader.runs(), [])

    def trash(self) -> set[str]:
        return self._ask(lambda reader: reader.trash(), set())

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._ask(lambda reader: reader.tags(runs), {})

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._ask(lambda reader: reader.params(runs), {})

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        return self._ask(lambda reader: reader.metrics(runs), {})

    def md5s(self) -> dict[str, dict[str, str]]:
        return self._ask(lambda reader: reader.md5s(), {})

    def versions(self) -> list[Version]:
        return self._ask(lambda reader: reader.versions(), [])
