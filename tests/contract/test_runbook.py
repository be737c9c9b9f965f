"""What a person sees leads to an entry of the runbook, and an entry to the test that plays it."""

import re

import pytest

from tests.declared import syntax
from tests.people.project import REPOSITORY
from tests.people.runbook import entries, table

TEST = re.compile(r"`(tests/real/runbook/(test_\w+)\.py)::(\w+)`")
ENTRIES = entries()


@pytest.mark.parametrize("anchor", ENTRIES)
def test_an_entry_is_played_by_the_test_that_it_names(anchor: str):
    (path, _, function), *others = TEST.findall(ENTRIES[anchor].parts["Test"])
    assert not others and function == f"test_{anchor.replace('-', '_')}"
    defined = {node.name: node for node in syntax(REPOSITORY / path).body if hasattr(node, "name")}
    assert function in defined, f"{path} has no {function}"
    assert f'"{anchor}"' in (REPOSITORY / path).read_text(encoding="utf-8"), "it plays another entry"


@pytest.mark.parametrize("anchor", ENTRIES)
def test_an_entry_has_a_symptom_a_cure_and_a_way_to_know(anchor: str):
    entry = ENTRIES[anchor]
    for part in ("Symptom", "Cure", "Healed when"):
        assert entry.steps(part), part
    assert any(step.prints for step in entry.steps("Symptom")), "nobody knows it by its text"
    assert "```" not in entry.parts["Cause"]


def test_what_is_seen_leads_to_every_entry_whose_symptom_it_is():
    rows = table()
    assert {anchor for _, anchor in rows} == ENTRIES.keys()
    for seen, anchor in rows:
        symptom = ENTRIES[anchor].parts["Symptom"] + ENTRIES[anchor].parts["Cause"]
        for words in re.findall("`([^`]+)`", seen.replace("\\|", "|")):
            assert all(part in symptom for part in words.split(" … ")), f"{anchor} does not show {words!r}"
