"""md5s of what a person names, however large it is."""

import hashlib
from pathlib import Path

from stages.support import hashes

LARGE_FILE = 500_000_000  # bytes, which take a second or two to hash
CHUNK = 1 << 20  # bytes that are hashed at once


def md5_of_folder(folder: Path) -> str:
    """The md5 of a folder's files, as DVC counts it."""
    return hashes.folder_md5({name: md5_of_file(folder / name) for name in hashes.names_inside(folder)})


def md5_of_file(path: Path) -> str:
    """The md5 of a file of any size; a long wait shows its progress."""
    if path.stat().st_size < LARGE_FILE:
        return hashes.md5(path)
    from rich.progress import open as open_with_progress

    digest = hashlib.md5()
    with open_with_progress(path, "rb", description=f"hashing {path.name}", transient=True) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
