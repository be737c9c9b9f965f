"""Disks that a test mounts, which nobody else sees."""

import os
import shutil
import subprocess

import pytest


def own_mounts() -> list[str]:
    """The words before a command which give it mounts of its own; where that cannot be, as on macOS, the test
    is skipped."""
    words = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("no mounts of one's own are allowed here")
    return words
