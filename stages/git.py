"""What Git says of the code that is running."""

import subprocess


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def state() -> dict[str, str]:
    """{"git.commit": the commit checked out, "git.dirty": whether tracked files differ from it}."""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"git.commit": _git("rev-parse", "HEAD"), "git.dirty": str(bool(changes)).lower()}
