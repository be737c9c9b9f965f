"""md5s as DVC counts them: the key that joins Git, DVC and MLflow."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.errors import UserError


def md5(path: Path) -> str:
    """The md5 of a file's bytes, 32 hexadecimal digits: what DVC writes in dvc.lock."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


@contextmanager
def unchanged(*paths: Path) -> Iterator[dict[str, str]]:
    """Hold the inputs of a stage still: {path: md5} before the work, compared again after it.

    DVC hashes dependencies after the command has run, so data that changes during a run would be
    recorded as what the model was trained on (treeverse/dvc#11058). Raises UserError instead.
    """
    before = {path.as_posix(): md5(path) for path in paths}
    yield before
    for path in paths:
        after = md5(path)
        if after != before[path.as_posix()]:
            raise UserError(
                f"{path} changed while the stage was running (md5 {before[path.as_posix()]} before,"
                f" {after} after), so its outputs belong to neither.\n"
                "Cure: let nothing write to it, then run `dvc repro` again."
            )
