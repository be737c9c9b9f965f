"""What could not be looked at: an answer is told together with its gaps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from predictflow.errors import Unreachable

Answer = TypeVar("Answer")


class Gaps:
    """What could not be looked at.

    Attributes:
        reasons: each once, in the order in which they were met.
    """

    def __init__(self) -> None:
        self.reasons: list[str] = []
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
