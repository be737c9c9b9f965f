"""The environment that the Makefile makes finds the project beside it, wherever both lie."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.people.project import REPOSITORY

MADE = Path(sys.prefix) / "installed"


@pytest.mark.skipif(
    not MADE.exists() or MADE.stat().st_mtime < (REPOSITORY / "Makefile").stat().st_mtime,
    reason="this environment is not the Makefile's: `make .venv/installed`",
)
def test_a_moved_clone_finds_itself_also_where_the_locale_cannot_spell_its_name(tmp_path):
    here, there = Path(sys.prefix), tmp_path / "größe/.venv"
    site = Path(sysconfig.get_path("purelib"))
    (there / site.relative_to(here)).mkdir(parents=True)
    for file in (*site.glob("predictflow.pth"), site / "own_folder_first.pth", here / "pyvenv.cfg"):
        shutil.copyfile(file, there / file.relative_to(here))
    (there / "bin").mkdir()
    (there / "bin/python").symlink_to(Path(sys.executable).resolve())
    for name in ("predictflow", "activate"):
        shutil.copy(here / "bin" / name, there / "bin" / name)
    for package in ("stages", "predictflow"):
        (there.parent / package).mkdir()
        (there.parent / package / "__init__.py").touch()
    (there.parent / "predictflow/cli.py").write_text("def main(): print(ascii(__file__))\n")

    env = os.environ | {"LC_ALL": "C"}
    done = subprocess.run([there / "bin/predictflow"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == ascii(f"{there.parent}/predictflow/cli.py") + "\n"

    words = ["bash", "-c", '. "$1" && command -v predictflow', "bash", there / "bin/activate"]
    assert subprocess.check_output(words, cwd=tmp_path, text=True) == f"{there}/bin/predictflow\n"
