"""What scoring a file costs: `predictflow predict`, and XGBoost's inplace_predict with nothing around it.

    python -m benchmarks.scoring --customers 5000000

The customers are those of `benchmarks.scale`. The model is that of the last commit, which is made
again first.
"""

import argparse

from rich.console import Console

from benchmarks.pipeline import HERE, REPOSITORY, Bench, Goal, bench, ensure_customers
from benchmarks.scale import Cost, measure, write_customers
from benchmarks.tables import show

FILE = "data/customers.csv"
OURS, BARE = "predictflow predict", "pyarrow and inplace_predict alone"
MOST = 600  # MB


def compare(here: Bench, rows: int, console: Console) -> dict[str, Cost]:
    """{what scores so many customers of a CSV: its cost}."""
    project = here.ours()
    with console.status("making the model"):
        here.output(project, "dvc", "repro")
    with console.status(f"writing {rows:,} customers"):
        write_customers(REPOSITORY / FILE, project / FILE, rows)
    scores = project.parent / "scores.parquet"
    with console.status(OURS):
        ours = measure(
            here, project, "-m", "predictflow.cli", "predict", "HEAD", FILE, "--output", str(scores)
        )
    with console.status(BARE):  # -P: what lies beside floors.py is no module to it
        bare = measure(here, project, "-P", str(HERE / "floors.py"), "predict")
    return {OURS: ours, BARE: bare}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--customers", type=int, default=5_000_000, metavar="N", help="(default: 5,000,000)")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args()
    if options.customers < 1000:
        parser.error("--customers: at least 1000")
    ensure_customers()
    with bench() as here:
        found = compare(here, options.customers, Console(stderr=True))
    show(
        f"{options.customers:,} customers",
        ("what", "seconds", "of the CPU", "MB at the peak", "customers a second of the CPU"),
        [
            [
                name,
                *(f"{cost.seconds:.1f}", f"{cost.cpu:.1f}", f"{cost.peak:.0f}"),
                f"{options.customers / cost.cpu:,.0f}",
            ]
            for name, cost in found.items()
        ],
        options.markdown,
    )
    print(f"- {Goal('predict, MB', found[OURS].peak, MOST)}")


if __name__ == "__main__":
    main()
