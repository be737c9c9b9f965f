"""The checks of `predictflow doctor`: the page tells of each, and the runbook tells more."""

import re

from predictflow.doctor.doctor import GROUPS
from tests.people.pages import text_of
from tests.people.project import REPOSITORY

NAMES = [name for group, _ in GROUPS for name in group.entries]


def listed(page: str) -> dict[str, list[str]]:
    """{heading: the names of the checks in the table beneath it}."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)[1:]
    tables = zip(parts[::2], parts[1::2], strict=True)
    return {heading: re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE) for heading, text in tables}


def test_the_page_lists_every_check_under_its_group():
    assert listed(text_of("docs/doctor.md")) == {group.name: list(group.entries) for group, _ in GROUPS}


def test_a_name_is_that_of_one_check_so_that_a_page_can_point_at_it():
    assert len(set(NAMES)) == len(NAMES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in NAMES)


def test_each_place_that_a_check_leads_to_is_in_the_runbook():
    headings = re.findall(r"^#+ (.+)$", (REPOSITORY / "docs/runbook.md").read_text("utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    entries = {entry for group, _ in GROUPS for entry in group.entries.values() if entry}
    assert entries - anchors == set(), "write the entry"
