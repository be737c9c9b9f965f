"""What docs/platforms.md says of other machines, as far as it can be looked at from here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from predictflow.adapters.processes import package_index
from tests.people.project import REPOSITORY, tracked

# Without a wheel, but of Python alone: it is built everywhere.
BUILT = "antlr4-python3-runtime"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize(
    ("platform", "built"),
    [
        ("x86_64-manylinux_2_31", [BUILT]),
        ("aarch64-manylinux_2_31", [BUILT]),
        ("aarch64-apple-darwin", [BUILT]),
        ("x86_64-apple-darwin", [BUILT, "cryptography"]),
        ("x86_64-pc-windows-msvc", [BUILT]),
    ],
)
def test_the_locked_packages_have_wheels_for(platform: str, built: list[str], version: str, tmp_path: Path):
    words = [f"{Path(sys.executable).parent}/uv", "pip", "install", "--system-certs", "--dry-run", "--quiet"]
    words += ["--target", str(tmp_path), "--python-platform", platform, "--python-version", version]
    words += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    words += [word for name in built for word in ("--no-binary", name)]
    words += ["-r", "requirements.lock", "-r", "requirements-dev.lock"]
    done = subprocess.run(
        words, cwd=REPOSITORY, env=os.environ | package_index(), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr


def test_no_two_paths_differ_in_case_alone():
    paths = tracked()
    assert len({path.casefold() for path in paths}) == len(paths) > 100
