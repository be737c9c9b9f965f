"""What came of each kill, and the table of all that benchmarks.kills writes."""

from collections import Counter
from dataclasses import dataclass, field

from benchmarks.victims import VICTIMS
from tests.people.project import REPOSITORY

PAGE = REPOSITORY / "docs/store.md"
TABLE = ("<!-- written by benchmarks.kills --write -->\n", "<!-- to here -->\n")


@dataclass
class Kill:
    """What came of one.

    Attributes:
        moment: seconds after the command's beginning.
        ended: by what: the same command, or that only after the cure that doctor tells; nothing where it did
            not end.
        told: the names of doctor's checks that have found what was left.
        wrong: what was not as it should be, a sentence each.
    """

    name: str
    number: int
    moment: float
    ended: str = ""
    told: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def table(kills: list[Kill]) -> str:
    header = (
        "command",
        "kills",
        "the same command ended it",
        "after doctor's cure",
        "nothing lost, all agrees",
    )
    rows = [f"| {' | '.join(header)} | doctor told |", "| --- | --: | --: | --: | --: | --- |"]
    names = [victim.name for victim in VICTIMS if any(kill.name == victim.name for kill in kills)]
    for name in [*names, "all"]:
        of_it = [kill for kill in kills if name in (kill.name, "all")]
        counts = (
            len(of_it),
            sum(kill.ended == "again" for kill in of_it),
            sum(kill.ended == "after the cure" for kill in of_it),
            sum(bool(kill.ended) and not kill.wrong for kill in of_it),
        )
        told = Counter(check for kill in of_it for check in kill.told)
        said = ", ".join(f"`{check}` {count}" for check, count in sorted(told.items()))
        shown = name if name == "all" else f"`{name}`"
        rows.append(f"| {shown} | {' | '.join(map(str, counts))} | {said} |")
    wrong = [
        f"- `{kill.name}`, killed after {kill.moment} s: {text}" for kill in kills for text in kill.wrong
    ]
    return "\n".join([*rows, *([""] if wrong else []), *wrong]) + "\n"


def summary(kills: list[Kill], wanted: int) -> str:
    """How many of those that are wanted were made, and which commands none of them has met."""
    missing = [f"`{victim.name}`" for victim in VICTIMS if all(kill.name != victim.name for kill in kills)]
    cut_off = f", {len(kills)} of them so far" if len(kills) < wanted else ""
    return f"{wanted} kills{cut_off}" + (f"; not yet of {', '.join(missing)}" if missing else "") + ":\n"


def write(text: str) -> None:
    """Put the table into its page."""
    page = PAGE.read_text(encoding="utf-8")
    (head, rest), (begin, end) = page.split(TABLE[0]), TABLE
    PAGE.write_text(f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
