"""In this tier every command is a process of its own."""

import pytest


@pytest.fixture
def in_a_hurry() -> bool:
    return False
