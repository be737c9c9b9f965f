"""The environment: Python, its packages and its byte code, Git, the hook, and the clock."""

import importlib.util
import marshal
import os
import re
import shutil
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from operator import itemgetter
from pathlib import Path

from predictflow.adapters import clock
from predictflow.adapters.git import Repository
from predictflow.audit.file_fixes import RemoveByteCode
from predictflow.doctor.check import Asked, Check, Group, told
from predictflow.formatting import SHORT, moment, some_of
from predictflow.lineage.project import Project
from stages.support import environment
from stages.support.errors import UserError
from stages.support.paths import REQUIREMENTS
from stages.tracking.store import SQLITE, tracking_uri

REQUIREMENTS_DEV = Path("requirements-dev.lock")
GROUP = Group(
    "environment",
    {
        "python": "the-environment-is-another",
        "git-version": None,
        "variables": "the-environment-is-another",
        "clock": "the-clock-is-wrong",
        "packages": "the-environment-is-another",
        "byte-code": None,
        "hook": "dvc-repro-wants-to-run-what-has-not-changed",
    },
)
PYTHONS = (3, 11), (3, 13)  # the first and the last that the locks are made for
GIT_VERSION = 2, 31  # the first that knows `rev-parse --path-format`, the newest word of Git's used here
GIT_WITH_SSH = 2, 34  # the first that verifies signatures of SSH keys
NAMED = 3  # packages and files that are told
# That lead Python, DVC or Git elsewhere: a stage would read other code, or a command another project.
MISLEADING = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_")
MISLEADING_GIT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
SLACK = 60  # seconds by which two clocks may differ
HEADER = 16  # bytes before the code in a .pyc
HOOK = "dvc git-hook post-checkout"


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    repository = project.repository
    head = project.params_at(repository.head) if repository.head else {}
    signers = bool(head.get("promote.signers"))
    yield _python(sys.version_info[:2], shutil.which("python"))
    yield GROUP.look("git-version", lambda: _git_version(repository.read("version"), signers))
    yield GROUP.look("variables", lambda: _variables(os.environ))
    yield GROUP.look(
        "clock", lambda: _clock(_newest(project, asked), time.time(), clock.is_kept_by_network())
    )
    root = repository.require_root()
    yield GROUP.look("packages", lambda: _packages(root))
    yield GROUP.look("byte-code", lambda: _byte_code(root))
    yield GROUP.look("hook", lambda: _hook(repository, root))


def _python(version: tuple[int, int], on_path: str | None) -> Check:
    """Args: `on_path`, where the `python` lies that DVC starts the stages with."""
    first, last = PYTHONS
    if not first <= version <= last:
        message = f"this is Python {_dotted(version)}; the locks are for {_dotted(first)} to {_dotted(last)}"
        return GROUP.problem("python", message, f"`make clean && make repro PYTHON=python{_dotted(last)}`")
    if on_path is None or Path(on_path).parent != Path(sys.executable).parent:
        message = f"`dvc repro` starts {on_path or 'no python at all'}, which is not {sys.executable}"
        return GROUP.problem("python", message, f"`. {sys.prefix}/bin/activate`")
    return GROUP.ok("python", f"{_dotted(version)}, {sys.executable}")


def _git_version(said: str, signers: bool) -> Check:
    """Args: `signers`, whether receipts count by the SSH key that has signed them."""
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None:
        return GROUP.unknown("git-version", f"`git version` says {said.strip()!r}")
    version = int(found[1]), int(found[2])
    least = GIT_WITH_SSH if signers else GIT_VERSION
    message = f"{_dotted(version)}; {_dotted(least)} or newer is needed"
    if version < least:
        return GROUP.problem("git-version", message, "install a newer one: https://git-scm.com/downloads")
    return GROUP.ok("git-version", message)


def _variables(environ: Mapping[str, str]) -> Check:
    """Their names alone: a value may be a secret."""
    crashing = [
        name
        for name, breaks in environment.CRASHES.items()
        if breaks.fullmatch(environ.get(name, "").strip())
    ]
    if crashing:
        message = (
            f"XGBoost crashes under {' and '.join(crashing)}; the stages do not heed them, other programs do"
        )
        return GROUP.warning("variables", message, f"`unset {' '.join(crashing)}`")
    try:
        environment.threads(0)
    except UserError as error:
        return GROUP.problem("variables", told(error)[0], "`unset OMP_NUM_THREADS`")
    astray = sorted(name for name in environ if name.startswith(MISLEADING) or name in MISLEADING_GIT)
    if astray:
        message = f"set, and lead Python, DVC or Git elsewhere: {', '.join(astray)}"
        return GROUP.warning("variables", message, f"`unset {' '.join(astray)}`")
    return GROUP.ok("variables", "none is set that leads Python, DVC or Git elsewhere")


def _newest(project: Project, asked: Asked) -> dict[str, float]:
    """{what was made here last: when}, in seconds since 1970."""
    times = {}
    if commit := project.repository.head:
        times[f"commit {commit[:SHORT]}"] = float(
            project.repository.read("show", "-s", "--format=%ct", commit)
        )
    if (asked.remote or tracking_uri().startswith(SQLITE)) and (newest := project.store.newest()):
        times[f"run {newest.id}"] = newest.began / 1000
    return times


def _clock(newest: dict[str, float], now: float, kept: bool = False) -> Check:
    """Args: `kept`, whether the network keeps this machine's clock."""
    what, when = max(newest.items(), key=itemgetter(1), default=("nothing", now))
    if when > now + SLACK:
        message = f"it is {moment(now)} here, but {what} is of {moment(when)}: one of both clocks is wrong"
        if kept:
            message = (
                f"{what} is of {moment(when)}: made by a clock that was ahead; the network keeps this one"
            )
            return GROUP.warning("clock", message, "none is needed: this passes with that time")
        return GROUP.problem(
            "clock", message, "let the machine take its time from the network (`timedatectl set-ntp true`)"
        )
    return GROUP.ok("clock", f"{moment(now)}, after all that was made here")


def _packages(root: Path) -> Check:
    """Raises OSError where a lock file is not here."""
    wanted: dict[str, str] = {}
    for lock in (REQUIREMENTS, REQUIREMENTS_DEV):
        pins = environment.pins((root / lock).read_text("utf-8"))
        if not pins:
            return GROUP.problem("packages", f"{lock} names no package", f"`git checkout -- {lock}`")
        wanted |= pins
    drift = [
        f"{name} {_installed(name) or 'is missing'} instead of {locked}"
        for name, locked in wanted.items()
        if _installed(name) != locked
    ]
    if drift:
        message = f"{len(drift)} of {len(wanted)} differ from the lock files: {some_of(drift, NAMED)}"
        return GROUP.problem("packages", message, "`touch requirements.lock && make .venv/installed`")
    return GROUP.ok("packages", f"all {len(wanted)} are those of {REQUIREMENTS} and {REQUIREMENTS_DEV}")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _byte_code(root: Path) -> Check:
    """Of the stages, which decide a model's bytes: DVC hashes the source, Python may run what it kept."""
    sources = sorted((root / "stages").rglob("*.py"))
    if not sources:
        return GROUP.unknown("byte-code", "there are no stages here")
    wrong = [path for path in sources if _runs_other_code(path)]
    alone = [path for path in sorted((root / "stages").rglob("*.pyc")) if path.parent.name != "__pycache__"]
    if wrong or alone:
        names = [str(path.relative_to(root)) for path in (*wrong, *alone)]
        compiled = [Path(importlib.util.cache_from_source(str(path))) for path in wrong]
        message = f"Python runs other code than these files say: {some_of(names, NAMED)}"
        return GROUP.problem("byte-code", message, "", [RemoveByteCode(path) for path in (*compiled, *alone)])
    return GROUP.ok("byte-code", "Python runs what the stages' files say")


def _runs_other_code(source: Path) -> bool:
    """Whether Python would take the byte code of a file for it, and that is another one's."""
    compiled = Path(importlib.util.cache_from_source(str(source)))
    try:
        text = compiled.read_bytes()
    except FileNotFoundError:
        return False
    if text[:4] != importlib.util.MAGIC_NUMBER or not _is_taken(text, source):
        return False
    try:
        return marshal.loads(text[HEADER:]) != compile(
            source.read_bytes(), str(source), "exec", dont_inherit=True
        )
    except (ValueError, EOFError, TypeError, SyntaxError):
        return True


def _is_taken(compiled: bytes, source: Path) -> bool:
    """Whether Python believes that byte code is of a source: by its time and size, or unasked (PEP 552)."""
    flags, time_or_hash, size = struct.unpack("<4x3I", compiled[:HEADER])
    if flags & 1:
        return not flags & 2 or compiled[8:HEADER] == importlib.util.source_hash(source.read_bytes())
    about = source.stat()
    return (time_or_hash, size) == (int(about.st_mtime) & 0xFFFFFFFF, about.st_size & 0xFFFFFFFF)


def _hook(repository: Repository, root: Path) -> Check:
    """DVC's post-checkout hook, which lets `git checkout` bring the data of that commit."""
    path = root / repository.read("rev-parse", "--git-path", "hooks/post-checkout").strip()
    if not path.is_file():
        return GROUP.warning(
            "hook", "`git checkout` leaves data and models of the commit before", "`make hook`"
        )
    if HOOK not in path.read_text("utf-8", errors="replace"):
        return GROUP.warning("hook", f"{path} does not call DVC", f'add the line `{HOOK} "$@"` to it')
    if not os.access(path, os.X_OK):
        return GROUP.warning("hook", f"{path} cannot be run", f"`chmod +x {path}`")
    return GROUP.ok("hook", "`git checkout` brings data and models with it")


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
