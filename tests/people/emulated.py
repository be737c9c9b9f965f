"""A machine of another CPU family: aarch64, emulated by qemu, with Debian's Python and the locked packages.

Nothing is installed into this system: what it is made of lies in the user's cache, and is used again.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from predictflow.adapters.processes import package_index
from tests.people.project import REPOSITORY

LOCKS = ("requirements.lock", "requirements-dev.lock")
# Of the backports: Debian 12's own one, 7.2, crashed now and then in a process that was forked off.
QEMU = "qemu-user:amd64"
PACKAGES = ("python3:arm64", "libgomp1:arm64", "libstdc++6:arm64")
HOOKS = "Post-Invoke"  # what the system's apt does besides, to the system
WAIT = 3600  # seconds that a command may take
APT = """\
APT::Architecture "arm64";
APT::Architectures {{"arm64"; "amd64";}};
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::parts "{folder}/parts";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""


class Unobtainable(Exception):
    """Why the machine cannot be had here."""


@dataclass(frozen=True)
class Emulated:
    """The machine.

    Attributes:
        qemu: the emulator.
        python: the Python of the emulated system, below its root folder.
        site: the folder of its packages.
        cpu: which one it is to be: one of `qemu-aarch64 -cpu help`.
    """

    qemu: Path
    root: Path
    python: Path
    site: Path
    cpu: str = "max"

    def run(self, folder: Path, env: Mapping[str, str], *words: str) -> str:
        """What its Python prints, in a folder; it must end well. Git is this machine's own."""
        alone = {"PYTHONPATH": str(self.site), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [str(self.qemu), "-cpu", self.cpu, "-L", str(self.root), str(self.python), *words]
        return _run(*command, cwd=folder, env={**env, **alone})


def make(cpu: str) -> Emulated:
    """The machine, brought from Debian and PyPI where it is not here yet. Raises Unobtainable."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unobtainable(f"an x86-64 Linux emulates it, and this is {sys.platform} {platform.machine()}")
    if missing := [name for name in ("apt-get", "dpkg") if not shutil.which(name)]:
        raise Unobtainable(f"Debian's packages are brought by {' and '.join(missing)}, not here")
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        raise Unobtainable(f"it is made of Debian's packages, and this is {release['NAME']}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "predictflow" / f"arm64-{release['VERSION_CODENAME']}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        try:
            _bring_system(folder, release["VERSION_CODENAME"])
            (python,) = (folder / "root/usr/bin").glob("python3.[0-9]*[0-9]")
            site = _bring_packages(folder, python.name.removeprefix("python"))
        except subprocess.CalledProcessError as error:
            raise Unobtainable(f"{' '.join(error.cmd[:2])} failed: {error.stderr.strip()[-500:]}") from error
    return Emulated(folder / "qemu/usr/bin/qemu-aarch64", folder / "root", python, site, cpu)


def _bring_system(folder: Path, codename: str) -> None:
    """qemu and root/, by an apt whose settings, lists and downloads all lie in `folder`."""
    if (folder / "root").exists():
        return
    apt = folder / "apt"
    for name in ("state/lists/partial", "cache/archives/partial", "parts"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    for part in Path("/etc/apt/apt.conf.d").glob("*"):  # they may name a proxy
        if HOOKS not in part.read_text(encoding="utf-8"):
            shutil.copy(part, apt / "parts")
    (apt / "status").touch()
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    source = f"deb [signed-by={key}] http://deb.debian.org/debian"
    lines = [f"{source} {suite} main\n" for suite in (codename, f"{codename}-backports")]
    (apt / "sources.list").write_text("".join(lines), encoding="utf-8")
    (apt / "apt.conf").write_text(APT.format(folder=apt), encoding="utf-8")
    env = os.environ | {"APT_CONFIG": str(apt / "apt.conf")}
    _run("apt-get", "update", cwd=apt, env=env)
    _run("apt-get", "download", "--target-release", f"{codename}-backports", QEMU, cwd=apt, env=env)
    without = ("--yes", "--no-install-recommends", "--download-only")
    _run("apt-get", "install", *without, *PACKAGES, cwd=apt, env=env)
    building = folder / "building"
    shutil.rmtree(building, ignore_errors=True)
    for package in apt.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(folder / "qemu"), cwd=apt, env=env)
    for package in (apt / "cache/archives").glob("*.deb"):
        _run("dpkg", "-x", str(package), str(building), cwd=apt, env=env)
    building.rename(folder / "root")


def _bring_packages(folder: Path, version: str) -> Path:
    """The folder with the packages of the locks for this Python; one for each state of the locks."""
    made_of = b"".join((REPOSITORY / name).read_bytes() for name in LOCKS)
    site = folder / f"site-{hashlib.md5(made_of).hexdigest()}"
    if site.exists():
        return site
    building = folder / "building"
    shutil.rmtree(building, ignore_errors=True)
    uv = [str(Path(sys.prefix, "bin/uv")), "pip", "install", "--quiet", "--system-certs", "--no-deps"]
    there = ["--python-platform", "aarch64-manylinux_2_31", "--python-version", version]
    locks = [word for name in LOCKS for word in ("-r", str(REPOSITORY / name))]
    words = [*uv, *there, "--target", str(building), "--require-hashes", *locks]
    _run(*words, cwd=folder, env=os.environ | package_index())
    for old in folder.glob("site-*"):
        shutil.rmtree(old)
    building.rename(site)
    return site


def _run(*words: str, cwd: Path, env: Mapping[str, str]) -> str:
    """What a command prints. Raises CalledProcessError."""
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=WAIT)
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        error.add_note(done.stdout + done.stderr)
        raise error
    return done.stdout
