"""What may go wrong besides a user's mistake: a place out of reach, a question with no certain answer."""

import re

from stages.support.errors import UserError


class CouldNotTell(UserError):
    """A question with no certain answer: the command ends with exit code 2."""


class Unreachable(Exception):
    """A store that is not there, or does not answer: what was asked, and why it could not be."""


class Missing(Unreachable):
    """A store that is not there: nothing was ever logged to it."""


def masked(text: str) -> str:
    """A text without the name and password of an address in it."""
    return re.sub(r"//[^/\s]*@", "//…@", text)
