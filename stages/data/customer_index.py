"""Whose rows a prepared file holds: the sorted salted hashes of the customers' ids, 16 bytes each.

It answers "was this customer in the training set of that model?" without a list of the customers. The
salt stands in params.yaml, so the index is pseudonymous and not anonymous: whoever can guess an id can
look it up.

The standard library alone is imported to ask it, so that a command which only asks starts at once.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from stages.support import files
from stages.support.errors import UserError

RECORD = 16  # bytes of a customer
BLOCK = 64  # bytes that SHA-256 takes at a time


def digests(ids: Iterable[str], salt: str) -> Iterator[bytes]:
    """The first 16 bytes of HMAC-SHA256 (RFC 2104) of each id, with the salt as its key; both as UTF-8.

    The module hmac gives the same in twice the time: of millions it is what a stage waits for.
    """
    key = salt.encode()
    if len(key) > BLOCK:
        key = sha256(key).digest()
    keyed_inner, keyed_outer = (
        sha256(bytes(byte ^ pad for byte in key.ljust(BLOCK, b"\0"))) for pad in (0x36, 0x5C)
    )
    for id_ in ids:
        inner, outer = keyed_inner.copy(), keyed_outer.copy()
        inner.update(id_.encode())
        outer.update(inner.digest())
        yield outer.digest()[:RECORD]


def digest(id_: str, salt: str) -> bytes:
    """That of one id."""
    return next(digests([id_], salt))


def write(path: Path, digests: Iterable[bytes]) -> None:
    """Write digests, in any order, alone or joined, as an index: sorted, one after the other, no header."""
    import numpy as np  # a list of them would take four times the memory

    records = np.frombuffer(b"".join(digests), f"S{RECORD}")
    with files.atomic_write(path) as temporary:
        np.sort(records).tofile(temporary)


def holds(path: Path, wanted: bytes) -> bool:
    """Whether a digest is in an index of n customers; about log2(n) records of the file are read.

    Raises UserError for a file that was cut short or is no index, FileNotFoundError where there is none.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size % RECORD:
            raise UserError(
                f"{path} is no index of customers: its {size} bytes are no multiple of {RECORD}.\n"
                f"Cure: `rm {path}`, then bring it again: `dvc checkout`, or `dvc pull`, or `dvc repro`."
            )

        def record(number: int) -> bytes:
            file.seek(number * RECORD)
            return file.read(RECORD)

        number = bisect_left(range(size // RECORD), wanted, key=record)
        return record(number) == wanted
