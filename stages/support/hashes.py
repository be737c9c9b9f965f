"""md5s as DVC counts them: the key that joins Git, DVC and MLflow."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.support.errors import UserError


def md5(path: Path) -> str:
    """The md5 of a file's bytes, 32 hexadecimal digits: what DVC writes in dvc.lock."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def md5s(*paths: Path) -> dict[str, str]:
    """{path: md5} of some files."""
    return {path.as_posix(): md5(path) for path in paths}


def folder_md5(md5s: dict[str, str]) -> str:
    """The md5 that DVC gives a folder of some files, {path in it: md5}: that of their list, and `.dir`."""
    return f"{hashlib.md5(folder_list(md5s).encode()).hexdigest()}.dir"


def folder_list(md5s: dict[str, str]) -> str:
    """That list, as DVC writes it."""
    entries = [{"md5": digest, "relpath": path} for path, digest in sorted(md5s.items())]
    return json.dumps(entries, sort_keys=True)


def md5_of(path: Path) -> str | None:
    """The md5 of a file or, as DVC counts it, of a folder; None of what is not there."""
    if path.is_dir():
        return folder_md5(md5s_inside(path))
    return md5(path) if path.is_file() else None


def names_inside(folder: Path) -> list[str]:
    """The paths in it of the files in a folder."""
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def md5s_inside(folder: Path) -> dict[str, str]:
    """{path in it: md5} of the files in a folder."""
    return {name: md5(folder / name) for name in names_inside(folder)}


def ensure_unchanged(before: dict[str, str]) -> None:
    """Raise UserError where a file is no longer what `md5s` found.

    DVC hashes dependencies after the command has run, so data that changes during a run would be
    recorded as what the model was trained on (treeverse/dvc#11058).
    """
    for path, then in before.items():
        now = md5(Path(path))
        if now != then:
            raise UserError(
                f"{path} changed while the stage was running (md5 {then} before, {now} after), so its"
                " outputs belong to neither.\n"
                "Cure: let nothing write to it, then run `dvc repro` again."
            )


@contextmanager
def unchanged(*paths: Path) -> Iterator[dict[str, str]]:
    """Hold the inputs of a block still: {path: md5} before the work, compared again after it."""
    before = md5s(*paths)
    yield before
    ensure_unchanged(before)
