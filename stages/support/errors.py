"""One place that turns a user's mistake into text and an exit code."""

import os
import signal
import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake that its user can cure: what is wrong, where, and the edit or command that cures it."""


def run(main: Callable[[], None]) -> None:
    """Run a stage or command; a `UserError` ends it with its text alone and exit code 1.

    SIGTERM ends it like an exception, so that `with` blocks close what they opened: a stage that is
    told to stop leaves no run behind that seems to go on.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except UserError as error:
        last_good = ""
        if "DVC_STAGE" in os.environ:
            last_good = (
                "\nNothing is lost: `git checkout -- dvc.lock metrics models && dvc checkout` brings"
                " back the outputs of the commit you stand on."
            )
        sys.exit(f"ERROR: {error}{last_good}")
