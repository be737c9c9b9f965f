"""`doctor` finds each fault that is planted, in a line with its cure; `--fix` does what takes no decision."""

import contextlib
import hashlib
import importlib.util
import json
import os
import py_compile
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from predictflow.audit.fixes import FixContext
from predictflow.doctor import cache, disk, environment, git, pipeline, registry
from predictflow.doctor.check import Asked, Check
from predictflow.doctor.doctor import guarded
from predictflow.errors import Unreachable
from predictflow.lineage.project import Project as Looked
from tests import templates
from tests.commands.test_evidence import sql
from tests.people.history import History, opened
from tests.people.manual import json_keys_of, keys
from tests.people.processes import begun
from tests.people.waiting import until

MODULES = {module.GROUP.name: module for module in (environment, git, pipeline, cache, registry)}
HALF = ".abcdefghij-KLMNOPQRS_1.tmp"  # as DVC names what is not whole yet
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
GONE = 2**22 + 1  # no process has this id: Linux gives none that is so high


@pytest.fixture
def history(in_a_database: History) -> History:
    run = in_a_database.project.run
    run("git", "init", "--quiet", "--bare", "../origin.git")
    run("git", "remote", "add", "origin", "../origin.git")
    return in_a_database


@contextlib.contextmanager
def looked_at(history: History) -> Iterator[Looked]:
    """The project, in this process, as its person sees it."""
    with (
        contextlib.chdir(history.project.folder),
        mock.patch.dict(os.environ, history.project.env, clear=True),
        mock.patch.object(sys, "executable", history.project.python),
    ):
        yield Looked.enter(history.project.folder, by_index=True, keep=False)


def look(history: History, group: str, name: str, deep: bool = True) -> Check:
    """One check of a group; what comes after it is not looked at."""
    with looked_at(history) as project:
        module = MODULES[group]
        found = guarded(module.GROUP, module.checks, project, Asked(deep))
        return next(check for check in found if check.name == name)


def mend(history: History, check: Check) -> list[str]:
    with looked_at(history) as project:
        return [fix.apply(FixContext(project, project.model or "")) for fix in check.fixes]


def write(history: History, path: str, text: str | bytes) -> Path:
    file = history.project.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def cached(history: History, path: str = "data/prepared/train.parquet") -> Path:
    """Where the cache has a file of the working tree."""
    md5 = hashlib.md5((history.project.folder / path).read_bytes()).hexdigest()
    return history.project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def spoil(path: Path, add: bytes = b"") -> None:
    """Other bytes, of the same size unless some are added, in an object that only may be read."""
    path.chmod(0o644)
    text = path.read_bytes()
    path.write_bytes(bytes([text[0] ^ 1]) + text[1:] + add)
    path.chmod(0o444)


# Each plants one fault.


def no_hook(history: History) -> None:
    (history.project.folder / ".git/hooks/post-checkout").unlink()


def another_hook(history: History) -> None:
    write(history, ".git/hooks/post-checkout", "#!/bin/sh\nexit 0\n")


def a_commit_of_the_future(history: History) -> None:
    env = {"GIT_COMMITTER_DATE": "2099-01-01T00:00:00Z"}
    history.project.run("git", "commit", "--quiet", "--allow-empty", "-m", "ahead", env=env)


def another_package(history: History) -> None:
    history.project.edit("requirements.lock", "\nmlflow-skinny==", "\nmlflow-skinny==0.")


def a_missing_package(history: History) -> None:
    with (history.project.folder / "requirements-dev.lock").open("a") as lock:
        lock.write("no-such-package==1.0 \\\n")


def no_lock_file(history: History) -> None:
    (history.project.folder / "requirements-dev.lock").unlink()


def an_empty_lock_file(history: History) -> None:
    write(history, "requirements.lock", "")


def other_byte_code(history: History) -> None:
    """Of another code, with the time and size of the file at hand: Python takes it."""
    source = history.project.folder / "stages/support/hashes.py"
    right, times = source.read_bytes(), source.stat()
    source.write_bytes(right.replace(b'"md5"', b'"sha"'))
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    py_compile.compile(str(source), importlib.util.cache_from_source(str(source)), doraise=True)
    source.write_bytes(right)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))


def byte_code_alone(history: History) -> None:
    write(history, "stages/planted.pyc", b"no code")


def nobody(history: History) -> None:
    for name in [name for name in history.project.env if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))]:
        del history.project.env[name]
    history.project.run("git", "config", "user.useConfigOnly", "true")


def a_shallow_clone(history: History) -> None:
    folder = history.project.folder
    history.project.run("git", "clone", "--quiet", "--depth=1", folder.as_uri(), "../shallow")
    history.project.folder = folder.parent / "shallow"


def no_branch(history: History) -> None:
    history.project.run("git", "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach")


def no_origin(history: History) -> None:
    history.project.run("git", "remote", "remove", "origin")


def windows_line_ends(history: History) -> None:
    write(history, "params.yaml", history.project.read("params.yaml").replace("\n", "\r\n"))


def ends_that_git_would_change(history: History) -> None:
    write(history, ".gitattributes", "")
    history.project.run("git", "config", "core.autocrlf", "true")


def a_pointer_of_lfs(history: History) -> None:
    write(history, "data/customers.csv", POINTER)


def a_pointer_of_dvc(history: History) -> None:
    write(history, "data/prepared/test.parquet", history.project.read("data/customers.csv.dvc"))


def a_pointer_in_the_model(history: History) -> None:
    write(history, "models/churn-predictor/model.ubj", POINTER)


def a_merge_in_conflict(history: History) -> None:
    run = history.project.run
    run("git", "config", "core.hooksPath", "/dev/null")
    for branch, bar in (("theirs", "0.81"), ("main", "0.82")):
        run("git", "checkout", "--quiet", *([] if branch == "main" else ["-b"]), branch)
        write(history, "NOTES.md", bar)
        history.project.commit(bar)
    run("git", "merge", "--quiet", "theirs", code=1)


def committed_marks(history: History) -> None:
    lock = history.project.read("dvc.lock")
    write(history, "dvc.lock", f"<<<<<<< HEAD\n{lock}=======\n{lock}>>>>>>> theirs\n")


def a_half_written_lock(history: History) -> None:
    write(history, ".dvc/tmp/rwlock", '{"read": {"')


def a_lock_of_whose_process_another_has_the_number(history: History) -> None:
    entry = {"write": {"data/customers.csv": {"pid": os.getpid(), "cmd": "dvc repro"}}}
    os.utime(write(history, ".dvc/tmp/rwlock", json.dumps(entry)), (0, 0))


def a_lock_of_somebody(history: History) -> None:
    entry = {"read": {"data/customers.csv": [{"pid": os.getpid(), "cmd": "notebook"}]}}
    write(history, ".dvc/tmp/exps/rwlock", json.dumps(entry))


def a_hardlink_lock(history: History) -> None:
    write(history, ".dvc/tmp/lock", f"{history.project.folder}/.dvc/tmp/0123456789abcdef.lock")


def a_dead_experiment(history: History, pid: int = GONE) -> None:
    folder = f".dvc/tmp/exps/run/{'a' * 40}/{'a' * 40}"
    write(history, f"{folder}.json", json.dumps({"pid": pid, "returncode": None}))
    write(history, f"{folder}.run", json.dumps({"name": "wide", "status": 2}))


def half_written_files(history: History) -> None:
    for path in (f"data/prepared/{HALF}", f".dvc/cache/files/md5/ab/{HALF}", "models/.churn-predictor.tmp/x"):
        write(history, path, "half")


def a_killed_experiment(history: History) -> None:
    write(history, ".dvc/tmp/exps/tmpabc/dvc.yaml", "")


def an_empty_dvc_lock(history: History) -> None:
    write(history, "dvc.lock", "")


def half_a_dvc_lock(history: History) -> None:
    text = history.project.read("dvc.lock")
    write(history, "dvc.lock", text[: text.rindex("md5: ") + 2])


def zeros_for_a_dvc_lock(history: History) -> None:
    """As a machine leaves it that lost its power."""
    write(history, "dvc.lock", "\0" * 64)


def a_committed_half_dvc_lock(history: History) -> None:
    half_a_dvc_lock(history)
    history.project.run("git", "commit", "--quiet", "--all", "-m", "half of it")


def a_dvc_lock_that_is_being_merged(history: History) -> None:
    """Half resolved: one mark stands in it still."""
    run, text = history.project.run, history.project.read("dvc.lock")
    run("git", "config", "core.hooksPath", "/dev/null")
    for branch in ("theirs", "main"):
        run("git", "checkout", "--quiet", *([] if branch == "main" else ["-b"]), branch)
        write(history, "dvc.lock", f"{text}# {branch}\n")
        history.project.commit(branch)
    run("git", "merge", "--quiet", "theirs", code=1)
    write(history, "dvc.lock", f"<<<<<<< HEAD\n{text}")


def a_dvc_lock_of_its_own(history: History) -> None:
    history.project.run("git", "rm", "--quiet", "--cached", "dvc.lock")
    history.project.run("git", "commit", "--quiet", "-m", "without it")
    write(history, "dvc.lock", "")


def an_object_less(history: History) -> None:
    cached(history).unlink()


def no_objects(history: History) -> None:
    shutil.rmtree(history.project.folder / ".dvc/cache")


def no_dvc_lock(history: History) -> None:
    history.project.run("git", "rm", "--quiet", "dvc.lock", "data/customers.csv.dvc")


def an_object_of_another_size(history: History) -> None:
    spoil(cached(history), b"more")


def another_object(history: History) -> None:
    spoil(cached(history))


def a_damaged_list(history: History) -> None:
    md5 = re.search(
        r"path: models/churn-predictor\n.*\n\s+md5: (\w+\.dir)", history.project.read("dvc.lock")
    )[1]
    listed = history.project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    listed.chmod(0o644)
    listed.write_text("[{")
    listed.chmod(0o444)


def a_writable_object(history: History) -> None:
    cached(history, "data/prepared/test.parquet").chmod(0o644)


def a_link_to_nothing(history: History) -> None:
    (history.project.folder / "data/customers.csv").unlink()
    (history.project.folder / "data/customers.csv").symlink_to("gone")


def links_between_two_disks(history: History) -> None:
    write(history, ".dvc/config.local", "[cache]\n    type = hardlink\n    dir = /proc/sys\n")


def another_stage(history: History) -> None:
    sql(history, ("UPDATE model_versions SET current_stage = 'Production' WHERE version = 2",))


def a_lost_store(history: History) -> None:
    shutil.rmtree(history.project.folder / "mlflow_data")


FAULTS = [  # the plant, the check that finds it, the state, what it says, and whether --fix mends it
    (no_hook, "environment", "hook", "warning", "leaves data", False),
    (another_hook, "environment", "hook", "warning", "does not call DVC", False),
    (a_commit_of_the_future, "environment", "clock", "problem", "2099-01-01", False),
    (another_package, "environment", "packages", "problem", "mlflow-skinny", False),
    (a_missing_package, "environment", "packages", "problem", "no-such-package is missing", False),
    (no_lock_file, "environment", "packages", "unknown", "requirements-dev.lock", False),
    (an_empty_lock_file, "environment", "packages", "problem", "names no package", False),
    (other_byte_code, "environment", "byte-code", "problem", "stages/support/hashes.py", True),
    (byte_code_alone, "environment", "byte-code", "problem", "stages/planted.pyc", True),
    (nobody, "git", "identity", "warning", "no name", False),
    (a_shallow_clone, "git", "history", "problem", "shallow", False),
    (no_branch, "git", "branch", "warning", "no branch", False),
    (no_origin, "git", "origin", "warning", "stay on this machine", False),
    (windows_line_ends, "git", "line-ends", "problem", "params.yaml", False),
    (ends_that_git_would_change, "git", "line-ends", "warning", "core.autocrlf is true", False),
    (a_pointer_of_lfs, "git", "pointers", "problem", "data/customers.csv (Git LFS)", False),
    (a_pointer_of_dvc, "git", "pointers", "problem", "test.parquet (DVC)", False),
    (a_pointer_in_the_model, "git", "pointers", "problem", "model.ubj (Git LFS)", False),
    (a_merge_in_conflict, "pipeline", "conflicts", "problem", "NOTES.md", False),
    (committed_marks, "pipeline", "conflicts", "problem", "dvc.lock", False),
    (a_half_written_lock, "pipeline", "locks", "problem", "half written", True),
    (a_lock_of_whose_process_another_has_the_number, "pipeline", "locks", "problem", "rwlock", True),
    (a_lock_of_somebody, "pipeline", "locks", "warning", "exps/rwlock", False),
    (a_hardlink_lock, "pipeline", "locks", "warning", "another machine", False),
    (a_dead_experiment, "pipeline", "queue", "problem", "wide", False),
    (half_written_files, "pipeline", "leftovers", "warning", HALF, True),
    (a_killed_experiment, "pipeline", "leftovers", "warning", "killed experiments", False),
    (an_empty_dvc_lock, "pipeline", "lock-file", "problem", "validation failed", True),
    (half_a_dvc_lock, "pipeline", "lock-file", "problem", "'./dvc.lock' is invalid", True),
    (zeros_for_a_dvc_lock, "pipeline", "lock-file", "problem", "unable to read", True),
    (a_committed_half_dvc_lock, "pipeline", "lock-file", "problem", "'./dvc.lock' is invalid", False),
    (a_dvc_lock_that_is_being_merged, "pipeline", "lock-file", "problem", "'./dvc.lock' is invalid", False),
    (a_dvc_lock_of_its_own, "pipeline", "lock-file", "problem", "validation failed", False),
    (committed_marks, "pipeline", "lock-file", "problem", "'./dvc.lock' is invalid", False),
    (an_object_less, "cache", "cached-data", "warning", "data/prepared/train.parquet", False),
    (no_objects, "cache", "cached-data", "warning", "none of the", False),
    (no_dvc_lock, "cache", "cached-data", "warning", "no dvc.lock", False),
    (an_object_of_another_size, "cache", "cached-data", "problem", "another size", True),
    (another_object, "cache", "cached-objects", "problem", "data/prepared/train.parquet", True),
    (a_damaged_list, "cache", "cached-lists", "problem", "list", True),
    (a_writable_object, "cache", "cache-modes", "warning", "may be written to", True),
    (a_link_to_nothing, "cache", "cache-links", "problem", "data/customers.csv", False),
    (links_between_two_disks, "cache", "cache-links", "problem", "another disk", False),
    (another_stage, "registry", "registry", "problem", "stages (1)", False),
    (a_lost_store, "registry", "registry", "warning", "no store", False),
]


@pytest.mark.parametrize(
    ("plant", "group", "name", "state", "says", "mends"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS]
)
def test_a_fault_is_found_told_with_its_cure_and_mended_where_that_takes_no_decision(
    history: History, plant: Callable, group: str, name: str, state: str, says: str, mends: bool
):
    plant(history)
    check = look(history, group, name)
    assert check.state == state and says in check.message and "\n" not in check.message, check
    assert check.cure or state == "unknown"
    assert bool(check.fixes) == mends, check.fixes
    if mends:
        assert all(mend(history, check))
        assert look(history, group, name).state == "ok"


def test_before_any_fault_every_check_says_ok(history: History):
    """All but `in-step`, which is looked at below: else the faults above might have been there before."""
    states = {
        name: look(history, group, name).state
        for group, module in MODULES.items()
        for name in module.GROUP.entries
        if name != "in-step"
    }
    assert {name for name, state in states.items() if state != "ok"} == set()


@contextlib.contextmanager
def at_work(history: History, *words: str) -> Iterator[subprocess.Popen]:
    """A process that goes on, by the name of DVC's."""
    script = 'exec -a dvc "$0" "$@"'
    pipe = {"stdout": subprocess.PIPE, "text": True}
    with begun(["bash", "-c", script, *words], history.project.folder, os.environ, **pipe) as process:
        yield process


def test_what_a_command_at_work_writes_and_holds_is_left_alone(history: History):
    half_written_files(history)
    lock = write(history, ".dvc/tmp/lock", "")
    hold = f"import fcntl, time; f = open({str(lock)!r}); fcntl.flock(f, fcntl.LOCK_EX)"
    hold += "; print(flush=True); time.sleep(600)"
    with at_work(history, sys.executable, "-c", hold) as process:
        process.stdout.readline()
        lock.write_text(f" {process.pid}\n")
        locks = look(history, "pipeline", "locks")
        assert locks.state == "ok" and f"{process.pid}: dvc" in locks.message
        process.send_signal(signal.SIGSTOP)
        until(lambda: look(history, "pipeline", "locks").state == "problem", "stopped")
        assert "was stopped" in look(history, "pipeline", "locks").message
        leftovers = look(history, "pipeline", "leftovers")
        assert (leftovers.state, leftovers.fixes) == ("unknown", ()) and str(process.pid) in leftovers.message
    assert look(history, "pipeline", "locks").state == "ok"
    check = look(history, "pipeline", "leftovers")
    with at_work(history, "sleep", "600"), pytest.raises(Unreachable, match="at work"):
        mend(history, check)
    with (
        check.fixes[0].paths[0].open("rb") as file,
        begun(["sleep", "600"], Path("/"), os.environ, stdin=file) as reader,
    ):
        file.close()
        with pytest.raises(Unreachable, match=f"at work: {reader.pid}: sleep"):
            mend(history, check)


@pytest.mark.parametrize(
    ("note", "state"), [('{"status": 6}', "ok"), ('{"status": 2}', "warning"), ("half", "warning")]
)
def test_an_experiment_that_has_ended_was_not_killed(history: History, note: str, state: str):
    """DVC keeps its note of each `dvc exp run --temp`, however it ended."""
    write(history, ".dvc/tmp/exps/standalone/run/abc/abc.run", note)
    assert look(history, "pipeline", "leftovers").state == state


def test_of_temporary_files_only_those_of_killed_commands_go(history: History):
    """By the names that DVC and the stages give them, and never what Git knows."""
    theirs = [write(history, path, "mine") for path in (".notes.tmp", "data/.draft.tmp", f"notes{HALF}")]
    history.project.run("git", "add", "--force", f"notes{HALF}")
    half_written_files(history)
    check = look(history, "pipeline", "leftovers")
    mend(history, check)
    assert all(path.read_text() == "mine" for path in theirs)
    assert not (history.project.folder / "models/.churn-predictor.tmp").exists()


def test_a_writable_object_with_other_bytes_is_not_protected(history: History):
    another_object(history)
    cached(history).chmod(0o644)
    check = look(history, "cache", "cache-modes")
    with pytest.raises(Unreachable, match="other bytes"):
        mend(history, check)
    assert cached(history).stat().st_mode & 0o777 == 0o644, "DVC would believe it"


@pytest.fixture
def settled(settled_template: Path, tmp_path: Path) -> History:
    """The history, settled, in another place than where it was made."""
    templates.copy("settled", tmp_path)
    templates.relocate(tmp_path)
    return opened(tmp_path / "project", tmp_path / "home", tmp_path / "made.json")


def states(answer: dict) -> dict[str, str]:
    return {check["name"]: check["state"] for check in answer["checks"]}


def test_of_a_healthy_project_every_check_says_so_and_nothing_is_written(settled: History):
    before = settled.project.run("git", "status", "--porcelain", "--ignored").stdout
    answer = settled.answer("doctor", "--deep")
    assert set(states(answer).values()) == {"ok"}, answer
    asked = {name for module in (*MODULES.values(), disk) for name in module.GROUP.entries}
    assert asked <= states(answer).keys(), "a check that says nothing"
    assert settled.project.run("git", "status", "--porcelain", "--ignored").stdout == before
    manual = json_keys_of("doctor")
    assert [key for key in keys(answer) if f"`{key}`" not in manual and key != "not_looked_at"] == []


def test_faults_are_mended_together_and_what_takes_a_decision_is_left(settled: History):
    for plant in (half_written_files, a_half_written_lock, a_writable_object, another_object, no_origin):
        plant(settled)
    told = " ".join(settled.told("doctor", "--deep", code=1).split())
    assert "4 problems: locks, in-step, cached-objects, registry · " in told
    assert "Cure: `predictflow doctor --fix`" in told
    assert "More: docs/runbook.md#" in told
    answer = settled.answer("doctor", "--deep", "--fix")
    assert len(answer["mended"]) == 5 and answer["not_mended"] == []
    assert {name: state for name, state in states(answer).items() if state != "ok"} == {"origin": "warning"}
    assert settled.answer("doctor", "--fix")["mended"] == []


def test_of_a_fresh_clone_nothing_is_wrong_and_of_a_bare_one_most_cannot_be_told(settled: History):
    folder = settled.project.folder
    for how, name in (("--quiet", "clone"), ("--bare", "bare")):
        settled.project.run("git", "clone", "--quiet", how, folder.as_uri(), f"../{name}")
    settled.project.folder = folder.parent / "clone"
    fresh = settled.answer("doctor")
    assert {name for name, state in states(fresh).items() if state != "ok"} == {
        *("hook", "in-step", "cached-data", "store", "registry")
    }
    assert "problem" not in states(fresh).values()
    settled.project.folder = folder.parent / "bare"
    bare = settled.answer("doctor", code=2)
    reasons = {check["message"] for check in bare["checks"] if check["state"] == "unknown"}
    assert len(reasons) == 2 and sum("bare repository" in reason for reason in reasons) == 1, reasons
    assert settled.told("doctor", code=2).count("for the same reason") > 10
    assert "a bare repository" in settled.told("doctor", "--fix", code=1)


def test_an_origin_in_a_network_is_asked_only_where_that_is_wanted(history: History):
    history.project.run("git", "remote", "set-url", "origin", "https://127.0.0.1:1/origin.git")
    near = look(history, "registry", "registry")
    assert near.state == "ok" and "origin was not asked" in near.message
    with looked_at(history) as project:
        (far,) = registry.checks(project, Asked(remote=True))
    assert far.state == "unknown" and "origin cannot be read" in far.message


def test_of_a_lock_that_dvc_cannot_read_the_rest_is_told_all_the_same(settled: History):
    write(settled, "dvc.lock", "- no lock")
    checks = {check["name"]: check for check in settled.answer("doctor", code=1)["checks"]}
    assert checks["lock-file"]["state"] == "problem" and "validation failed" in checks["lock-file"]["message"]
    assert checks["in-step"]["state"] == "unknown" and checks["registry"]["state"] == "ok"


def test_params_that_cannot_be_read_are_told_once_and_hide_nothing_else(settled: History):
    write(settled, "params.yaml", "tracking: [\n")
    answer = settled.answer("doctor", code=1)  # DVC cannot go on either
    assert states(answer)["registry"] == "unknown" and states(answer)["cached-data"] == "ok"
