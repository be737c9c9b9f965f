"""A person's mistake, or what the disk refuses, ends a stage with a sentence and its cure; a bug does not."""

import errno
import os

import pytest

from stages.support import errors
from stages.support.errors import UserError


def ended(error: Exception) -> str:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        errors.run(main)
    return str(ended.value.code)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)


def test_a_mistake_is_told_alone():
    assert ended(UserError("a is b.\nCure: c.")) == "ERROR: a is b.\nCure: c."


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EISDIR])
def test_what_the_disk_refuses_is_told_with_its_place_and_cure(number):
    error = OSError(
        number, os.strerror(number), "data/prepared/.train.parquet.tmp", None, "data/train.parquet"
    )
    said, cure = ended(error).splitlines()
    assert said == f"ERROR: data/train.parquet cannot be used: {os.strerror(number)}."
    assert cure.startswith("Cure: ")
    assert ended(OSError(number, os.strerror(number))).startswith(f"ERROR: {os.strerror(number)}.\nCure: ")


def test_a_bug_keeps_its_traceback():
    for error in (OSError(errno.EBADF, "a bug"), OSError("a bug"), ValueError("a bug")):
        with pytest.raises(type(error), match="a bug"):
            errors.run(lambda error=error: (_ for _ in ()).throw(error))
