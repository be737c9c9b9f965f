"""What a study is of: params.yaml as it is."""

import pytest
from ruamel.yaml import YAML

from predictflow.tuning.space import Space
from stages.support.params import Params
from tests.people.project import REPOSITORY


@pytest.fixture
def tree() -> dict:
    """params.yaml, as it is."""
    return YAML(typ="safe").load(REPOSITORY / "params.yaml")


@pytest.fixture
def space(tree: dict) -> Space:
    return Space.read(Params(tree))
