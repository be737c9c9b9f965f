"""DVC's settings of this clone alone, .dvc/config.local: led to a remote for a while, and put back."""

from io import BytesIO
from pathlib import Path
from stat import S_IMODE
from typing import TYPE_CHECKING

from stages.support.errors import UserError
from stages.support.files import atomic_write

if TYPE_CHECKING:
    from configobj import ConfigObj

LOCAL = Path(".dvc/config.local")
PRIVATE = 0o600  # it may hold a secret


class BorrowedSettings:
    """The settings of the project in `root`, while a remote of ours is its default one.

    `kept` is a folder that holds them as they were, and as they were written, so that nobody's own are lost.
    """

    def __init__(self, root: Path, remote: str, kept: Path) -> None:
        self._file, self._remote = root / LOCAL, remote
        self._before, self._written = kept / "config.local.before", kept / "config.local.written"

    def lead_to(self, settings: dict[str, str]) -> None:
        """Make our remote the default one. What stands there besides is kept, and so are its bytes.

        Raises UserError where the settings cannot be read.
        """
        before = self._as_it_was()
        written = self._with_ours(before, settings)
        if before is None:
            self._before.unlink(missing_ok=True)
        else:
            _write(self._before, before, _mode(self._before if self._ours_lies_here() else self._file))
        _write(self._written, written, PRIVATE)
        if _read(self._file) != written:
            _write(self._file, written, PRIVATE)

    def put_back(self) -> None:
        """Take our remote out again: to the byte what was there, unless somebody has changed it meanwhile,
        whose changes stay. Raises UserError where the settings cannot be read."""
        before = self._as_it_was()
        if before is None:
            self._file.unlink(missing_ok=True)
        elif _read(self._file) != before:
            _write(self._file, before, _mode(self._before))
        for path in (self._before, self._written):
            path.unlink(missing_ok=True)

    def _as_it_was(self) -> bytes | None:
        """The settings without our remote; None for no file."""
        now, before = _read(self._file), _read(self._before)
        if self._ours_lies_here():
            return before
        if now is None or self._section not in (settings := self._parsed(now)):
            return now
        del settings[self._section]
        core = settings.get("core", {})
        if core.get("remote") == self._remote:
            was = self._parsed(before or b"").get("core", {}).get("remote")
            if was is None:
                del core["remote"]
            else:
                core["remote"] = was
            if not core:
                del settings["core"]
        return _text(settings) if settings else None

    def _with_ours(self, before: bytes | None, settings: dict[str, str]) -> bytes:
        changed = self._parsed(before or b"")
        changed.setdefault("core", {})["remote"] = self._remote
        changed[self._section] = settings
        return _text(changed)

    @property
    def _section(self) -> str:
        return f'remote "{self._remote}"'

    def _parsed(self, text: bytes) -> "ConfigObj":
        from configobj import ConfigObj, ConfigObjError

        try:
            return ConfigObj(BytesIO(text), encoding="utf-8", interpolation=False)
        except (ConfigObjError, UnicodeError) as error:
            raise UserError(
                f"{self._file}, DVC's settings of this clone, cannot be read: {error}\n"
                "Cure: correct it, or move it away."
            ) from error

    def _ours_lies_here(self) -> bool:
        return _read(self._file) == _read(self._written) is not None


def _write(path: Path, text: bytes, mode: int) -> None:
    with atomic_write(path) as temporary:
        temporary.touch(PRIVATE)
        temporary.write_bytes(text)
        temporary.chmod(mode)


def _mode(path: Path) -> int:
    """Who may read and write a file; its owner alone where there is none."""
    return S_IMODE(path.stat().st_mode) if path.exists() else PRIVATE


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _text(settings: "ConfigObj") -> bytes:
    text = BytesIO()
    settings.write(text)
    return text.getvalue()
