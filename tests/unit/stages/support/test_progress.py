"""The line of a terminal that tells how far a stage is."""

import io
import time

import pytest

from stages.support import progress as module
from stages.support.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch):
    """What a block of so many seconds tells on a stream, where patience lasts a twentieth of one."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    def show(stream: io.StringIO, seconds: float) -> str:
        monkeypatch.setattr("sys.stderr", stream)
        with progress("checking") as tell:
            tell("7 customers checked")
            time.sleep(seconds)
        return stream.getvalue()

    return show


def test_a_terminal_is_told_how_far_it_is_and_is_left_clean(shown):
    told = shown(Terminal(), 0.3)
    assert told.startswith("\r\033[K7 customers checked, 0 s")
    assert told.endswith("\r\033[K")


def test_what_is_done_at_once_and_what_no_terminal_shows_is_not_told(shown):
    assert shown(Terminal(), 0) == ""
    assert shown(io.StringIO(), 0.3) == ""
