"""A real MLflow server, a history that was made through it, and a proxy that asks for a password."""

import shutil
import socket
import sqlite3
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from tests.people.history import SECOND, begin
from tests.people.processes import answers, begun, free_port
from tests.people.project import environment
from tests.people.waiting import until

DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
EXPERIMENT = "1"  # the first one that is made, after MLflow's own


@contextmanager
def serving(words: Sequence[str], folder: Path, env: Mapping[str, str], port: str = "") -> Iterator[str]:
    """The address of a server of MLflow's that works in a folder, and whose log lies there."""
    log, port = folder / "log", port or str(free_port())
    # Without its seven workers for jobs, which a registry has none of.
    env = {**env, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (
        log.open("w") as said,
        begun([*words, "--port", port], folder, env, stdout=said, stderr=said) as process,
    ):
        until(lambda: answers(f"http://127.0.0.1:{port}/health", process, log), "the server")
        yield f"http://127.0.0.1:{port}"


class Server:
    """A server whose database and files lie in a folder.

    Attributes:
        uri: its address; the same one after it was stopped and started again.
        up: whether it runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.uri, self.up = folder, "", False
        self._running = ExitStack()

    @property
    def artifacts(self) -> Path:
        """The folder with the files of each run."""
        return self.folder / ARTIFACTS / EXPERIMENT

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = [
            *("mlflow", "server", "--host", "127.0.0.1", "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self.folder / DATABASE}"),
            *("--artifacts-destination", str(self.folder / ARTIFACTS)),
        ]
        env, port = environment(self.folder), self.uri.rpartition(":")[2]
        self.uri = self._running.enter_context(serving(words, self.folder, env, port))
        self.up = True

    def kill(self) -> None:
        """Let it be gone at once, without a last word to anybody."""
        if self.up:
            self._running.close()
            self.up = False
            until(self._refuses, "the end of the server's workers")

    def _refuses(self) -> bool:
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", int(self.uri.rpartition(":")[2]))) != 0

    def hold(self, template: Path) -> None:
        """Take over the state that a template has. The server may run: it sees it as what somebody wrote."""
        with (
            closing(sqlite3.connect(template / DATABASE)) as its,
            closing(sqlite3.connect(self.folder / DATABASE)) as own,
        ):
            its.backup(own)
        shutil.rmtree(self.folder / ARTIFACTS, ignore_errors=True)
        shutil.copytree(template / ARTIFACTS, self.folder / ARTIFACTS)


def make(top: Path) -> None:
    """Make the first three models of the history through a server: project/, server/ and made.json."""
    recorder, server = begin(top), Server(top / "server")
    server.folder.mkdir()
    server.start()
    try:
        recorder.project.env["MLFLOW_TRACKING_URI"] = server.uri
        recorder.record("first")
        recorder.param("models.xgboost.rounds", 30, 25)
        recorder.record("other params")
        recorder.data(SECOND)
        recorder.record("other data")
    finally:
        server.kill()
    recorder.write(top)


class Door(ThreadingHTTPServer):
    """What stands before a team's server: it lets in whoever knows the password, and counts.

    Attributes:
        uri: its address, with name and password.
        asked: the requests so far, as `GET /path`.
        fails: the part of a path that it answers with 503; nothing by default.
    """

    daemon_threads = True

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.asked, self.fails = server, [], None
        self.uri = f"http://ada:secret@127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Door

    def _pass(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        known = f"Basic {b64encode(b'ada:secret').decode()}"
        if self.headers["Authorization"] != known:
            return self._answer(401, b"who are you?")
        if self.server.fails and self.server.fails in self.path:
            return self._answer(503, b"not now")
        given = self.rfile.read(int(self.headers["Content-Length"] or 0))
        kept = {name: self.headers[name] for name in ("Content-Type",) if name in self.headers}
        answer = requests.request(
            self.command, self.server.behind.uri + self.path, data=given, headers=kept, timeout=30
        )
        return self._answer(answer.status_code, answer.content)

    def _answer(self, code: int, content: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: what matters is in `asked`."""

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _pass  # noqa: N815


@contextmanager
def door(server: Server) -> Iterator[Door]:
    """A door that is open as long as the block lasts."""
    with Door(server) as opened:
        threading.Thread(target=opened.serve_forever, daemon=True).start()
        try:
            yield opened
        finally:
            opened.shutdown()
