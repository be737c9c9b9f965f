"""The line of a terminal that tells how far a stage is."""

import io
import re
import time
from collections.abc import Callable

import pytest

from stages.support import progress as module
from stages.support.progress import progress
from tests.people.waiting import until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch):
    """What a block tells on a stream, where patience has an end; it lasts until something was told, or until
    it would have been."""

    def show(stream: io.StringIO, patience: float, meanwhile: Callable[[], object]) -> str:
        monkeypatch.setattr(module, "PATIENCE", patience)
        monkeypatch.setattr("sys.stderr", stream)
        with progress("checking") as tell:
            tell("7 customers checked")
            meanwhile()
        return stream.getvalue()

    return show


def test_a_terminal_is_told_how_far_it_is_and_is_left_clean(shown):
    stream = Terminal()
    told = shown(stream, 0.05, lambda: until(stream.getvalue, "a line on the terminal"))
    assert re.match(r"\r\033\[K7 customers checked, \d+ s", told)
    assert told.endswith("\r\033[K")


def test_what_is_done_at_once_and_what_no_terminal_shows_is_not_told(shown):
    assert shown(Terminal(), 60, lambda: None) == ""
    assert shown(io.StringIO(), 0.01, lambda: time.sleep(0.1)) == ""
