"""DVC's own commands, each in a process of its own, and the lock under which they take turns."""

import errno
import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from predictflow.adapters.dvc_leftovers import LOCK
from stages.support.errors import UserError


@contextmanager
def hold_dvc_lock(root: Path) -> Iterator[None]:
    """No command of DVC's can begin in a project meanwhile. Raises UserError where one is at work."""
    from dvc.lock import LockError
    from dvc.repo import Repo

    has_room = True
    with ExitStack() as held:
        try:
            held.enter_context(Repo(str(root)).lock)
        except LockError as error:
            raise UserError(f"DVC is at work: {error}\nCure: wait until it ends.") from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            has_room = False
        if not has_room:  # DVC's own attempt is over once its error is forgotten
            held.enter_context(_hold_without_a_word(root))
        yield


@contextmanager
def _hold_without_a_word(root: Path) -> Iterator[None]:
    """DVC's lock where the disk has no room for the number of who holds it, which DVC writes into it.

    Raises UserError where one is at work.
    """
    with (root / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"DVC is at work: {LOCK} is held.\nCure: wait until it ends.") from error
        yield


def checkout(target: Path) -> None:
    """Let DVC bring a file from its cache; it writes over nothing that the cache does not hold."""
    words = [sys.executable, "-m", "dvc", "checkout", "--quiet", str(target)]
    subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True)


def checkout_all(root: Path, *, relink: bool, allow_missing: bool) -> str | None:
    """Let DVC bring the working tree's files from its cache; what it says where it does not bring all.

    Args:
        relink: also those that DVC believes to be right.
        allow_missing: what the cache lacks stays away.
    """
    words = [sys.executable, "-m", "dvc", "checkout", "--quiet"]
    words += ["--relink"] * relink + ["--allow-missing"] * allow_missing
    done = subprocess.run(words, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return " ".join(done.stderr.split()) or "no reason" if done.returncode else None


def run_experiment(root: Path | None, name: str, settings: Iterable[str]) -> None:
    """Run an experiment in a folder of its own, with other params (`models.xgboost.max_depth=3`).

    What DVC says goes to standard error. Raises UserError where it fails.
    """
    named = subprocess.run(["git", "check-ref-format", f"refs/exps/{name}"], capture_output=True)
    if named.returncode or "/" in name or name.startswith("-"):
        raise UserError(
            f"an experiment cannot be called {name!r}.\n"
            "Cure: letters and digits, with `.`, `_` and `-` between them; no blank and none of"
            " / ~ ^ : ? * [ \\ will do."
        )
    words = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", name]
    words += [word for setting in settings for word in ("--set-param", setting)]
    if subprocess.run(words, cwd=root, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode:
        raise UserError(
            f"DVC did not make the experiment {name}; what it said stands above.\n"
            "Cure: correct what it says; a name that is taken needs another one."
        )


def compare_plots(root: Path | None, revisions: list[str], page: Path) -> None:
    """Write the curves of some revisions to one page. Raises UserError where DVC cannot."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["dvc", "plots", "diff", "--quiet", "--out", folder, *revisions]
        done = subprocess.run(words, capture_output=True, text=True, cwd=root)
        made = Path(folder, "index.html")
        if done.returncode or not made.is_file():
            raise UserError(
                f"`dvc plots diff` failed: {done.stderr.strip()}\n"
                "Cure: `dvc fetch --all-commits metrics` brings the plots of older commits."
            )
        shutil.copyfile(made, page)
