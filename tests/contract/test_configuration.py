"""DVC's configuration and the lock files: the same environment and the same remote for everybody."""

import configparser
import re
import tomllib

import pytest
from packaging.utils import canonicalize_name

from stages.support import environment
from tests.declared import text, yaml

LOCKS = ["requirements.lock", "requirements-dev.lock"]
PYTHONS = ["3.11", "3.12", "3.13"]


@pytest.fixture
def python(monkeypatch):
    """Let the markers of a lock file see another version of Python."""
    from packaging import markers

    here = markers.default_environment()

    def become(version: str) -> None:
        other = here | {"python_version": version, "python_full_version": f"{version}.0"}
        monkeypatch.setattr(markers, "default_environment", lambda: dict(other))

    return become


def wanted(path: str) -> set[str]:
    """The packages that a .in file names."""
    names = [re.match(r"[A-Za-z0-9._-]+", line) for line in text(path).splitlines()]
    return {canonicalize_name(name[0]) for name in names if name}


def blocks(lock: str) -> list[str]:
    """Each package of a lock file with the lines that belong to it."""
    return re.findall(r"^[A-Za-z0-9][^\n]*(?:\n    [^\n]*)*", text(lock), re.MULTILINE)


def test_the_default_remote_is_the_one_that_verifies():
    config = configparser.ConfigParser()
    config.read_string(re.sub(r"^\s+", "", text(".dvc/config"), flags=re.MULTILINE))
    assert config["core"]["remote"] == "s3remote"
    assert config["core"]["analytics"] == "false"
    assert dict(config["'remote \"s3remote\"'"]) == {
        "url": "s3://predictflow-dvc-cache",
        "verify": "true",
        "connect_timeout": "10",  # seconds: a server that is silent is told
        "read_timeout": "30",
    }


def test_the_customers_are_tracked_by_dvc_and_ignored_by_git():
    (out,) = yaml("data/customers.csv.dvc")["outs"]
    assert out["path"] == "customers.csv"
    assert re.fullmatch("[0-9a-f]{32}", out["md5"])
    assert "/customers.csv" in text("data/.gitignore").splitlines()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_of_a_lock_is_pinned_with_its_hashes(lock):
    found = blocks(lock)
    assert len(found) > 20
    for block in found:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), block.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), block.splitlines()[0]
        # Every line but the last one of a requirement goes on: a hash is never left out of it.
        lines = [line for line in block.splitlines() if not line.strip().startswith("#")]
        assert all(line.endswith("\\") for line in lines[:-1]) and not lines[-1].endswith("\\")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_no_path(lock):
    lines = [line for line in text(lock).splitlines() if not line.startswith("#")]
    assert not [line for line in lines if "://" in line or "index-url" in line or " @ " in line]


@pytest.mark.parametrize("version", PYTHONS)
def test_the_locks_hold_every_package_that_was_asked_for_on_every_python(version, python):
    python(version)
    stages, rest = (
        {canonicalize_name(name): pin for name, pin in environment.pins(text(lock)).items()} for lock in LOCKS
    )
    assert wanted("requirements.in") <= stages.keys()
    assert wanted("requirements-dev.in") <= stages.keys() | rest.keys()
    assert stages | rest == rest | stages, "the two locks ask for different versions of a package"


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_one_version_of_a_package_on_every_python(lock, version, python):
    from packaging.markers import Marker

    python(version)
    meant = [
        name
        for name, _, marker in environment.PIN.findall(text(lock))
        if not marker or Marker(marker).evaluate()
    ]
    assert len(meant) == len(set(meant)) > 20
    assert set(meant) == environment.pins(text(lock)).keys()


@pytest.mark.parametrize("lock", LOCKS)
def test_the_pins_are_all_the_packages_of_a_lock(lock):
    """Or a drift of the one that is not read would go unnoticed."""
    assert len(environment.PIN.findall(text(lock))) == len(blocks(lock))


def test_the_exact_versions_that_were_asked_for_are_the_locked_ones():
    for given, lock in (("requirements.in", LOCKS[0]), ("requirements-dev.in", LOCKS[1])):
        exact = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)$", text(given), re.MULTILINE))
        assert exact.items() <= environment.pins(text(lock)).items()


def test_no_setting_of_uv_binds_an_environment_to_one_python():
    """`uv pip install` obeys [tool.uv.pip] too: with python-version there it takes that Python's wheels."""
    settings = tomllib.loads(text("pyproject.toml"))
    assert "python-version" not in settings["tool"].get("uv", {}).get("pip", {})
