"""`predictflow diff`: what differs between two models, or between the customers of two."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from predictflow.commands.completion import complete_handle
from predictflow.console import draw_table, fact, open_console, print_gaps, print_json
from predictflow.formatting import SHORT, Json, some_of
from predictflow.lineage.comparison import compare_sides
from predictflow.lineage.project import Project
from predictflow.lineage.sides import find_sides

if TYPE_CHECKING:
    from rich.text import Text

    from predictflow.lineage.customer_files import Open

QUIET_SECONDS = 2  # seconds that pass without a word
EXAMPLES = 3  # ids that are shown of many
NOTHING = "-"  # where one side has no such thing


@click.command(short_help="What differs between two models, or between their customers.")
@click.argument("a", shell_complete=complete_handle)
@click.argument("b", required=False, shell_complete=complete_handle)
@click.option(
    "--json", "as_json", is_flag=True, help="The whole answer, as JSON, with the id of every customer."
)
@click.pass_context
def command(context: click.Context, a: str, b: str | None, as_json: bool) -> None:
    """What differs between two models: data, columns, params, code, environment, metrics.

    A and B are whatever `predictflow lineage` takes: files, md5s, Git revisions, versions, runs,
    experiments. Without B, A is compared with the model of the working tree. Where one of them is
    customers, a CSV or a folder of parts, only the customers are compared.

    Customers are compared by id, their values as text, where both files are in DVC's cache or lie in the
    working tree; no value is shown. What a Parquet part holds as numbers is compared as numbers.

    \b
    Exit codes: 0 nothing differs, 1 something does, 2 could not tell:
    nothing was found to differ, but not all could be looked at.

    \b
    Examples:
      predictflow diff churn-predictor@production
      predictflow diff v1.0 HEAD --json
    """
    project = Project.enter(context.obj, by_index=True)
    sides = find_sides(project, a, b)
    answer = compare_sides(project, *sides, _reading)
    answer["not_looked_at"] = project.unseen
    if as_json:
        print_json(answer)
    else:
        _draw(answer)
    context.exit(1 if answer["differs"] else 2 if answer["unknown"] else 0)


@contextmanager
def _reading(total: int) -> "Iterator[Open | None]":
    """Show how many bytes of `total` have been read, on a terminal's standard error, if it takes long."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(console=Console(stderr=True), transient=True)
    task = progress.add_task("comparing the customers", total=total)
    timer = threading.Timer(QUIET_SECONDS, progress.start)
    timer.start()
    try:
        yield lambda path: progress.open(path, "rb", total=total, task_id=task)
    finally:
        timer.cancel()
        timer.join()
        if progress.live.is_started:
            progress.stop()


def _draw(answer: Json) -> None:
    console = open_console()
    if answer["differs"]:
        for letter in "ab":
            console.print(_side(letter, answer[letter]))
        console.print(draw_table(("", "A", "B", ""), _rows(answer)))
    for head, note in _notes(answer):
        console.print(fact(f"{head}:", note), soft_wrap=head == "code")  # a command stays in one line
    print_gaps(console, answer["not_looked_at"])


def _notes(answer: Json) -> Iterator[tuple[str, str]]:
    """What no row of the table tells."""
    customers = (answer["data"] or {}).get("customers")
    if customers and not any(customers[key] for key in ("removed", "added", "changed")):
        yield "data", "the same customers, in another order or written in another way"
    if (answer.get("environment") or {}).get("packages") == {}:
        yield "environment", "the same packages, in another requirements.lock"
    code = answer.get("code") or {}
    for command, paths in _commands(code).items():
        yield "code", f"{command}{' '.join(paths)}"
    if moved := [path for path, file in code.items() if not file["show"]]:
        yield "code", f"Git cannot show {', '.join(moved)} as dvc.lock names it"
    if answer["same"]:
        yield "the same", ", ".join(answer["same"])


def _commands(code: Json) -> dict[str, list[str]]:
    """{`git diff` without its files: the files that it shows}."""
    files: dict[str, list[str]] = {}
    for path, file in code.items():
        if file["show"]:
            files.setdefault(file["show"].removesuffix(path), []).append(path)
    return files


Row = tuple[str, ...]  # its name, then the cells of A, of B, and of their difference


def _rows(answer: Json) -> "Iterator[tuple[str | Text, ...]]":
    """All rows, beneath the name of their section, each of four cells."""
    from rich.text import Text

    for section in answer["differs"]:
        yield Text(section, "bold"), "", "", ""
        for name, *cells in ROWS[section](answer[section]):
            yield f"  {name}", *cells, *[""] * (3 - len(cells))


def _side(letter: str, side: Json) -> "Text":
    name, content = side["handle"] or side["is"], side["content"] or ""
    return fact(f"{letter.upper()}:", name, side["kind"], content[:SHORT])


def _data(data: Json) -> Iterator[Row]:
    yield "md5", *(data["md5"][letter][:SHORT] for letter in "ab")
    rows = [data["rows"][letter] for letter in "ab"]
    counts = ("not known" if count is None else f"{count:,}" for count in rows)
    yield "rows", *counts, "" if None in rows or rows[0] == rows[1] else f"{rows[1] - rows[0]:+,}"
    if customers := data["customers"]:
        yield "customers removed", _some(customers["removed"])
        yield "customers added", "", _some(customers["added"])
        yield "customers changed", "", _some(customers["changed"])
        if customers["columns_removed"]:
            yield "columns removed", some_of(customers["columns_removed"])
        if customers["columns_added"]:
            yield "columns added", "", some_of(customers["columns_added"])


def _some(ids: list[str]) -> str:
    """How many ids, and a few of them."""
    more = ", …" if len(ids) > EXAMPLES else ""
    return f"{len(ids):,}: {', '.join(ids[:EXAMPLES])}{more}" if ids else "0"


def _columns(columns: Json) -> Iterator[Row]:
    """A column that one side alone declares; else each key in which its declarations differ."""
    for name, specs in columns.items():
        if len(specs) == 1:
            yield name, *(_value(specs, letter) for letter in "ab")
            continue
        for key in sorted(specs["a"].keys() | specs["b"].keys()):
            values = {letter: spec[key] for letter, spec in specs.items() if key in spec}
            if values.get("a") != values.get("b"):
                yield f"{name}.{key}", *(_value(values, letter) for letter in "ab")


def _values(section: Json) -> Iterator[Row]:
    for name, values in section.items():
        yield name, *(_value(values, letter) for letter in "ab")


def _value(values: Json, letter: str) -> str:
    """A value as params.yaml could write it."""
    if letter not in values:
        return NOTHING
    value = values[letter]
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_value(value, key)}" for key in value)
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _code(code: Json) -> Iterator[Row]:
    for path, file in code.items():
        yield path, "", "", file["change"]


def _environment(environment: Json) -> Iterator[Row]:
    yield "md5", *(environment["md5"][letter][:SHORT] for letter in "ab")
    yield from _values(environment["packages"] or {})


def _metrics(metrics: Json) -> Iterator[Row]:
    for name, values in metrics.items():
        numbers = (f"{values[letter]:.6g}" if letter in values else NOTHING for letter in "ab")
        yield name, *numbers, f"{values['difference']:+.6g}" if "difference" in values else ""


ROWS = {
    "data": _data,
    "columns": _columns,
    "params": _values,
    "code": _code,
    "environment": _environment,
    "metrics": _metrics,
}
