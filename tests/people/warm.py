"""A process that has imported what DVC, MLflow and the stages import, and forks a child for each command.

Most of a command's time goes into importing these libraries: seconds, each time the same. Here one process
has imported them once. A project in a hurry finds in place of `python`, `dvc`, `gto` and `predictflow`
commands of the same names that ask this process for a child. The child gets the folder, the environment, the
arguments and the very files that the command was given, and runs what the command would have run; nothing of
this project was imported beforehand. The command ends as its child ends: with the same code, or killed by the
same signal.

What is given anything that Python or a library reads but once, as it starts, and what writes to a terminal,
is run as it always is. tests/real holds this to its word: what is made here is made without it, to the byte.
"""

import atexit
import contextlib
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import sqlite3
import sys
import threading
from pathlib import Path

SOCKET = "warm.socket"
COMMANDS = ("python", "dvc", "gto", "predictflow")
MODULES = ("dvc", "gto", "stages.", "predictflow.")  # that are run with `python -m`
EARLY = ("PYTHON", "OMP_", "OPENBLAS_", "MKL_", "NPY_", "GLIBC_", "LANG", "LC_", "LD_", "MALLOC_", "TZ")
LIBRARIES = """
    alembic.command alembic.config mlflow mlflow.pyfunc mlflow.sklearn.utils mlflow.tracing.export.utils
    mlflow.tracing.processor.base_mlflow mlflow.store.model_registry.sqlalchemy_workspace_store
    mlflow.store.tracking.sqlalchemy_workspace_store mlflow.xgboost._autolog sqlalchemy.dialects.sqlite
    pandas pandera.pandas pandera.backends.pandas.register pyarrow.csv pyarrow.dataset pyarrow.pandas_compat
    pyarrow.parquet skops.io sklearn.ensemble sklearn.linear_model sklearn.metrics xgboost
    dvc.cachemgr dvc.cli dvc.cli.parser dvc.data_cloud dvc.dirs dvc.repo dvc.repo.artifacts dvc.repo.datasets
    dvc.repo.experiments.queue.celery dvc.repo.experiments.queue.workspace dvc.repo.experiments.run
    dvc.repo.graph dvc.repo.index dvc.repo.open_repo dvc.repo.plots dvc.repo.stage dvc.stage.run
    dvc.utils.strictyaml dvc_data.hashfile.db.local dvc_data.hashfile.state dvc_data.hashfile.status
    dvc_data.index.checkout dvc_task.proc.manager dvclive gto.cli dulwich.ignore dulwich.index
    dulwich.porcelain dulwich.worktree fsspec.implementations.http fsspec.implementations.memory
    hydra.compose hydra.core.override_parser.overrides_parser hydra.initialize networkx omegaconf
    omegaconf.grammar_parser platformdirs.unix pyparsing scmrepo.git.lfs
    click filelock packaging.markers psutil requests rich.console rich.status rich.table rich.tree ruamel.yaml
    concurrent.futures.process multiprocessing.pool multiprocessing.popen_fork
""".split()  # noqa: SIM905

# The command that asks. It reads C modules alone, so that it is up in some milliseconds.
ASK = """#!{python} -IS
import os, sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
from array import array

def alone():
    os.execv({program!r}, [{program!r}, *sys.argv[1:]])

words = sys.argv[1:]
early = [f"{{key}}={{value}}" for key, value in sorted(os.environ.items()) if key.startswith({EARLY!r})]
known = words[:1] == ["-c"] or words[:1] == ["-m"] and words[1].startswith({MODULES!r})
known = known or {name!r} != "python"
if not known or early != {early!r} or any(os.isatty(number) for number in range(3)):
    alone()
asked = socket(AF_UNIX, SOCK_STREAM)
try:
    asked.connect({socket!r})
except OSError:
    alone()
given = [{name!r}, os.getcwd(), str(len(words)), *words]
given += [f"{{key}}={{value}}" for key, value in os.environ.items()]
data = "\\0".join(given).encode("utf-8", "surrogateescape")
files = array("i", range(3)).tobytes()
asked.sendmsg([len(data).to_bytes(8, "big")], [(SOL_SOCKET, SCM_RIGHTS, files)])
while data:
    data = data[asked.send(data) :]

def take():
    held = b""
    while len(held) < 8:
        part = asked.recv(8 - len(held))
        if not part:
            sys.exit("the warm process is gone")
        held += part
    return int.from_bytes(held, "big", signed=True)

import _signal as signal

pid = take()

def hand_on(number, _):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, hand_on)
ended = take()
if ended < 0:
    if ended != -signal.SIGKILL:
        signal.signal(-ended, signal.SIG_DFL)
    os.kill(os.getpid(), -ended)
os._exit(ended)
"""


def start(top: Path, owner: int, env: dict[str, str]) -> None:
    """Start the process; top/commands then holds the commands that ask it.

    It ends when `top` is removed, or the process `owner` is gone.
    """
    folder = top / "commands"
    folder.mkdir()
    early = [f"{key}={value}" for key, value in sorted(env.items()) if key.startswith(EARLY)]
    for name in COMMANDS:
        program = str(Path(sys.executable).parent / name)
        told = {"python": sys.executable, "program": program, "name": name, "early": early}
        text = ASK.format(**told, EARLY=EARLY, MODULES=MODULES, socket=str(top / SOCKET))
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1)]
    log = (os.POSIX_SPAWN_OPEN, 2, str(top / "warm.log"), os.O_WRONLY | os.O_CREAT, 0o600)
    words = [sys.executable, "-P", __file__, str(top), str(owner)]
    os.posix_spawn(sys.executable, words, env, file_actions=[*nowhere, log], setsid=True)


def main(top: Path, owner: int) -> None:
    """Import everything, then fork whoever is asked for, as long as the tests run."""
    os.chdir(top)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(top / SOCKET))
    listening.listen(64)  # who asks too early waits here
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not [name for name in sys.modules if name.split(".")[0] in ("stages", "predictflow", "tests")]
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()
    waking, woken = socket.socketpair()
    for end in (waking, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked: dict[int, socket.socket] = {}  # by the child's pid, who has asked for it
    while top.is_dir() and _lives(owner):
        ready, _, _ = select.select([listening, waking, *asked.values()], [], [], 1)
        with contextlib.suppress(BlockingIOError):
            waking.recv(4096)
        _tell_who_ended(asked)
        for pid, who in list(asked.items()):
            if who in ready:  # it never speaks again: it was killed
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        if listening in ready:
            who, _ = listening.accept()
            given = _read(who)
            pid = os.fork()
            if pid == 0:
                for other in (listening, waking, woken, who, *asked.values()):
                    other.close()
                _become(top / "commands", *given)
            for number in given[-1]:
                os.close(number)
            asked[pid] = who
            with contextlib.suppress(OSError):
                who.sendall(pid.to_bytes(8, "big"))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _tell_who_ended(asked: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with contextlib.suppress(OSError), asked.pop(pid) as who:
                who.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "big", signed=True))


def _read(who: socket.socket) -> tuple[str, str, list[str], dict[str, str], list[int]]:
    """The command, its folder, its words, its environment and its standard files."""
    size, files, _, _ = socket.recv_fds(who, 8, 3)
    data, left = b"", int.from_bytes(size, "big")
    while len(data) < left:
        data += who.recv(left - len(data))
    name, folder, number, *rest = data.decode("utf-8", "surrogateescape").split("\0")
    words, settings = rest[: int(number)], rest[int(number) :]
    return name, folder, words, dict(one.split("=", 1) for one in settings), files


def _become(
    commands: Path, name: str, folder: str, words: list[str], env: dict[str, str], files: list[int]
) -> None:
    """Be the command, and end as it ends."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.executable = str(commands / "python")  # what it starts in its turn is forked off here as well
    code: object = 1
    try:
        code = _run(name, words)
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for thing in gc.get_objects():  # a database that nobody has open any more has no log beside it
        if isinstance(thing, sqlite3.Connection):
            with contextlib.suppress(sqlite3.Error):
                thing.close()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit((code or 0) & 0xFF)


def _run(name: str, words: list[str]) -> object:
    if name != "python":
        program = Path(sys.prefix) / "bin" / name
        sys.argv = [str(program), *words]
        sys.path.insert(0, str(program.parent))
        return importlib.import_module(f"{name}.cli").__dict__["app" if name == "gto" else "main"]()
    how, what, *rest = words
    sys.argv = [how, *rest]
    if how == "-c":
        sys.path.insert(0, "")
        sys.modules["__main__"] = main = type(sys)("__main__")
        exec(compile(what, "<string>", "exec"), main.__dict__)
    else:
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
