"""Work in a process of its own."""

import signal
import sys

from stages.support.parallel import beside, finish


def test_the_process_ends_at_once_when_it_is_told_to():
    """The stage's own handler raises, which XGBoost drops where it calls back: the work would go on."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with beside(signal.getsignal, signal.SIGTERM) as work:
            assert finish(work) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
