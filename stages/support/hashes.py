"""md5s as DVC counts them: the key that joins Git, DVC and MLflow."""

import hashlib
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
