"""How push and pull tell of objects: those that went, and those that are not where they should be."""

from collections.abc import Mapping

from predictflow.console import open_console
from predictflow.formatting import NAMED, Json


def draw_objects(answer: Json, words: Mapping[str, str]) -> None:
    """Each kind of what was done, by its key in the answer, then each problem with its cure."""
    console = open_console()
    for key, word in words.items():
        for named in answer[key][:NAMED]:
            console.print(f"{word}: {named['path']}", markup=False)
        if (more := len(answer[key]) - NAMED) > 0:
            console.print(f"{word}: {more:,} more", markup=False)
    for problem in answer["problems"][:NAMED]:
        console.print(f"{problem['path']}: {problem['error']}", style="red", markup=False)
        console.print(f"  {problem['key']}\n  Cure: {problem['cure']}", markup=False)
    if (more := len(answer["problems"]) - NAMED) > 0:
        console.print(f"and {more:,} more (--json names all)", style="red", markup=False)
    for reason in answer["elsewhere"]:
        console.print(f"left out: {reason}", markup=False)
