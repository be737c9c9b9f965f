"""A stage that is killed, with the DVC that runs it, when it is about to write its first output.

python -m tests.real.runbook.killed_stage stages.train
"""

import os
import runpy
import signal
import sys
from pathlib import Path

OUTPUTS = ("data/prepared", "models/", "metrics/", "mlflow_data/registered.json")


def die_when_it_writes(event: str, words: tuple[object, ...]) -> None:
    """An audit hook: Python tells of every file before it is opened, moved or made."""
    if event not in ("open", "os.rename", "os.mkdir"):
        return
    path = words[1] if event == "os.rename" else words[0]
    if not isinstance(path, str | bytes | os.PathLike):  # an open file, by its number
        return
    place = os.path.relpath(os.fsdecode(path))
    writes = event != "open" or bool(set(str(words[1])) & set("wax+"))
    if writes and place.startswith(OUTPUTS):
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    module = sys.argv.pop(1)
    sys.path.insert(0, str(Path.cwd()))
    sys.addaudithook(die_when_it_writes)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
