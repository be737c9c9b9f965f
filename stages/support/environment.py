"""The environment is an input: what is installed must be what requirements.lock says."""

import gc
import os
import re
import sys
from importlib import metadata, util
from pathlib import Path

from stages.support.errors import UserError
from stages.support.paths import REQUIREMENTS

SHOWN_PACKAGES = 10  # packages named in an error
BESIDE = {"dvc": "dvclive, which draws the learning curve, imports it"}  # what the lock leaves out
MOST_THREADS = 4096
ROWS_A_THREAD = 50_000
CRASHES = {  # setting: values under which XGBoost's training ends in a segmentation fault
    "OMP_DYNAMIC": re.compile("true", re.IGNORECASE),
    "OMP_MAX_ACTIVE_LEVELS": re.compile("0+"),
}
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*(.*?))?\s*\\?$", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """{package: version} that a lock file's text asks for on this Python and platform."""
    from packaging.markers import Marker

    return {
        name: version
        for name, version, marker in PIN.findall(lock)
        if not marker or Marker(marker).evaluate()
    }


def threads(rows: int) -> int:
    """How many threads to work on so many customers with: OMP_NUM_THREADS (of a list, one a level, its
    first), else one, and one more for each ROWS_A_THREAD, at most the cores there are: on fewer customers
    threads wait for each other longer than they help. It changes no byte.

    Raises UserError where OMP_NUM_THREADS is no such number.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    first = asked.split(",")[0].strip()
    if not first:
        return min(os.cpu_count() or 1, 1 + rows // ROWS_A_THREAD)
    if not (first.isascii() and first.isdigit() and 0 < int(first) <= MOST_THREADS):
        raise UserError(
            f"OMP_NUM_THREADS is {asked!r}.\n"
            f"Cure: unset it, or give it a whole number from 1 to {MOST_THREADS}."
        )
    return int(first)


def keep_openmp_alive() -> None:
    """Take back the settings under which XGBoost's training crashes; OpenMP reads them as it is loaded."""
    for name, breaks in CRASHES.items():
        if breaks.fullmatch(os.environ.get(name, "").strip()):
            told = f"{name}={os.environ.pop(name)} is not heeded: XGBoost crashes under it"
            print(told, file=sys.stderr, flush=True)


def _listed() -> dict[str, str]:
    """{package: version} by the folders that installers leave, the first of a package on sys.path: one look
    for all of them. Only what differs is looked at more closely."""
    versions: dict[str, str] = {}
    for place in filter(Path.is_dir, map(Path, sys.path)):
        for folder in place.glob("*.dist-info"):
            name, _, version = folder.stem.partition("-")
            versions.setdefault(name.lower(), version)
    return versions


def _cure(*locks: str | Path) -> str:
    words = " ".join(f"-r {lock}" for lock in locks)
    return (
        "\nCure: `make clean && make repro` (or, in an environment of your own,"
        f" `pip install --require-hashes --no-deps {words}`)."
    )


def check(lock: Path = REQUIREMENTS) -> None:
    """Raises UserError naming every package whose installed version is not the locked one, or one that is
    needed beside them, or where the stages could not run under OpenMP's settings.

    The stage's imports are to follow: Python's search for garbage waits for `errors.run`.
    """
    keep_openmp_alive()
    threads(0)
    drift = []
    try:
        wanted = pins(lock.read_text(encoding="utf-8"))
    except ModuleNotFoundError:  # not even what reads the lock: another Python than the project's
        wanted = {"packaging": "a version"}
    listed = _listed()
    for name, locked in wanted.items():
        if listed.get(re.sub("[-.]", "_", name).lower()) == locked:
            continue
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
            + _cure(lock)
        )
    for name, why in BESIDE.items():
        if util.find_spec(name) is None:
            raise UserError(f"{sys.executable} has no {name}: {why}." + _cure(lock, "requirements-dev.lock"))
    gc.disable()  # an import makes no garbage: the search for it begins again once all is imported
