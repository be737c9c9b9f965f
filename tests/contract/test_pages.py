"""What README.md and docs/ say is there: commands, options, files, code. None of it is run here."""

import re

import click
import pytest

from predictflow import cli
from stages.support import hashes
from tests.contract.test_rooms import FLOORS, STAGE_FLOORS
from tests.people.pages import EXCUSED, PAGES, PLAYED, README, blocks, matches, steps, text_of
from tests.people.project import REPOSITORY

COMMANDS = re.compile(
    r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ +)*(?:predictflow|dvc|git|make|mlflow|python|curl|gto|gh|pip) \S"
)


@pytest.mark.parametrize("page", PAGES)
def test_a_command_stands_in_a_block_that_is_played(page: str):
    text = text_of(page)
    assert text.count("```") == 2 * len(blocks(text)), "a fence that nobody reads"
    others = [block.text for block in blocks(text) if block.language not in PLAYED]
    assert not [line for other in others for line in other.splitlines() if COMMANDS.match(line)]
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not [line for line in outside.splitlines() if line.startswith("    ") and COMMANDS.match(line)]


def test_the_picture_shows_the_model_of_today():
    content = hashes.md5(REPOSITORY / "models/provenance.json")
    picture = (REPOSITORY / ".github/images/lineage.svg").read_text(encoding="utf-8")
    assert content in picture, "Cure: `python -m tests.contract.pictures`."


def test_an_excuse_is_needed():
    everything = "".join(map(text_of, PAGES))
    assert [text for text in EXCUSED if text not in everything] == []


def inline(text: str) -> list[str]:
    """The commands of predictflow that a page names within its sentences."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [
        told
        for told in re.findall(r"`([^`]+)`", outside)
        if re.match(r"(python -m )?predictflow [a-z-]", told)
    ]


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"])
def test_a_command_within_a_sentence_and_its_options_are_there(page: str):
    context = click.Context(cli.predictflow)
    for told in inline(text_of(page)):
        words = re.sub(r"^predictflow (--repo \S+ )?", "", told).split()
        command = cli.predictflow
        if not words[0].startswith("-"):
            command = cli.predictflow.get_command(context, words.pop(0))
        assert command is not None, told
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word.rstrip(",;") for word in words if word.startswith("--")} <= options, told


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "predictflow/README.md", "benchmarks/README.md"])
def test_what_a_page_links_to_is_there(page: str):
    for path, _, heading in re.findall(r"\]\(((?!https?:)[^)#]*)(#([^)]*))?\)", text_of(page)):
        target = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert target.exists(), path
        if heading:
            assert heading in anchors(target.read_text(encoding="utf-8")), f"{path}#{heading}"


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "predictflow/README.md"])
def test_the_code_that_a_page_names_is_there(page: str):
    """Paths of code from the top of the project; in the map those of predictflow/ too."""
    outside = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    named = [told for told in re.findall(r"`([\w./-]+)`", outside) if re.search(r"\w/\w|\w/$|\.py$", told)]
    tops = [REPOSITORY, (REPOSITORY / page).parent]
    code = [told for told in named if re.match(r"(stages|predictflow|tests|benchmarks|\.github|\.ci)/", told)]
    if page == "predictflow/README.md":
        code, tops = [told for told in named if told.endswith((".py", "/"))], [*tops, REPOSITORY / "stages"]
        rooms = {path.name for path in tops[1].iterdir() if (path / "__init__.py").exists()}
        assert rooms <= {told.rstrip("/") for told in code}, "a room is not on the map"
    assert [told for told in code if not any((top / told).exists() for top in tops)] == []


def test_the_map_tells_the_rooms_from_the_top_down():
    """In the order that test_rooms.py holds the imports to."""
    for heading, floors in {"predictflow/": FLOORS, "stages/": STAGE_FLOORS}.items():
        table = text_of("predictflow/README.md").partition(f"\n## {heading}, ")[2].partition("\n## ")[0]
        told = [re.findall(r"`(\w+)(?:\.py|/)`", row.split(" | ")[0]) for row in table.splitlines()]
        assert [tuple(rooms) for rooms in told if rooms] == list(floors)


def anchors(text: str) -> set[str]:
    """How GitHub names the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_list_of_pages():
    listed = text_of("docs/README.md")
    for page in PAGES[1:]:
        assert page == "docs/README.md" or f"]({page.removeprefix('docs/')})" in listed, page


def test_the_readme_is_read_in_two_minutes():
    assert len(text_of(README).splitlines()) <= 120


# --- The player itself ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "printed", "right"),
    [
        ("one\ntwo\n", "one\ntwo\n", True),
        ("one\n", "one\ntwo\n", False),
        ("one\n…\n", "one\ntwo\nthree\n", True),
        ("…\nthree\n", "one\ntwo\nthree\n", True),
        ("one … three\n", "one two three\n", True),
        ("", "", True),
        ("", "one\n", False),
        ("a.c [1]\n", "abc [1]\n", False),
    ],
)
def test_what_is_printed_is_held_to_what_a_page_tells(told: str, printed: str, right: bool):
    assert matches(told, printed) is right


def test_a_block_is_cut_into_commands():
    (block,) = blocks("```console exit=1\n$ one \\\n    more\nsaid\n$ two\n```\n")
    first, second = steps(block)
    assert (first.command, first.prints, first.code) == ("one \\\n    more", "said\n", 0)
    assert (second.command, second.prints, second.code) == ("two", "", 1)
