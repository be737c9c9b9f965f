"""An entry of the runbook, played in a copy of the project on a small disk that somebody has filled.

unshare --mount python -m tests.real.runbook.on_a_full_disk ANCHOR
"""

import subprocess
import sys
from pathlib import Path

from tests import templates
from tests.people.project import Project
from tests.people.runbook import play

SIZE = 256  # MiB: a `dvc repro` wants 100 of them free
FORGOTTEN = ".dvc/cache/files/md5/00/000000000000000000000000000000"  # an object that nothing refers to


def fill(path: Path) -> None:
    """Write until the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    path.chmod(0o444)


def main(anchor: str) -> None:
    here = Path.cwd()
    disk = here.parent / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "small", disk], check=True)
    for name in ("project", "origin.git", "remote", "home"):
        subprocess.run(["cp", "-a", here.parent / name, disk], check=True)
    project = Project(disk / "project", disk / "home")
    templates.relocate(disk)
    project.edit("params.yaml", "max_depth: 1", "max_depth: 3")
    fill(project.folder / FORGOTTEN)
    play(project, anchor)


if __name__ == "__main__":
    main(sys.argv[1])
