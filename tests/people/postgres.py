"""A real PostgreSQL of the tests' own, on loopback, with a password, where one is installed."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.people.processes import begun, free_port
from tests.people.waiting import until

INSTALLED = "/usr/lib/postgresql"  # where Debian and Ubuntu have its programs, a folder a version
USER, PASSWORD = "team", "Pg-s3cret"


def programs() -> Path | None:
    """The folder with initdb and postgres, of the newest version; None where there is none."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else []
    folders += sorted(Path(INSTALLED).glob("*/bin"), key=lambda folder: folder.parent.name, reverse=True)
    return next((place for place in folders if (place / "postgres").exists()), None)


def unprivileged() -> str | None:
    """Who runs it: PostgreSQL refuses to be root. None for who runs the tests."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Postgres:
    """A running one.

    Attributes:
        folder: its data and its log.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self._port = folder, port

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def uri(self, database: str = "postgres") -> str:
        """The address of a database, as SQLAlchemy reads it, with name and password."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self._port}/{database}"

    def tables_with(self, database: str, texts: Iterable[str]) -> list[str]:
        """The tables of a database in which one of these texts stands."""
        import psycopg

        wanted = [f"%{text}%" for text in texts]
        with psycopg.connect(self.uri(database).replace("+psycopg", "")) as connection:
            named = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            asked = {
                name: connection.execute(
                    f'SELECT 1 FROM "{name}" AS held WHERE held::text LIKE ANY(%s)', [wanted]
                ).fetchone()
                for (name,) in named
            }
        assert len(asked) > 10, asked
        return [name for name, held in asked.items() if held]

    def run(self, database: str, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.uri(database).replace("+psycopg", "")) as connection:
            connection.execute(statement)

    def create(self, database: str) -> str:
        """Make an empty database; its address."""
        import psycopg

        with psycopg.connect(self.uri().replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self.uri(database)


@contextmanager
def running(found: Path) -> Iterator[Postgres]:
    """One that runs as long as the block lasts; nothing of it is left.

    Args:
        found: the folder with its programs.
    """
    # In a folder that its user can enter: the tests' own is closed to others.
    with tempfile.TemporaryDirectory(prefix="predictflow-postgres-", dir="/tmp") as top:
        Path(top).chmod(0o755)
        folder, user = Path(top, "kept"), unprivileged()
        folder.mkdir()
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        if user:
            for path in (folder, secret):
                shutil.chown(path, user)
        initdb = [found / "initdb", "--pgdata", folder / "data", "--username", USER, "--pwfile", secret]
        options = ["--auth", "scram-sha-256", "--no-sync", "--encoding", "UTF8", "--locale", "C"]
        subprocess.run([*initdb, *options], user=user, cwd=folder, check=True, capture_output=True)
        port = free_port()
        words = [found / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder]
        with (
            (folder / "log").open("w") as said,
            begun([*words, "-F"], folder, os.environ, user=user, stdout=said, stderr=said) as process,
        ):
            postgres = Postgres(folder, port)
            until(lambda: _answers(port, process, postgres.log), "PostgreSQL")
            try:
                yield postgres
            finally:
                process.send_signal(signal.SIGINT)  # with SIGTERM it would wait for who is still connected
                process.wait(60)


def _answers(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0 and "ready to accept" in log.read_text()
