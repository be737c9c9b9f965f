"""Work done in a process, or a thread, of its own while this one does something else."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from stages.support.errors import UserError

Item = TypeVar("Item")


@contextmanager
def beside(work: Callable[..., Any], *args: Any) -> Iterator[Future]:
    """Start `work(*args)`; whatever ends the block early, or kills this process, ends it too.

    A stage spends most of its time on importing its libraries, MLflow above all: with the work on one
    core and MLflow on the other it waits for the longer of the two, not for both.
    """
    with ProcessPoolExecutor(1, initializer=end_with, initargs=(os.getpid(),)) as pool:
        try:
            yield pool.submit(work, *args)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def finish(work: Future) -> Any:
    """What the work gave. Raises what it raised, and UserError where it was killed."""
    try:
        return work.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process of this stage was killed, perhaps for want of memory.\nCure: `dvc repro` again."
        ) from error


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; a thread makes the next one while this one is worked on.

    It is worth it where that lets go of Python's lock, as pyarrow's readers do.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def end_with(parent: int) -> None:
    """End this process when its parent is gone, which would write its outputs into a later run; and at once
    when it is told to, where the parent's own handler, inherited, would raise in the midst of XGBoost's code,
    which drops it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
