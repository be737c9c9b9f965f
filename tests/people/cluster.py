"""A Dask cluster of processes of their own: a scheduler and workers, as somebody starts them by hand."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.people.processes import begun
from tests.people.project import BIN, environment
from tests.people.waiting import until


class Cluster:
    """A scheduler and its workers, on ports that are free.

    Attributes:
        address: what DASK_SCHEDULER_ADDRESS is to hold.
        workers: their processes: each without a nanny that would start it again.
    """

    def __init__(self, folder: Path, names: tuple[str, ...], stack: ExitStack) -> None:
        folder.mkdir()
        self._folder, self._env, told = folder, environment(folder), folder / "scheduler.json"
        self._stack = stack
        self._start("scheduler", "--port", "0", "--scheduler-file", str(told))
        until(lambda: told.exists() and told.read_text().endswith("}"), "the scheduler")
        self.address = json.loads(told.read_text())["address"]
        self.workers = [
            self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--name", name)
            for name in names
        ]
        until(lambda: self._log().count("Register worker") == len(names), "the workers")

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            words = (str(BIN / "dask"), *words, "--host", "127.0.0.1", "--no-dashboard")
            return self._stack.enter_context(begun(words, self._folder, self._env, stdout=log, stderr=log))

    def _log(self) -> str:
        return (self._folder / "log").read_text()


@contextmanager
def running(folder: Path, *names: str) -> Iterator[Cluster]:
    """A cluster whose workers have these names."""
    with ExitStack() as stack:
        yield Cluster(folder, names, stack)
