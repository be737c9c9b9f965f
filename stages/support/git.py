"""What Git says of the code that is running."""

import subprocess

from stages.support.paths import PARAMS, REQUIREMENTS

# What decides a model's bytes. Stage outputs are left out: DVC removes them before it runs a stage.
INPUTS = ["dvc.yaml", str(PARAMS), str(REQUIREMENTS), "data", "stages"]


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def state() -> dict[str, str]:
    """{"git.commit": the commit checked out, "git.dirty": whether the inputs differ from it}."""
    changes = _git("status", "--porcelain", "--", *INPUTS)
    return {"git.commit": _git("rev-parse", "HEAD"), "git.dirty": str(bool(changes)).lower()}
