"""What any number of customers would cost: a straight line through two measured numbers of them.

    python -m benchmarks.scale --customers 1000000 --json one.json
    python -m benchmarks.scale --customers 5000000 --json five.json
    python -m benchmarks.plan one.json five.json --customers 1000000000 --memory 64

It is an extrapolation: nobody has run it. docs/a-billion-customers.md tells what is no straight line.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale import SIDES
from benchmarks.tables import show
from stages.support.paths import CUSTOMERS

GB = 1e9
HOUR = 3600
HASHING = "md5 of the customer file"
COSTS = ("cpu", "peak")  # of a stage; the seconds on the wall are those of one machine, on one day


@dataclass(frozen=True)
class Line:
    """What something costs: a fixed part, and one for each customer."""

    fixed: float
    each: float

    @classmethod
    def through(cls, small: tuple[int, float], large: tuple[int, float]) -> "Line":
        """The line through two points (customers, cost)."""
        each = (large[1] - small[1]) / (large[0] - small[0])
        return cls(small[1] - each * small[0], each)

    def at(self, customers: int) -> float:
        return self.fixed + self.each * customers

    def reaches(self, cost: float) -> float:
        """The number of customers that cost so much."""
        return (cost - self.fixed) / self.each if self.each > 0 else float("inf")


def lines(small: Any, large: Any) -> tuple[dict[str, Line], dict[str, dict[str, Line]]]:
    """({file: its bytes}, {step: {"cpu" | "peak": seconds of the CPU, MB}}) of two runs of benchmarks.scale.

    Raises ValueError where one of them is not the larger one.
    """
    if small["customers"] >= large["customers"]:
        raise ValueError("the first file must be of fewer customers than the second one")

    def through(*keys: str) -> Line:
        points = []
        for run in (small, large):
            cost = run
            for key in keys:
                cost = cost[key]
            points.append((run["customers"], cost))
        return Line.through(*points)

    stages = {stage: {kind: through("costs", stage, kind) for kind in COSTS} for stage in SIDES}
    return {path: through("sizes", path) for path in large["sizes"]}, {
        HASHING: {"cpu": through("hashing")},
        **stages,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__.partition("\n")[0])
    parser.add_argument("small", type=Path, help="a file of benchmarks.scale --json")
    parser.add_argument("large", type=Path, help="another one, of more customers")
    parser.add_argument(
        "--customers", type=int, default=1_000_000_000, metavar="N", help="(default: a billion)"
    )
    parser.add_argument("--memory", type=float, default=64, metavar="GB", help="of the machine (default: 64)")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    options = parser.parse_args()
    try:
        small, large = (json.loads(path.read_text("utf-8")) for path in (options.small, options.large))
        sizes, steps = lines(small, large)
    except (OSError, ValueError, LookupError, TypeError) as error:
        parser.error(f"no two files of benchmarks.scale --json: {error}")
    many = options.customers
    measured = f"from {small['customers']:,} and {large['customers']:,} measured"
    rows = [[path, f"{line.each:.1f}", f"{line.at(many) / GB:.1f}"] for path, line in sizes.items()]
    show(
        f"{many:,} customers on disk, {measured}",
        ("file", "bytes a customer", "GB"),
        rows,
        options.markdown,
    )
    cells = []
    for name, kinds in steps.items():
        cell = [name, f"{kinds['cpu'].at(many) / HOUR:.1f}"]
        if peak := kinds.get("peak"):  # in MB
            fits = peak.reaches(options.memory * 1000)
            cell += [f"{peak.each * 1e6:.0f}", f"{peak.at(many) / 1000:.0f}", f"{fits / 1e6:,.0f}"]
        cells.append(cell + [""] * (5 - len(cell)))
    fitting = f"millions in {options.memory:g} GB"
    header = ("step", "core-hours", "bytes a customer in memory", "GB in memory", fitting)
    show(f"{many:,} customers, one machine", header, cells, options.markdown)
    rate = large["sizes"][CUSTOMERS.as_posix()] / large["hashing"] / 1e6
    print(f"- {CUSTOMERS} is hashed at {rate:,.0f} MB/s")


if __name__ == "__main__":
    main()
