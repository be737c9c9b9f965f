"""The settings of a checkout of one's own: whose remotes and which cache it uses."""

from pathlib import Path

from predictflow.errors import Unreachable


def take_settings_of(root: Path, project: Path) -> None:
    """Give a checkout in `project` the remotes, passwords and cache of the project in `root`.

    Raises Unreachable where DVC cannot read these.
    """
    from dvc.config import Config, ConfigError, merge

    try:
        own = Config(str(root / ".dvc"))
        with Config(str(project / ".dvc")).edit("local") as settings:
            for level in ("repo", "local"):
                merge(settings, own.load_one(level))
            settings["cache"]["dir"] = own["cache"].get("dir") or str(root / ".dvc/cache")
    except ConfigError as error:
        raise Unreachable(f"DVC's settings cannot be read: {error}") from error


def take_cache(cache: Path, project: Path) -> None:
    """Give a checkout in `project` a cache, and nothing else of its own."""
    from configobj import ConfigObj

    settings = ConfigObj({"cache": {"dir": str(cache)}}, encoding="utf-8")
    with (project / ".dvc/config.local").open("wb") as file:
        settings.write(file)
