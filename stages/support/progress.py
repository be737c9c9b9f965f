"""How far a stage has come, while it takes long enough for somebody to wonder."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 2  # seconds


@contextmanager
def progress(text: str) -> Iterator[Callable[[str], None]]:
    """Tell in one line of the terminal what is done and for how long; what is given replaces the text.

    Nothing is told where no terminal is, nor of what is done within PATIENCE.
    """
    begun, ended = time.monotonic(), threading.Event()

    def tell(other: str) -> None:
        nonlocal text
        text = other

    def show() -> None:
        if ended.wait(PATIENCE):
            return
        while True:
            print(f"\r\033[K{text}, {time.monotonic() - begun:.0f} s", end="", file=sys.stderr, flush=True)
            if ended.wait(1):
                break
        print("\r\033[K", end="", file=sys.stderr, flush=True)

    watch = threading.Thread(target=show, daemon=True)
    if sys.stderr.isatty():
        watch.start()
    try:
        yield tell
    finally:
        ended.set()
        if watch.ident:
            watch.join()
