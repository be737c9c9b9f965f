"""Which side of a split a customer is on: decided by the id alone, for good."""

import hashlib

import numpy as np
import pandas as pd


def positions(ids: pd.Series, salt: str) -> np.ndarray:
    """A place in [0, 1) for each id: the first 64 bits of md5(salt + id), float64, shape (n,).

    A customer's place depends on nothing but salt and id, so it stays on its side of a split as the
    data grows, on every machine and for every hash seed.
    """
    digests = b"".join(hashlib.md5(f"{salt}{id_}".encode()).digest()[:8] for id_ in ids.tolist())
    return np.frombuffer(digests, dtype=">u8") / 2.0**64


def held_out(ids: pd.Series, salt: str, share: float) -> np.ndarray:
    """True for the customers held out, about `share` of them, bool, shape (n,)."""
    return positions(ids, salt) < share
