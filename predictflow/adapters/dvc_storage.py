"""DVC's cache and remote: which objects are there, and which of both a checkout of one's own uses."""

import logging
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from predictflow.adapters.dvc_files import LIST, parse_list
from predictflow.errors import Unreachable, masked
from stages.support import hashes
from stages.support.deadline import in_time

OBJECTS = "files/md5"  # in a cache or a remote
REMOTE_TIMEOUT = 30  # seconds that a remote may take


class Storage:
    """The cache and the default remote of the project in a folder; a bare repository (None) has neither."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    @cached_property
    def _config(self) -> dict[str, Any]:
        from dvc.config import Config, ConfigError

        if self._root is None:
            return {}
        try:
            return Config(str(self._root / ".dvc"))
        except ConfigError as error:
            raise Unreachable(f"DVC's settings cannot be read: {error}") from error

    def cached(self, md5: str) -> Path | None:
        """Where the cache holds a file or (`….dir`) the list of a folder's files; None where it does not.

        Raises Unreachable where there is no cache.
        """
        path = self.place(md5)
        return path if path.is_file() else None

    def inside(self, md5: str) -> dict[str, str] | None:
        """{path: md5} of the files in a folder (`….dir`); None where the cache does not tell them.

        Raises Unreachable where there is no cache.
        """
        listed = self.cached(md5)
        try:
            return None if listed is None else parse_list(listed.read_bytes())
        except ValueError:
            return None

    def files_of(self, md5: str) -> dict[str, Path] | None:
        """{path in it: where the cache holds it} of each file in a folder (`….dir`), or of a file, whose path
        is empty; None where the cache lacks one. Raises Unreachable where there is no cache.
        """
        inside = self.inside(md5) if md5.endswith(LIST) else {"": md5}
        held = {path: self.cached(of_file) for path, of_file in (inside or {}).items()}
        whole = {path: file for path, file in held.items() if file}
        return None if inside is None or len(whole) < len(held) else whole

    def place(self, md5: str) -> Path:
        """Where the cache keeps a file or the list of a folder's files, whether or not it has it.

        Raises Unreachable where there is no cache.
        """
        return _object(self.cache, md5)

    @property
    def cache(self) -> Path:
        """The folder of DVC's cache. Raises Unreachable where there is none."""
        if self._root is None:
            raise Unreachable("DVC's cache: a bare repository has none")
        return Path(self._config["cache"].get("dir") or self._root / ".dvc/cache")

    @property
    def link_types(self) -> list[str]:
        """How files come from the cache into the working tree, by DVC's words, the first that is possible."""
        return list(self._config["cache"].get("type") or ("reflink", "copy"))

    @property
    def remote(self) -> str | None:
        """The name of the default remote."""
        return self._config.get("core", {}).get("remote")

    @property
    def remote_url(self) -> str:
        return self._config["remote"].get(self.remote, {}).get("url", "")

    def on_remote(self, md5s: Iterable[str], ask: bool) -> set[str]:
        """Those that the default remote holds.

        Args:
            ask: whether to ask it over the network too; a remote that is a folder is always looked into.

        Raises Unreachable where it was not or could not be asked.
        """
        if self.remote is None:
            raise Unreachable("no default remote is set (`dvc remote default NAME`)")
        if not self.remote_url:
            raise Unreachable(f"the default remote {self.remote} has no address (`dvc remote list`)")
        if "://" not in self.remote_url:
            return {md5 for md5 in md5s if _object(Path(self.remote_url), md5).is_file()}
        if not ask:
            raise self._unreachable(" (--remote asks it)")
        return self._ask(list(md5s))

    def fetch(self, md5s: Iterable[str]) -> None:
        """Bring objects from the default remote into the cache; what it has not is left out.

        Raises Unreachable where it does not answer.
        """
        from dvc.repo import Repo
        from dvc_data.hashfile.hash_info import HashInfo

        md5s = list(md5s)
        self.on_remote(md5s[:1], True)  # whether it answers in time: a transfer may take as long as it takes
        logger = logging.getLogger("dvc.data_cloud")
        logger.addFilter(_not_a_warning)  # the caller tells what is missing
        try:
            Repo(str(self._root)).cloud.pull([HashInfo("md5", md5) for md5 in md5s])
        except Exception as error:
            raise self._unreachable(" does not give its files: ", error) from error
        finally:
            logger.removeFilter(_not_a_warning)

    def _ask(self, md5s: list[str]) -> set[str]:
        def ask() -> set[str]:
            from dvc.repo import Repo

            remote = Repo(str(self._root)).cloud.get_remote_odb(self.remote)
            return {md5 for md5 in md5s if _is_there(remote, md5)}

        try:  # DVC has no deadline of its own
            return in_time(ask, REMOTE_TIMEOUT, f"no answer in {REMOTE_TIMEOUT} seconds")
        except Exception as error:
            raise self._unreachable(" does not answer: ", error) from error

    def _unreachable(self, what: str, error: Exception | None = None) -> Unreachable:
        why = masked(str(error)) or type(error).__name__ if error else ""
        return Unreachable(f"the remote {self.remote}, {masked(self.remote_url)}{what}{why}")


def _not_a_warning(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING


def _is_there(remote: Any, md5: str) -> bool:
    """Not `remote.exists`, which takes every failure, also a refused connection, for a no."""
    try:
        remote.fs.info(remote.oid_to_path(md5))
    except FileNotFoundError as error:
        why = error.__cause__  # fsspec says so of a web server that it cannot reach, too
        if isinstance(why, OSError) and not isinstance(why, FileNotFoundError):
            raise why from None
        return False
    return True


def _object(folder: Path, md5: str) -> Path:
    return folder / OBJECTS / md5[:2] / md5[2:]


def right_file(path: Path, md5: str) -> bool:
    """Whether a file holds exactly these bytes."""
    return path.is_file() and hashes.md5(path) == md5.removesuffix(LIST)


def files_at(place: Path, md5: str) -> dict[str, Path] | None:
    """`Storage.files_of` for a file or a folder that lies anywhere; None where it has another md5."""
    if hashes.md5_of(place) != md5:
        return None
    return {name: place / name for name in hashes.names_inside(place)} if place.is_dir() else {"": place}


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
