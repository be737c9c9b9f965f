"""What many customers cost: prepare, train and evaluate, each beside the least that it can take.

    python -m benchmarks.scale --customers 5000000 --json five.json

The customers are those of the telco file, drawn again and again, with ids of their own and charges up to a
tenth higher or lower. The committed state is measured, as a clone has it.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from rich.console import Console

from benchmarks.history import MEASURE, RSS
from benchmarks.pipeline import HERE, REPOSITORY, Bench, Goal, bench, ensure_customers
from benchmarks.tables import show
from stages.support.hashes import md5
from stages.support.paths import CUSTOMERS, TEST, TEST_INDEX, TRAIN, TRAIN_INDEX

ROWS = 100_000  # written at a time
CHARGES = ("monthly_charges", "total_charges")
POLL = 0.1  # seconds between two looks at the memory
FILES = (CUSTOMERS, TRAIN, TEST, TRAIN_INDEX, TEST_INDEX)
SIDES = {"prepare": "convert", "train": "fit", "evaluate": "score"}  # stage: its floor
WORDS = {
    "convert": "CSV to Parquet, pyarrow alone",
    "fit": "QuantileDMatrix and fit, XGBoost alone",
    "score": "prediction and ROC AUC alone",
}
GOALS = {  # stage: most seconds, None for none of its own, and most MB
    "prepare": (30, 800),
    "train": (None, 1200),
}


@dataclass(frozen=True)
class Cost:
    """Of a command: seconds on the wall and of the CPU, and the most MB that its processes held together."""

    seconds: float
    cpu: float
    peak: float


def write_customers(source: Path, path: Path, rows: int) -> None:
    """Write a customer file of so many rows, the same one every time."""
    telco = pd.read_csv(source, dtype=str, keep_default_na=False)
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        for start in range(0, rows, ROWS):
            count = min(ROWS, rows - start)
            part = telco.iloc[rng.integers(0, len(telco), count)].copy()
            part["customer_id"] = [f"C{number:09d}" for number in range(start + 1, start + count + 1)]
            for name in CHARGES:
                charges = pd.to_numeric(part[name]) * rng.uniform(0.9, 1.1, count)
                part[name] = charges.map("{:.2f}".format, na_action="ignore").fillna("")
            part.to_csv(file, index=False, header=not start, lineterminator="\n")


def measure(here: Bench, project: Path, *words: str) -> Cost:
    """What a command costs. Raises RuntimeError, with what it printed, if it fails."""
    peak = 0
    with (project.parent / "told").open("w+", encoding="utf-8") as told:
        process = subprocess.Popen(
            [sys.executable, "-c", MEASURE, sys.executable, *words],
            cwd=project,
            env=here.env,
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(POLL)
        told.seek(0)
        text = told.read()
    seconds, cpu, largest, code = json.loads(text.splitlines()[-1])
    if code:
        raise RuntimeError(f"{' '.join(words)} failed in {project}:\n{text}")
    return Cost(seconds, cpu, max(peak, largest * RSS) / 1e6)


def _memory(pid: int) -> int:
    """Bytes that the processes below one hold; what two of them share counts once, where Linux tells it."""
    total = 0
    try:
        for process in psutil.Process(pid).children(recursive=True):
            held = process.memory_full_info()
            total += getattr(held, "pss", held.rss)
    except psutil.NoSuchProcess:  # it ended meanwhile
        pass
    return total


@dataclass(frozen=True)
class Scale:
    """What so many customers cost.

    Attributes:
        costs: of each stage and each floor, by its name.
        sizes: {path: bytes} of FILES.
        hashing: seconds for the md5 of the customer file, which DVC asks for.
    """

    customers: int
    costs: dict[str, Cost]
    sizes: dict[str, int]
    hashing: float


def compare(here: Bench, rows: int, console: Console) -> Scale:
    """What the stages and the floors cost, on so many customers."""
    project = here.ours()
    with console.status(f"writing {rows:,} customers"):
        write_customers(REPOSITORY / CUSTOMERS, project / CUSTOMERS, rows)
    begin = time.perf_counter()
    md5(project / CUSTOMERS)
    hashing = time.perf_counter() - begin
    found = {}
    for stage, floor in SIDES.items():
        with console.status(stage):
            found[stage] = measure(here, project, "-m", f"stages.{stage}")
        with console.status(WORDS[floor]):  # -P: what lies beside floors.py is no module to it
            found[floor] = measure(here, project, "-P", str(HERE / "floors.py"), floor)
    sizes = {path.as_posix(): (project / path).stat().st_size for path in FILES}
    return Scale(rows, found, sizes, hashing)


def goals(found: dict[str, Cost]) -> list[Goal]:
    stated = [Goal("train against the fit alone", found["train"].seconds / found["fit"].seconds, 2)]
    for stage, (seconds, peak) in GOALS.items():
        if seconds:
            stated.append(Goal(f"{stage}, seconds", found[stage].seconds, seconds))
        stated.append(Goal(f"{stage}, MB", found[stage].peak, peak))
    return stated


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--customers", type=int, default=5_000_000, metavar="N", help="(default: 5,000,000)")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it down, for benchmarks.plan")
    options = parser.parse_args()
    if options.customers < 1000:
        parser.error("--customers: at least 1000")
    ensure_customers()
    with bench() as here:
        scale = compare(here, options.customers, Console(stderr=True))
    if options.json:
        options.json.write_text(json.dumps(asdict(scale), indent=1) + "\n", encoding="utf-8")
    found = scale.costs
    show(
        f"{options.customers:,} customers",
        ("what", "seconds", "of the CPU", "MB at the peak"),
        [
            [
                f"  {WORDS[name]}" if name in WORDS else name,
                *(f"{cost.seconds:.1f}", f"{cost.cpu:.1f}", f"{cost.peak:.0f}"),
            ]
            for name, cost in found.items()
        ],
        options.markdown,
    )
    for goal in goals(found):
        print(f"- {goal}")


if __name__ == "__main__":
    main()
