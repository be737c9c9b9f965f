"""`dvc status`, asked in a process of its own."""

import re
import subprocess
import sys
from typing import Any

from predictflow.formatting import Json

DVC_TIMEOUT = 60  # seconds that DVC may take: it hashes what it has not seen before
BUSY = re.compile(r"Unable to acquire lock|is busy")
CURES = {  # by what DVC says
    "not inside of a DVC repository": "git checkout -- .dvc || dvc init",
    "'./dvc.lock' is invalid": "rm dvc.lock && dvc repro",
}
HOLDER = re.compile(r"\(PID \d+\): .+")


def ask_dvc() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "status", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def why_dvc_fails(errors: str) -> str:
    """What DVC says when it fails, in one line."""
    if BUSY.search(errors):
        holder = HOLDER.search(errors)
        by = f" {holder[0]}" if holder else ""
        return f"another DVC process is at work here and holds DVC's lock{by}; ask again when it has ended"
    lines = errors.partition("Traceback")[0].replace("ERROR: ", "").split("\n")
    return "`dvc status` fails: " + " ".join([line.strip() for line in lines if line.strip()][:2])


def changed_stages(told: dict[str, Any]) -> Json:
    """{stage: {"inputs": {what: how it differs}, "outputs": likewise}} of what `dvc status` tells."""
    changed: Json = {}
    for stage, differences in told.items():
        inputs: dict[str, str] = {}
        outputs: dict[str, str] = {}
        for difference in differences:
            if isinstance(difference, str):  # changed command, always changed
                inputs[difference] = ""
                continue
            for path, how in difference.get("changed deps", {}).items():
                inputs |= (
                    {f"{path}:{name}": way for name, way in how.items()}
                    if isinstance(how, dict)
                    else {path: how}
                )
            outputs |= difference.get("changed outs", {})
        changed[stage] = {"inputs": inputs, "outputs": outputs}
    return changed
