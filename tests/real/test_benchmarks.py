"""A benchmark that nobody runs would no longer run when it is needed."""

import re
import subprocess
import sys

import pytest

from tests.people.project import REPOSITORY, WAIT


@pytest.mark.slow
def test_the_queue_is_measured_and_nothing_of_it_stays():
    words = [sys.executable, "-m", "benchmarks.queued", "--experiments", "2", "--workers", "2"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^2 experiments, 2 at once: \d+ s, \d+\.\d s each$", done.stdout, re.MULTILINE)
