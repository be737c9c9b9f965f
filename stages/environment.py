"""The environment is an input: what is installed must be what requirements.lock says."""

import re
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker

from stages.errors import UserError

LOCK = Path("requirements.lock")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*(.*?))?\s*\\?$", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """{package: version} that a lock file's text asks for on this Python and platform."""
    return {
        name: version
        for name, version, marker in PIN.findall(lock)
        if not marker or Marker(marker).evaluate()
    }


def check(lock: Path = LOCK) -> None:
    """Raises UserError naming every package whose installed version is not the locked one."""
    drift = []
    for name, locked in pins(lock.read_text(encoding="utf-8")).items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "nothing"
        if installed != locked:
            drift.append(f"  {name}: {locked} is locked, {installed} is installed")
    if drift:
        raise UserError(
            f"the environment is not the one in {lock}, so the bytes could differ:\n"
            + "\n".join(drift)
            + "\nCure: `make repro` (or, in an environment of your own,"
            f" `pip install --require-hashes --no-deps -r {lock}`)."
        )
