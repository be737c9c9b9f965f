"""One place that turns a user's mistake into text and an exit code."""

import errno
import gc
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

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


class Unreachable(Exception):
    """A store that is not there, or does not answer: what was asked, and why it could not be."""


def run(main: Callable[[], None]) -> None:
    """Run a stage or command; a `UserError` ends it with its text alone and exit code 1.

    So does what the disk or its permissions refuse. However a stage of DVC's fails, the outputs of its last
    good run are put back.

    SIGTERM ends it like an exception, so that `with` blocks close what they opened: a stage that is
    told to stop leaves no run behind that seems to go on.
    """
    gc.freeze()  # what was imported stays: no search for garbage goes over it, nor the end of the process
    gc.enable()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except BaseException as error:
        last_good = _put_back(os.environ["DVC_STAGE"]) if "DVC_STAGE" in os.environ else ""
        text = _told(error)
        if text is None:
            raise
        sys.exit(f"ERROR: {text}{last_good}")


def _told(error: BaseException) -> str | None:
    """What is told of an error without a traceback; None of one that is no user's to cure."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in CURES:
        place = error.filename2 or error.filename  # the first one was to become the second
        place = f"{place} cannot be used: " if place else ""
        return f"{place}{error.strerror}.\nCure: {CURES[error.errno]}."
    if type(error).__module__ == "mlflow.exceptions":
        said = str(error)
        return (
            refusal(said)
            or lock_of_another(said)
            or (
                f"MLflow does not take it: {masked(said)}\nCure: once that is mended, the same command again."
            )
        )
    return None


def masked(text: str) -> str:
    """A text without the name and password of an address in it."""
    return re.sub(r"//[^/\s]*@", "//…@", text)


def refusal(said: str) -> str | None:
    """That a server of MLflow's does not let somebody in or do something, with its cure; None where MLflow
    said something else."""
    code = re.search("error code (401|403) ", said)
    if code is None:
        return None
    if code[1] == "401":
        return (
            f"the server does not let in {who_asks()} (401).\n"
            "Cure: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to what its keeper gave you."
        )
    what = re.search(r"endpoint (\S+)", said)
    return (
        f"the server does not let {who_asks()} do this: 403{f' at {what[1]}' if what else ''}.\n"
        "Cure: its keeper gives that user the right (EDIT or MANAGE on the experiment and the registered"
        " model), or somebody does it who has it."
    )


def lock_of_another(said: str) -> str | None:
    """That another program keeps the store's database locked, with its cure; None where MLflow said something
    else."""
    if "database is locked" not in said:
        return None
    return (
        "the store's database is locked: another program writes to it, and does not end.\n"
        "Cure: `predictflow store check` names who has it open; end that one, then the same command again."
    )


def who_asks() -> str:
    """As whom a server is asked, and where that is said; never the password."""
    import configparser

    address = re.search(r"//([^/:@\s]+)(?::[^/\s]*)?@", os.environ.get("MLFLOW_TRACKING_URI", ""))
    file = configparser.ConfigParser(interpolation=None)
    try:
        file.read(Path("~/.mlflow/credentials").expanduser(), encoding="utf-8")
    except (configparser.Error, OSError, ValueError):  # whatever is wrong with it, MLflow tells it
        file.clear()
    names = {
        "MLFLOW_TRACKING_URI": address and address[1],
        "MLFLOW_TRACKING_USERNAME": os.environ.get("MLFLOW_TRACKING_USERNAME"),
        "~/.mlflow/credentials": file.get("mlflow", "mlflow_tracking_username", fallback=None),
        "MLFLOW_TRACKING_TOKEN": "the owner of a token" if os.environ.get("MLFLOW_TRACKING_TOKEN") else None,
    }
    named = (f"{name} (named by {place})" for place, name in names.items() if name)
    return next(named, "somebody without a name (no MLFLOW_TRACKING_USERNAME)")


def _put_back(stage: str) -> str:
    """Bring back the outputs that DVC has taken away from a stage, and say so."""
    try:
        from stages.support import last_good  # here, for its packages may be what the error is about

        if last_good.put_back(stage):
            return "\nNothing is lost: the outputs of the last good run are back in their places."
    except Exception:  # whatever keeps them away, the error that the stage has ended with is the one to tell
        pass
    return (
        "\nNothing is lost: `git checkout -- dvc.lock metrics models && dvc checkout` brings"
        " back the outputs of the commit you stand on."
    )
