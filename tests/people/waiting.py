"""Waiting, never for ever."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(found: Callable[[], Found], what: str, seconds: float = 240) -> Found:
    """Ask until the answer is true and give it; fail after `seconds`, naming what never came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} seconds")
