"""What may go wrong besides a user's mistake: a place out of reach, a question with no certain answer."""

import re

from stages.support.errors import Unreachable, UserError
from stages.support.errors import masked as masked


class CouldNotTell(UserError):
    """A question with no certain answer: the command ends with exit code 2."""


class Missing(Unreachable):
    """A store that is not there: nothing was ever logged to it."""


# By the words in which the system, Git or SQLite says that the disk takes nothing.
SYSTEM_CURES = {
    re.compile("No space left on device|disk is full|disk I/O error|Disk quota exceeded|File too large"): (
        "make room on the disk, and ask again: what was begun is completed."
    ),
    re.compile(r"Read-only file system|readonly database|unable to open database|Permission denied(?! \()"): (
        "ask as the owner of these files (`ls -l` names it), and not on a disk that is mounted read-only."
    ),
}


def system_cure(error: str) -> str | None:
    """The cure of a mistake that is the system's; None for any other."""
    return next((cure for words, cure in SYSTEM_CURES.items() if words.search(error)), None)
