"""What could not be looked at: an answer is told together with its gaps."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TypeVar

from predictflow.adapters.mlflow_entities import Run, RunReader, Study, Version
from predictflow.adapters.mlflow_store import find_store
from predictflow.errors import Unreachable

Answer = TypeVar("Answer")


class Gaps:
    def __init__(self) -> None:
        self.reasons: list[str] = []  # each once, in the order in which they were met
        self._collections: list[list[str]] = []

    def note(self, reason: str) -> None:
        for reasons in (self.reasons, *self._collections):
            if reason not in reasons:
                reasons.append(reason)

    @contextmanager
    def collecting(self) -> Iterator[list[str]]:
        """The gaps that are met within the `with`, also those that were met before."""
        collected: list[str] = []
        self._collections.append(collected)
        try:
            yield collected
        finally:
            self._collections.pop()

    def look(self, question: Callable[[], Answer], otherwise: Answer) -> Answer:
        """What a question yields; `otherwise` where what it looks at is out of reach, which is noted."""
        try:
            return question()
        except Unreachable as error:
            self.note(str(error))
            return otherwise


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

    def pages(self) -> Iterator[list[Run]]:
        none: Iterator[list[Run]] = iter(())
        pages = self._ask(lambda reader: reader.pages(), none)
        while (page := self._gaps.look(lambda: next(pages, None), None)) is not None:
            yield page

    def few(self) -> list[Run] | None:
        none: list[Run] | None = []
        return self._ask(lambda reader: reader.few(), none)

    def newest(self) -> Run | None:
        return self._ask(lambda reader: reader.newest(), None)

    def with_ids(self, ids: Iterable[str]) -> list[Run]:
        return self._ask(lambda reader: reader.with_ids(ids), [])

    def named(self, experiment: str, beginning: str | None) -> list[Run]:
        return self._ask(lambda reader: reader.named(experiment, beginning), [])

    def runs_of(self, content: str) -> list[Run]:
        return self._ask(lambda reader: reader.runs_of(content), [])

    def latest(self) -> list[Run]:
        return self._ask(lambda reader: reader.latest(), [])

    def studies(self) -> list[Study]:
        return self._ask(lambda reader: reader.studies(), [])

    def trash(self, ids: Iterable[str]) -> set[str]:
        return self._ask(lambda reader: reader.trash(ids), set())

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._ask(lambda reader: reader.tags(runs), {})

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        return self._ask(lambda reader: reader.params(runs), {})

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        return self._ask(lambda reader: reader.metrics(runs), {})

    def md5s(self, beginning: str) -> dict[str, dict[str, str]]:
        return self._ask(lambda reader: reader.md5s(beginning), {})

    def versions(self) -> list[Version]:
        return self._ask(lambda reader: reader.versions(), [])
