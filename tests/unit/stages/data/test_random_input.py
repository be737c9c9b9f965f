"""Customer files and params.yaml with edits drawn at random, the same ones each time: what is let through is
what an independent reading finds there, and what is not is told in a sentence.

    python -m pytest -s tests/unit/stages/data/test_random_input.py

prints the counts.
"""

import csv
import io
import math
import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml as pyyaml
from ruamel.yaml import YAML

from stages.support import params
from stages.support.errors import UserError
from tests.people.project import REPOSITORY
from tests.unit.stages.data.files import read, schema, telco, text

DRAWN = 1500
VALUES = [
    "",
    " ",
    "0",
    "1",
    "-1",
    "1.0",
    "1.000",
    "1,5",
    "1e3",
    "1e999",
    "nan",
    "inf",
    "0x10",
    "1_000",
    "\u0661",
    "16777217",
]
VALUES += [
    "Yes",
    "yes",
    "No",
    " No",
    "NA",
    "null",
    '"',
    'a"b',
    "a\nb",
    "a,b",
    "\ufeff",
    "\0",
    "é",
    "e\u0301",
    "x" * 99,
]
BYTES = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\x00",
    b"\xff",
    b"\x85",
    b'"',
    b",",
    b";",
    b"\t",
    b"\xef\xbb\xbf",
    b"\x0b",
    b"9",
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def of_cells(draw: random.Random, frame: pd.DataFrame) -> bytes:
    for _ in range(draw.choice([1, 1, 3])):
        frame.iat[draw.randrange(len(frame)), draw.randrange(frame.shape[1])] = draw.choice(VALUES)
    return text(frame, quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).encode()


def of_rows(draw: random.Random, frame: pd.DataFrame) -> bytes:
    lines = text(frame).splitlines(keepends=True)
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    edits: list[Callable[[], object]] = [
        lambda: lines.pop(at),
        lambda: lines.insert(at, lines[other]),
        lambda: lines.insert(at, draw.choice(["\n", "," * 20 + "\n", ",\n", " \n", '""\n', "\r\n"])),
        lambda: lines.__setitem__(at, lines[at].rstrip("\n") + draw.choice([",", ",x", '"', "\r"]) + "\n"),
        lambda: lines.__setitem__(at, lines[at].partition(",")[2]),
        lambda: draw.shuffle(lines),
    ]
    draw.choice(edits)()
    return "".join(lines).encode()


def of_header(draw: random.Random, frame: pd.DataFrame) -> bytes:
    names = list(frame.columns)
    at = draw.randrange(len(names))
    names[at] = draw.choice([names[at - 1], names[at].upper(), f" {names[at]}", "", "x", *VALUES])
    if draw.random() < 0.3:
        draw.shuffle(names)
    return text(frame.set_axis(names, axis=1)).encode()


def of_format(draw: random.Random, frame: pd.DataFrame) -> bytes:
    written = text(frame, sep=draw.choice(",,;\t|"))
    written = written.replace("\n", draw.choice(["\n", "\r\n", "\r", "\n\n", "\x85", "\u2028"]))
    return written.encode(
        draw.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "utf-32"]), "replace"
    )


def of_bytes(draw: random.Random, frame: pd.DataFrame) -> bytes:
    whole = text(frame).encode()
    at = draw.randrange(len(whole))
    return draw.choice(
        [whole[:at], whole[at:], whole[:at] + draw.choice(BYTES) + whole[at + draw.randrange(3) :]]
    )


def independent(content: bytes) -> list[dict[str, str]]:
    """The customers of a file, by Python's own reader of CSV."""
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    header = next(rows)
    assert len(set(header)) == len(header)
    return [dict(zip(header, row, strict=True)) for row in rows if row]


def same(held: Any, written: str, spec: dict) -> bool:
    """Whether a value that a model would learn from is the one that the file holds."""
    if spec["type"] == "category":
        return held == written
    meant = Decimal(str(spec["fill"])) if written == "" and spec.get("fill") is not None else Decimal(written)
    return math.isclose(float(held), float(np.float32(float(meant))), rel_tol=1e-7)


def misread(frame: pd.DataFrame, content: bytes) -> str:
    """Where a frame is not what the file holds; empty where it is."""
    declared = schema()
    try:
        rows = independent(content)
    except (ValueError, csv.Error, AssertionError) as error:
        return f"no other reader takes it: {error!r}"
    if len(rows) != len(frame):
        return f"{len(frame)} customers of {len(rows)}"
    for at, row in enumerate(rows):
        held = frame.iloc[at]
        wrong = [name for name in (declared.id,) if held[name] != row[name]]
        wrong += [declared.target] * (row[declared.target] != ("Yes" if held[declared.target] == 1 else "No"))
        try:
            wrong += [
                name for name, spec in declared.columns.items() if not same(held[name], row[name], spec)
            ]
        except InvalidOperation as error:
            return f"row {at + 2}: {error!r}"
        if wrong:
            return f"row {at + 2}, {wrong[0]}: {held[wrong[0]]!r} of {row[wrong[0]]!r}"
    return ""


def refused_well(error: UserError) -> bool:
    said = str(error)
    return 0 < len(said) < 20_000 and "Traceback" not in said and (";" in said or "Cure:" in said)


def judge(
    outcomes: Counter[str], drawn: str, wrongly_read: Callable[[], str], well: Callable[[UserError], bool]
) -> list[str]:
    """Count what came of one that was drawn; what is wrong with it, if anything.

    Args:
        wrongly_read: reads it, and tells how it was misread; empty where it was not.
        well: whether a refusal is one that a person understands.
    """
    try:
        wrong = wrongly_read()
        outcomes["misread" if wrong else "accepted, and right"] += 1
    except UserError as error:
        wrong = "" if well(error) else f"told badly: {str(error)[:200]!r}"
        outcomes["told badly" if wrong else "refused in a sentence"] += 1
    except Exception as error:
        wrong = f"traceback: {error!r}"
        outcomes["traceback"] += 1
    return [f"{drawn}: {wrong}"] if wrong else []


def count(outcomes: Counter[str], bad: list[str], what: str) -> None:
    print(f"{what}: {sum(outcomes.values())} drawn: {dict(sorted(outcomes.items()))}")
    assert not bad, "\n".join(bad)


def test_of_random_customer_files_none_is_misread_and_none_ends_in_a_traceback(tmp_path: Path):
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    ways = (of_cells, of_rows, of_header, of_format, of_bytes)
    for number in range(DRAWN):
        draw = random.Random(number)
        way = ways[number % len(ways)]
        content = way(draw, telco(draw.choice([12, 40])))
        bad += judge(
            outcomes,
            f"{way.__name__} {number}",
            lambda content=content: misread(read(tmp_path / "customers.csv", content), content),
            refused_well,
        )
    count(outcomes, bad, "customer files")
    assert outcomes["accepted, and right"] > DRAWN / 20 and outcomes["refused in a sentence"] > DRAWN / 10


ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    0.5,
    1.5,
    1e308,
    10**30,
    "",
    " ",
    "1",
    "yes",
    "NA",
    "a/b",
    "\u202e",
    "x" * 300,
]
ODD += [float("nan"), float("inf"), [], [1], [None], {}, {"a": 1}, {1: 2}, [[]], {"x": {"y": []}}]


def places(tree: Any, above: tuple = ()) -> list[tuple]:
    """The path of each key."""
    if not isinstance(tree, dict):
        return []
    return [path for key, value in tree.items() for path in ((*above, key), *places(value, (*above, key)))]


def leaves(tree: Any) -> Any:
    """To be compared: in any order of the keys, NaN equal to NaN."""
    return {key: leaves(value) for key, value in tree.items()} if isinstance(tree, dict) else repr(tree)


def edit_tree(draw: random.Random, tree: dict) -> None:
    """Another value at a key, a key less, or one more."""
    *above, last = draw.choice(places(tree))
    block = tree
    for key in above:
        block = block[key]
    match draw.randrange(4):
        case 0:
            del block[last]
        case 1:
            block[draw.choice(["x", "seed", 1, None, True, "", f"{last} ", str(last).upper()])] = draw.choice(
                ODD
            )
        case _:
            block[last] = draw.choice(ODD)


def edit_text(draw: random.Random, written: bytes) -> bytes:
    at = draw.randrange(len(written))
    odd = [
        b":",
        b"-",
        b"[",
        b"{",
        b"&a ",
        b"*a",
        b"!!x ",
        b"'",
        b'"',
        b"\t",
        b"\n",
        b"#",
        b"\xff",
        b"\0",
        b"%",
        b"|",
        b"0",
    ]
    return draw.choice([written[:at], written[:at] + draw.choice(odd) + written[at + draw.randrange(2) :]])


def misread_params(path: Path, tree: Any) -> str:
    """How params.yaml is read otherwise than it was meant; empty where it is not."""
    loaded = params.load(path).tree
    try:
        meant = pyyaml.load(path.read_bytes(), pyyaml.CSafeLoader) if tree is None else tree
    except pyyaml.YAMLError:  # `{high: 0.:}`: DVC, which parses by the same C code, lets no stage begin
        return ""
    return "" if leaves(loaded) == leaves(meant) else "other params than were written"


def test_of_random_params_none_is_misread_and_none_ends_in_a_traceback(tmp_path: Path):
    """What was meant is the tree that was written, or PyYAML's reading of a text that was edited."""
    yaml, path = YAML(typ="safe", pure=True), tmp_path / "params.yaml"
    own = (REPOSITORY / "params.yaml").read_bytes()
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    for number in range(DRAWN):
        draw = random.Random(number)
        if number % 3:
            tree = params.read(REPOSITORY / "params.yaml")
            edit_tree(draw, tree)
            yaml.dump(tree, path)
        else:
            path.write_bytes(edit_text(draw, own))
            tree = None
        bad += judge(
            outcomes,
            str(number),
            lambda tree=tree: misread_params(path, tree),
            lambda error: "Cure:" in str(error),
        )
    count(outcomes, bad, "params.yaml")
    assert outcomes["accepted, and right"] > DRAWN / 20 and outcomes["refused in a sentence"] > DRAWN / 10
