"""DVC's own lock, under which its commands take turns."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stages.support.errors import UserError


@contextmanager
def hold_dvc_lock(root: Path) -> Iterator[None]:
    """No command of DVC's can begin in a project meanwhile. Raises UserError where one is at work."""
    from dvc.lock import LockError
    from dvc.repo import Repo

    with ExitStack() as held:
        try:
            held.enter_context(Repo(str(root)).lock)
        except LockError as error:
            raise UserError(f"DVC is at work: {error}\nCure: wait until it ends.") from error
        yield
