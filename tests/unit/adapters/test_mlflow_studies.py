"""What a study writes to MLflow is written whole, also where somebody stops the command."""

import os
import signal

import pytest

from predictflow.adapters.mlflow_studies import _uninterrupted


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_waits_for_the_end_of_a_write():
    written = []
    with pytest.raises(KeyboardInterrupt), _uninterrupted():
        press()
        written.append("all of it")
    assert written
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait():
    written = []
    with pytest.raises(KeyboardInterrupt), _uninterrupted():
        press()
        press()
        written.append("all of it")
    assert not written


def test_where_ctrl_c_is_ignored_it_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _uninterrupted():
            press()
            press()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
