"""The environment is an input: what is installed must be what requirements.lock says."""

import re
import sys
from importlib import metadata
from pathlib import Path

from stages.support.errors import UserError
from stages.support.paths import REQUIREMENTS

SHOWN_PACKAGES = 10  # packages named in an error
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*(.*?))?\s*\\?$", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """{package: version} that a lock file's text asks for on this Python and platform."""
    from packaging.markers import Marker

    return {
        name: version
        for name, version, marker in PIN.findall(lock)
        if not marker or Marker(marker).evaluate()
    }


def check(lock: Path = REQUIREMENTS) -> None:
    """Raises UserError naming every package whose installed version is not the locked one."""
    drift = []
    try:
        wanted = pins(lock.read_text(encoding="utf-8"))
    except ModuleNotFoundError:  # not even what reads the lock: another Python than the project's
        wanted = {"packaging": "a version"}
    for name, locked in wanted.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "nothing"
        if installed != locked:
            drift.append(f"  {name}: {locked} is locked, {installed} is installed")
    if drift:
        more = [f"  and {len(drift) - SHOWN_PACKAGES} more"] if len(drift) > SHOWN_PACKAGES else []
        raise UserError(
            f"what {sys.executable} has installed is not what {lock} says, so the bytes could differ:\n"
            + "\n".join(drift[:SHOWN_PACKAGES] + more)
            + "\nCure: `make repro` (or, in an environment of your own,"
            f" `pip install --require-hashes --no-deps -r {lock}`)."
        )
