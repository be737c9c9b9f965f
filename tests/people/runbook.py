"""The entries of docs/runbook.md, cut into their parts, and a person who does what one says."""

import re
from dataclasses import dataclass

from tests.people.pages import PLAYED, Player, Step, blocks, steps, text_of
from tests.people.project import Project

PAGE = "docs/runbook.md"
PARTS = ("Symptom", "Cause", "Cure", "Healed when", "Test")
PART = re.compile(rf"^\*\*({'|'.join(PARTS)})\*\*", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """An entry: its anchor, and what stands in each of its parts."""

    anchor: str
    parts: dict[str, str]

    def steps(self, part: str) -> list[Step]:
        """The commands of a part, with what they print."""
        played = [block for block in blocks(self.parts[part]) if block.language in PLAYED]
        return [step for block in played for step in steps(block)]


def anchor_of(heading: str) -> str:
    """How GitHub names a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def entries() -> dict[str, Entry]:
    """{anchor: entry} in the order of the page. Raises AssertionError where one is of another shape."""
    found = {}
    for part in re.split(r"^### ", text_of(PAGE), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        told = PART.split(re.split(r"^## ", text, flags=re.MULTILINE)[0])
        assert tuple(told[1::2]) == PARTS and not told[0].strip(), f"{heading}: its parts are {told[1::2]}"
        anchor = anchor_of(heading)
        found[anchor] = Entry(anchor, dict(zip(told[1::2], told[2::2], strict=True)))
    return found


def table() -> list[tuple[str, str]]:
    """(what is seen, the anchor that it leads to) of each row at the head of the page."""
    rows = re.findall(r"^\| (.+) \| \[.*\]\(#([\w-]+)\) \|$", text_of(PAGE).split("\n## ")[0], re.MULTILINE)
    return [(seen, anchor) for seen, anchor in rows]


class Person(Player):
    """Who reads an entry in a project, and does what it says."""

    def __init__(self, project: Project, anchor: str) -> None:
        super().__init__(project)
        self.entry = entries()[anchor]

    def read(self, part: str) -> None:
        """Do what a part says; all must end, and print, as it tells."""
        told = self.entry.steps(part)
        assert told, f"{self.entry.anchor} says nothing to do under {part}"
        for step in told:
            self.do(step)

    def sees(self) -> None:
        """The symptom is there, and nobody takes the project for healthy."""
        self.read("Symptom")
        try:
            self.read("Healed when")
        except AssertionError:
            return
        raise AssertionError(f"{self.entry.anchor}: it is called healed before it is cured")

    def is_cured(self) -> None:
        """What the entry says cures it."""
        self.read("Cure")
        self.read("Healed when")


def play(project: Project, anchor: str) -> None:
    """From the symptom to health, with nothing but what the entry says."""
    person = Person(project, anchor)
    person.sees()
    person.is_cured()
