"""What the checks say of a machine that is not at hand: another Python or Git, a full disk, a wrong clock."""

import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from predictflow.adapters import clock
from predictflow.doctor import disk, environment
from predictflow.doctor.check import Asked, Group, State, told
from predictflow.doctor.doctor import exit_code, guarded
from predictflow.errors import Unreachable
from stages.support.errors import UserError

GB = 10**9
Disk = namedtuple("Disk", "f_bavail f_frsize f_files f_favail", defaults=(GB, 1, 10**6, 10**6))
HERE = str(Path(sys.executable))
PIPES = Group("pipes", {"first": "burst", "second": None})


@pytest.mark.parametrize(
    ("version", "on_path", "state"),
    [
        ((3, 11), HERE, "ok"),
        ((3, 13), HERE, "ok"),
        ((3, 10), HERE, "problem"),
        ((3, 14), HERE, "problem"),
        ((3, 12), "/usr/bin/python", "problem"),
        ((3, 12), None, "problem"),
    ],
)
def test_python_is_one_that_the_locks_are_for_and_the_one_that_dvc_starts(version, on_path, state):
    assert environment._python(version, on_path).state == state


@pytest.mark.parametrize(
    ("said", "signers", "state"),
    [
        ("git version 2.39.5\n", True, "ok"),
        ("git version 2.31.0.windows.1\n", False, "ok"),
        ("git version 2.33.8\n", True, "problem"),
        ("git version 2.30.9\n", False, "problem"),
        ("git version 1.8.3.1\n", False, "problem"),
        ("git version 3.0\n", True, "ok"),
        ("no version at all", False, "unknown"),
    ],
)
def test_git_is_new_enough(said, signers, state):
    assert environment._git_version(said, signers).state == state


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("PYTHONPATH", "/elsewhere", "warning"),
        ("GIT_DIR", "/elsewhere/.git", "warning"),
        ("DVC_EXP_NAME", "wide", "warning"),
        ("OMP_DYNAMIC", "TRUE", "warning"),
        ("OMP_NUM_THREADS", "many", "problem"),
        ("PYTHONHASHSEED", "1", "ok"),
        ("GIT_AUTHOR_NAME", "Ada", "ok"),
        ("MLFLOW_TRACKING_URI", "http://ada:secret@127.0.0.1", "ok"),
    ],
)
def test_a_variable_that_leads_astray_is_named_and_its_value_is_not(monkeypatch, name, value, state):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(name, value)
    check = environment._variables({"OMP_NUM_THREADS": "1", name: value})
    assert check.state == state
    assert value not in f"{check.message}{check.cure}" or name.startswith("OMP_")


def test_a_clock_is_right_that_is_after_all_that_was_made():
    assert environment._clock({}, 100.0).state == "ok"
    assert environment._clock({"commit a": 150.0}, 100.0).state == "ok", "two clocks differ"
    late = environment._clock({"commit a": 50.0, "run b": 10_000.0}, 100.0)
    assert late.state == "problem" and "run b" in late.message
    kept = environment._clock({"commit a": 50.0, "run b": 10_000.0}, 100.0, kept=True)
    assert kept.state == "warning" and "run b is of 1970-01-01T02:46:40Z" in kept.message


def test_the_system_is_asked_who_keeps_its_clock(monkeypatch):
    for answer, kept in ((0, True), (4, True), (5, False), (-1, False)):
        system = SimpleNamespace(adjtimex=lambda asked, answer=answer: answer)
        monkeypatch.setattr(clock.ctypes, "CDLL", lambda name, system=system: system)
        assert clock.is_kept_by_network() == kept
    monkeypatch.setattr(clock.ctypes, "CDLL", lambda name: SimpleNamespace())
    assert not clock.is_kept_by_network(), "no Linux"


@pytest.mark.parametrize(("free", "state"), [(10 * GB, "ok"), (3 * GB, "warning"), (GB // 2, "problem")])
def test_room_is_what_a_run_needs_on_the_fullest_disk(free, state):
    check = disk._space({"the project": Disk(10 * GB), "temporary files": Disk(free)}, GB)
    assert check.state == state and "temporary files" in check.message


def test_files_are_counted_where_the_disk_counts_them():
    assert disk._inodes({"the project": Disk(f_favail=999)}).state == "problem"
    assert disk._inodes({"the project": Disk(f_favail=1_000)}).state == "ok"
    assert disk._inodes({"the project": Disk(f_files=0, f_favail=0)}).state == "ok"


def test_a_folder_that_nobody_can_write_to_is_told(tmp_path):
    assert disk._writable({"the project": tmp_path}).state == "ok"
    locked = disk._writable({"the project": tmp_path, "DVC's cache": Path("/proc/sys")})
    assert locked.state == "problem" and "DVC's cache (/proc/sys)" in locked.message


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"123")
    assert disk.size_of(tmp_path) == 8
    assert disk.size_of(tmp_path / "nothing") == 0


@pytest.mark.parametrize(
    "error",
    [
        UserError("they leak.\nCure: close them."),
        Unreachable("they leak."),
        OSError(5, "they leak."),
        KeyError("they leak."),
    ],
)
def test_what_a_group_cannot_go_on_with_is_unknown_and_never_ok(error):
    def look(project, asked):
        yield PIPES.ok("first", "dry")
        raise error

    first, second = guarded(PIPES, look, None, Asked())
    assert (first.state, second.name, second.state) == ("ok", "second", "unknown")
    assert "they leak." in second.message and exit_code([first, second]) == 2
    assert PIPES.look("first", lambda: next(look_that_fails(error))).state == "unknown"


def look_that_fails(error):
    raise error
    yield


def test_an_exit_code_is_that_of_the_worst():
    ok, warning = PIPES.ok("first", "dry"), PIPES.warning("second", "drips", "a bucket")
    problem, unknown = PIPES.problem("first", "wet", "a plumber"), PIPES.unknown("second", "dark")
    assert exit_code([ok, warning]) == 0
    assert exit_code([ok, unknown]) == 2
    assert exit_code([unknown, problem]) == 1
    assert (problem.entry, ok.entry, unknown.entry) == ("burst", None, None)
    assert [state.value for state in State] == ["ok", "warning", "problem", "unknown"]


def test_no_password_is_shown():
    assert "secret" not in PIPES.problem("first", "https://ada:secret@127.0.0.1/x leaks", "close it").message
    assert "secret" not in PIPES.unknown("first", "s3://key:secret@bucket does not answer").message
    assert told(OSError(13, "Permission denied", "/x")) == ("/x: Permission denied", None)
