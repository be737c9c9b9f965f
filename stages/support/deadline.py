"""A question that may never be answered, and an end to the wait for it."""

import threading
from collections.abc import Callable
from typing import Any


def in_time(question: Callable[[], Any], seconds: float, too_late: str) -> Any:
    """The answer to a question. Raises what it raises, and TimeoutError, with these words, after `seconds`.

    One that never answers keeps its thread, which keeps no process.
    """
    answers: list[Any] = []
    errors: list[Exception] = [TimeoutError(too_late)]

    def ask() -> None:
        try:
            answers.append(question())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    raise errors[-1]
