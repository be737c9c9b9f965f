"""Processes that work for a command, and end with it."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from stages.support.parallel import end_with


@contextmanager
def workers(count: int, prepare: Callable[..., None], *args: Any) -> Iterator[ProcessPoolExecutor]:
    """Some processes, each of which calls `prepare(*args)` first; whatever ends the block ends them.

    They are begun anew, not forked off: what this process holds open, such as a lock, is not theirs.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _begin, (os.getpid(), prepare, args)) as pool:
        try:
            yield pool
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _begin(parent: int, prepare: Callable[..., None], args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's to answer
    end_with(parent)
    prepare(*args)
