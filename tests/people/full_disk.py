"""A project on a small disk that somebody has filled, and a command in it. Run where mounts are one's own:

unshare --mount python -m tests.people.full_disk   # a case, as JSON, on its standard input
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.people.mounts import own_mounts
from tests.people.project import REPOSITORY, WAIT, Project

SIZE = 250  # MiB
# Nobody's result: locks, what SQLite, Git and DVC keep for themselves, what has a temporary name.
OWN = re.compile(
    r"filler$|.*\.tmp$|.*/\.lock$|.*-(wal|shm|journal)$|project/\.dvc/tmp/|project/\.git/|home/|.*__pycache__"
)


@dataclass(frozen=True)
class FullDisk:
    """A command on a full disk.

    Attributes:
        words: of `predictflow`.
        before: what a shell does in the project while there is room.
        free: bytes that are left.
    """

    words: list[str]
    before: str = ""
    free: int = 0


@dataclass
class Ended:
    """How it ended, and what it left.

    Attributes:
        written: {path: md5} of files that are new, or others than before; `gone` those that are no more.
    """

    code: int
    said: str
    written: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)


def play(project: Project, case: FullDisk) -> Ended:
    """Run a command in a copy of a project, with its remote beside it, on a full disk of its own."""
    done = subprocess.run(
        [*own_mounts(), sys.executable, "-P", "-m", __name__],
        input=json.dumps(asdict(case)),
        cwd=project.folder,
        env=project.env | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Ended(*json.loads(done.stdout.splitlines()[-1]))


def fill(path: Path, free: int) -> None:
    """Write until the disk takes not a byte more, then give back as much as is to be free."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
        if free:
            file.truncate(file.tell() - free)


def held(top: Path) -> dict[str, str]:
    """{path: md5} of the files that are somebody's."""
    paths = (path for path in top.rglob("*") if path.is_file() and not path.is_symlink())
    named = {path.relative_to(top).as_posix(): path for path in paths}
    read = {name: rows(path) if path.suffix == ".db" else path.read_bytes() for name, path in named.items()}
    return {name: hashlib.md5(text).hexdigest() for name, text in read.items() if not OWN.match(name)}


def rows(database: Path) -> bytes:
    """All that a database holds, as SQL: with its log, whose place in the file is SQLite's affair."""
    with tempfile.TemporaryDirectory() as folder:
        for path in database.parent.glob(f"{database.name}*"):
            if not path.name.endswith("-shm"):
                shutil.copyfile(path, Path(folder, path.name))
        with closing(sqlite3.connect(Path(folder, database.name))) as copy:
            return "\n".join(copy.iterdump()).encode()


def main() -> None:
    case = FullDisk(**json.load(sys.stdin))
    disk = Path.cwd().parent / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "small", disk], check=True)
    subprocess.run(["cp", "-a", Path.cwd(), disk / "project"], check=True)
    (disk / "remote").mkdir()
    os.chdir(disk / "project")
    local = f"[core]\n    remote = beside\n['remote \"beside\"']\n    url = {disk}/remote\n"
    Path(".dvc/config.local").write_text(local)
    subprocess.run(["sh", "-ec", case.before], check=True, stdout=sys.stderr)
    from predictflow import cli

    fill(disk / "filler", case.free)
    before, out = held(disk), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = cli.run(case.words)
    after = held(disk)
    written = {name: md5 for name, md5 in after.items() if before.get(name) != md5}
    print(json.dumps([code, out.getvalue(), written, sorted(before.keys() - after.keys())]))


if __name__ == "__main__":
    main()
