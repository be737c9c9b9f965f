"""Work done in a process of its own while this one does something else."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def beside(work: Callable[..., Any], *args: Any) -> Iterator[Future]:
    """Start `work(*args)`; whatever ends the block early ends it too.

    A stage spends most of its time on importing its libraries, MLflow above all: with the work on one
    core and MLflow on the other it waits for the longer of the two, not for both.
    """
    with ProcessPoolExecutor(1) as pool:
        try:
            yield pool.submit(work, *args)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
