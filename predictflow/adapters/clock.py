"""What the system says of its clock."""

import ctypes

UNSYNCHRONIZED = 5  # what Linux answers where nobody keeps the clock (adjtimex(2))
SIZE = 512  # bytes, more than the answer has


def is_kept_by_network() -> bool:
    """Whether the system's clock is kept by another one, as by NTP; False where nobody tells."""
    try:
        asked = ctypes.create_string_buffer(SIZE)  # all zero: nothing is to be changed
        return 0 <= ctypes.CDLL(None).adjtimex(asked) < UNSYNCHRONIZED
    except (AttributeError, OSError):  # not Linux
        return False
