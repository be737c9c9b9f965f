"""Which tenth of the customers each one is in."""

import numpy as np

TENTHS = 10


def deciles(probabilities: np.ndarray) -> np.ndarray:
    """The tenth that each customer is in, int8 (n,): 1 holds those who are the likeliest to leave.

    They are ranked by probability, the highest first, those with the same one in the order of their rows,
    and cut into ten groups of like size; where ten does not divide n, the first ones have one customer more.

    Args:
        probabilities: float64 (n,).
    """
    tenths = np.empty(len(probabilities), dtype="int8")
    order = np.argsort(-probabilities, kind="stable")
    for tenth, rows in enumerate(np.array_split(order, TENTHS), 1):
        tenths[rows] = tenth
    return tenths
