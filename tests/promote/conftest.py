"""Promotions begin with the history that the tests of lineage made."""

from tests.lineage.conftest import history, history_template

__all__ = ["history", "history_template"]
