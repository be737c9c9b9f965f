"""The outputs of the last good run: DVC takes them before it runs a stage; one that fails puts them back."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from stages.support.hashes import md5
from stages.support.paths import DVC_LOCK


def put_back(stage: str) -> bool:
    """Put back what dvc.lock names as a stage's outputs, from DVC's cache or from Git's last commit.

    Each byte is held to its md5, and an output comes back whole or is left as it is. Returns whether
    all of them are there.
    """
    locked = YAML(typ="safe", pure=True).load(DVC_LOCK.read_text(encoding="utf-8"))
    cache = Path(_said(sys.executable, "-m", "dvc", "cache", "dir").decode().strip())
    there = [_output(Path(out["path"]), out["md5"], cache) for out in locked["stages"][stage]["outs"]]
    return all(there)


def _output(path: Path, digest: str, cache: Path) -> bool:
    if path.is_file() and md5(path) == digest:
        return True
    building = path.with_name(f".{path.name}.tmp")
    _remove(building)
    try:
        parts = {building: digest}
        if digest.endswith(".dir"):
            listed = _cached(cache, digest)
            if f"{md5(listed)}.dir" != digest:
                return False
            entries = json.loads(listed.read_text(encoding="utf-8"))
            parts = {building / entry["relpath"]: entry["md5"] for entry in entries}
        for part, wanted in parts.items():
            part.parent.mkdir(parents=True, exist_ok=True)
            source = _cached(cache, wanted)
            if source.exists():
                shutil.copyfile(source, part)
            else:
                part.write_bytes(_said("git", "show", f"HEAD:./{path.as_posix()}"))
            if md5(part) != wanted:
                return False
        _remove(path)
        building.rename(path)
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    finally:
        _remove(building)
    return True


def _cached(cache: Path, digest: str) -> Path:
    return cache / "files/md5" / digest[:2] / digest[2:]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _said(*words: str) -> bytes:
    return subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
