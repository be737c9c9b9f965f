"""Which processes are at work in a project."""

from pathlib import Path

WORKERS = ("dvc", "predictflow")  # commands that read or write the cache and the store
MODULES = ("dvc.", "stages.", "predictflow.")  # the same, as `python -m`


def at_work(root: Path) -> list[str]:
    """The commands of DVC, of the stages and of these commands that run in a project, but for this one and
    those that have started it: `123: dvc repro`."""
    import psutil

    me = psutil.Process()
    mine = {me.pid, *(parent.pid for parent in me.parents())}
    commands = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if process.pid not in mine and _works(words) and Path(process.cwd()).is_relative_to(root):
                commands.append(f"{process.pid}: {' '.join(words)}")
        except psutil.Error:  # it has ended, or is another user's
            continue
    return commands


def _works(words: list[str]) -> bool:
    """Whether a command line is one of DVC's, of a stage or of these commands."""
    if words and Path(words[0]).name.startswith("python"):
        words = words[1:]
    if words[:1] == ["-m"]:
        return f"{words[1]}.".startswith(MODULES)
    return bool(words) and Path(words[0]).name in WORKERS
