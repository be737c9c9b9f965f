"""One place that turns a user's mistake into text and an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Callable


# What a person can do about an error of the operating system.
CURES = {
    errno.EACCES: "let this user read and write there",
    errno.EPERM: "let this user read and write there",
    errno.EROFS: "work where it may be written",
    errno.EEXIST: "move away what lies there",
    errno.EISDIR: "move away what lies there",
    errno.ENOTDIR: "move away what lies there",
    errno.ELOOP: "move away what lies there",
    errno.ENOSPC: "make room on the disk, then run it again",
    errno.EDQUOT: "make room on the disk, then run it again",
    errno.EFBIG: "make room on the disk, then run it again",
}


class UserError(Exception):
    """A mistake that its user can cure: what is wrong, where, and the edit or command that cures it."""


def run(main: Callable[[], None]) -> None:
    """Run a stage or command; a `UserError` ends it with its text alone and exit code 1.

    So does what the disk or its permissions refuse.

    SIGTERM ends it like an exception, so that `with` blocks close what they opened: a stage that is
    told to stop leaves no run behind that seems to go on.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except (UserError, OSError) as error:
        text = str(error)
        if isinstance(error, OSError):
            if error.errno not in CURES:
                raise
            place = error.filename2 or error.filename  # the first one was to become the second
            place = f"{place} cannot be used: " if place else ""
            text = f"{place}{error.strerror}.\nCure: {CURES[error.errno]}."
        last_good = ""
        if "DVC_STAGE" in os.environ:
            last_good = (
                "\nNothing is lost: `git checkout -- dvc.lock metrics models && dvc checkout` brings"
                " back the outputs of the commit you stand on."
            )
        sys.exit(f"ERROR: {text}{last_good}")
