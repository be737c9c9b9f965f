"""`dvc status`, asked in a process of its own."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

from predictflow.formatting import Json

DVC_TIMEOUT = 60  # seconds that DVC may take: it hashes what it has not seen before
BUSY = re.compile(r"Unable to acquire lock|is busy")
# What DVC says of a dvc.lock that is no YAML, that lacks what it must have, and that is no text at all.
LOCK_BROKEN = ("'./dvc.lock' is invalid", "'./dvc.lock' validation failed", "unable to read: 'dvc.lock'")
CURES = {  # by what DVC says
    "not inside of a DVC repository": "git checkout -- .dvc || dvc init",
    **dict.fromkeys(LOCK_BROKEN, "rm dvc.lock && dvc repro"),
}
HOLDER = re.compile(r"\(PID \d+\): .+")


class DvcFailed(Exception):
    """`dvc status` did not answer: why, and the command that cures it, if one is known.

    Attributes:
        broken: whether it cannot answer before that is cured; else it may if it is asked again.
        of_lock: whether it is dvc.lock that it cannot read.
    """

    def __init__(self, reason: str, cure: str | None = None, broken: bool = False) -> None:
        super().__init__(reason)
        self.cure, self.broken = cure, broken
        self.of_lock = any(text in reason for text in LOCK_BROKEN)


@dataclass(frozen=True)
class StageChange:
    """How a stage differs from dvc.lock, as DVC says: {path, or `path:param`: how it differs}."""

    inputs: dict[str, str]
    outputs: dict[str, str]


def changed_outputs(changed: dict[str, StageChange]) -> dict[str, str]:
    """{path: how it differs} of what some stages write."""
    return {path: how for stage in changed.values() for path, how in stage.outputs.items()}


def changed_inputs(changed: dict[str, StageChange]) -> set[str]:
    """What a stage reads and no changed one writes."""
    return {name for stage in changed.values() for name in stage.inputs} - changed_outputs(changed).keys()


class DvcQuestion:
    """`dvc status`, begun and not yet answered."""

    def __init__(self, process: Popen[str]) -> None:
        self._process = process

    @cached_property
    def _said(self) -> tuple[str, str] | None:
        """What it has printed, and its errors; None where it has not ended in time."""
        try:
            return self._process.communicate(timeout=DVC_TIMEOUT)
        except TimeoutExpired:
            return None

    def answer(self) -> dict[str, StageChange]:
        """{stage: how it differs from dvc.lock}; empty where nothing does. Raises DvcFailed."""
        if self._said is None:
            raise DvcFailed(f"`dvc status` has not answered in {DVC_TIMEOUT} seconds")
        answer, errors = self._said
        if self._process.returncode:
            cure = next((cure for text, cure in CURES.items() if text in errors), None)
            raise DvcFailed(_reason(errors), cure, broken=not BUSY.search(errors))
        return {stage: _change(differences) for stage, differences in json.loads(answer).items()}


@contextmanager
def asking_dvc() -> Iterator[DvcQuestion]:
    """Ask now; the answer may be waited for until the `with` ends."""
    words = [sys.executable, "-m", "dvc", "status", "--json"]
    process = Popen(words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, text=True)
    try:
        yield DvcQuestion(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):  # not read to its end: a child of DVC's may hold it
            if pipe:
                pipe.close()


def _reason(errors: str) -> str:
    """What DVC says when it fails, in one line."""
    if BUSY.search(errors):
        holder = HOLDER.search(errors)
        by = f" {holder[0]}" if holder else ""
        return f"another DVC process is at work here and holds DVC's lock{by}; ask again when it has ended"
    said = errors.partition("Traceback")[0].partition("Having any troubles?")[0]
    lines = said.replace("ERROR: ", "").replace("unexpected error - ", "").split("\n")
    return "`dvc status` fails: " + " ".join([line.strip() for line in lines if line.strip()][:2])


def _change(differences: list[str | Json]) -> StageChange:
    change = StageChange({}, {})
    for difference in differences:
        if isinstance(difference, str):  # changed command, always changed
            change.inputs[difference] = ""
            continue
        for path, how in difference.get("changed deps", {}).items():
            of_params = {f"{path}:{name}": way for name, way in how.items()} if isinstance(how, dict) else {}
            change.inputs.update(of_params or {path: how})
        change.outputs.update(difference.get("changed outs", {}))
    return change
