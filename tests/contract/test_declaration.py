"""What docs/your-own-data.md declares, a reader may copy."""

from ruamel.yaml import YAML

from stages.support import params
from tests.people.pages import blocks, text_of
from tests.people.project import REPOSITORY


def test_the_declaration_on_the_page_is_one():
    (declared,) = [
        block.text for block in blocks(text_of("docs/your-own-data.md")) if block.language == "yaml"
    ]
    tree = params.read(REPOSITORY / "params.yaml") | YAML(typ="safe", pure=True).load(declared)
    assert "visits" in tree["data"]["columns"]
    params.check(tree)
