"""Servers on this machine: started in the background, found again by a later command, and ended."""

import json
import re
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from typing import TYPE_CHECKING

from predictflow.adapters.processes import GRACE_SECONDS, end_of, end_those_in, environ, working_in
from predictflow.errors import system_cure
from predictflow.formatting import Json
from stages.support.errors import UserError
from stages.support.files import write_json
from stages.support.progress import progress

if TYPE_CHECKING:
    import psutil

HOST = "127.0.0.1"
STACK = Path(".stack")  # in the top folder: the servers of `make stack`, and what they keep
STACK_REMOTE, STACK_S3 = "make-stack", "s3"  # DVC's remote there, and the server that it is at
START_SECONDS = 180  # a busy machine imports MLflow's server for a minute
ANSWER_SECONDS = 30  # of one that is up but busy
POLL_SECONDS = 0.2
PORTS_TRIED = 3  # another program may take a port between our look and the server's start
PORT_TAKEN = re.compile("address already in use", re.IGNORECASE)


@dataclass(frozen=True)
class Launch:
    """How a server is started.

    Attributes:
        words: its command; `{port}` stands for the port that it is to listen at.
        health: the path that it answers once it is up; any answer below 500 will do.
        env: its variables, beside this process's own.
        serves: what it was started on; where that is another now, the server is started anew.
    """

    words: list[str]
    health: str
    env: Mapping[str, str] = field(default_factory=dict)
    serves: str = ""

    @property
    def fingerprint(self) -> str:
        return md5(repr((self.words, sorted(self.env.items()), self.serves)).encode()).hexdigest()


@dataclass(frozen=True)
class Server:
    """A server that goes on when the command that started it has ended.

    Its processes are those that work in its folder, in which nothing else does: not a number from a file,
    which after a restart of the machine may be another process's. A copy of the folder is another server.
    """

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder.parent / f"logs/{self.name}.log"

    @property
    def url(self) -> str:
        """Where it listens, or did when it ran last."""
        return f"http://{HOST}:{self._record().get('port', 0)}"

    @property
    def is_running(self) -> bool:
        return bool(working_in(self.folder))

    def ensure(self, launch: Launch) -> bool:
        """Let it run as `launch` says; whether it had to be started for that.

        It keeps its port for as long as it can. Raises UserError where it does not start.
        """
        record = self._record()
        if record.get("fingerprint") == launch.fingerprint and self._answers(launch):
            return False
        self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(exist_ok=True)
        with progress(f"starting {self.name}"):
            for _ in range(PORTS_TRIED):
                port = _free_port(record.get("port", 0))
                write_json(self._recorded, {"port": port, "fingerprint": launch.fingerprint})
                if self._start(launch, port):
                    return True
                if not PORT_TAKEN.search(end_of(self.log)):
                    break
        raise self._did_not_start("ended as soon as it was started")

    def stop(self) -> None:
        """End it, if it runs; it is asked first."""
        import psutil

        asked = working_in(self.folder)
        for process in asked:
            with suppress(psutil.Error):
                process.terminate()
        psutil.wait_procs(asked, timeout=GRACE_SECONDS)
        end_those_in(self.folder)

    def remove(self) -> None:
        """End it, and forget where it listened."""
        self.stop()
        if self.folder.exists():
            shutil.rmtree(self.folder)

    @property
    def _recorded(self) -> Path:
        return self.folder / "server.json"

    def _record(self) -> Json:
        try:
            record = json.loads(self._recorded.read_bytes())
        except (OSError, ValueError):  # never started, or the machine went down while it was written
            return {}
        return record if isinstance(record, dict) else {}

    def _start(self, launch: Launch, port: int) -> bool:
        """Whether it answers; False where it has ended instead."""
        words = [word.replace("{port}", str(port)) for word in launch.words]
        with self.log.open("ab") as out:
            process = Popen(
                words,
                cwd=self.folder,
                env=environ() | dict(launch.env),
                stdin=DEVNULL,
                stdout=out,
                stderr=STDOUT,
                start_new_session=True,  # Ctrl-C ends the command, not its servers
            )
        end = time.monotonic() + START_SECONDS
        while process.poll() is None:
            if self._answers(launch):
                process.returncode = 0  # nobody waits for it: it goes on without this command
                return True
            if time.monotonic() > end:
                self.stop()
                process.wait()
                raise self._did_not_start(f"has not answered in {START_SECONDS} seconds")
            time.sleep(POLL_SECONDS)
        return False

    def _did_not_start(self, what: str) -> UserError:
        said = end_of(self.log)
        cure = system_cure(said) or "correct what it says, then the same command again."
        return UserError(f"the server {self.name} {what}. The end of {self.log}:\n{said}\nCure: {cure}")

    def _answers(self, launch: Launch) -> bool:
        """Whether it is this server that listens where it should, and it answers."""
        import requests

        port = self._record()["port"]
        if not any(_listens(process, port) for process in working_in(self.folder)):
            return False
        session = requests.Session()
        session.trust_env = False  # a proxy for the world outside does not know this machine's ports
        try:
            return session.get(f"{self.url}{launch.health}", timeout=ANSWER_SECONDS).status_code < 500
        except requests.RequestException:
            return False


def servers_in(folder: Path) -> list[Server]:
    """The servers that were started in the folders of one, by their names."""
    return [Server(path.parent) for path in sorted(folder.resolve().glob("*/server.json"))]


def _listens(process: "psutil.Process", port: int) -> bool:
    import psutil

    with suppress(psutil.Error):  # it has just ended
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for connection in process.net_connections("tcp")
        )
    return False


def _free_port(wished: int) -> int:
    """A port that nobody listens at: the wished one if that can be."""
    for port in (wished, 0):
        with socket.socket() as free, suppress(OSError):
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind((HOST, port))
            return free.getsockname()[1]
    raise UserError(f"no port of {HOST} is free.\nCure: end a server, and the same command again.")
