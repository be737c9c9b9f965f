"""What `predictflow` costs on a long history: 10,000 commits, 1,000 models, 100 registered versions.

    python -m benchmarks.history

Each call is a process of its own. The answers are held against what was made: a wrong one ends the benchmark.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.long_history import CODE, MODEL, MOVES, ROWS, History, Plan, customer_id, make
from benchmarks.pipeline import REPOSITORY, Bench
from benchmarks.tables import show
from predictflow.adapters.dvc_files import CUSTOMERS
from predictflow.adapters.git import Repository
from predictflow.lineage.index import location
from stages.support.paths import MODEL_FOLDER

# Runs a command and prints its seconds, those of the CPU, its peak memory and its exit code. From a small
# process of its own: Linux counts as a program's what the process held before it became that program.
MEASURE = """
import json, os, sys, time
begin = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(process, 0)
seconds, code = time.perf_counter() - begin, os.waitstatus_to_exitcode(status)
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss, code]))
"""
RSS = 1 if sys.platform == "darwin" else 1024  # bytes that ru_maxrss counts in


@dataclass(frozen=True)
class Case:
    """A command, the exit code it ends with, and what it must answer.

    Attributes:
        told: takes out of its JSON what is `expected`; None for a command that answers nothing.
    """

    name: str
    words: list[str]
    told: Callable[[Any], Any] | None = None
    expected: Any = None
    code: int = 0


def cases(history: History) -> list[Case]:
    plan, last = history.plan, history.models[-1]
    half = plan.versions // 2
    model = history.of_version(half)
    customer = MOVES * (half - 1)  # went after the data of that version
    versions = range(1, plan.versions + 1)
    return [
        Case("--help", ["--help"]),
        Case(
            "lineage of a version",
            ["lineage", f"{MODEL}/{half}"],
            lambda answer: (
                answer["model"]["content"],
                answer["commit"]["sha"],
                [run["id"] for run in answer["runs"]],
                answer["data"]["md5"],
                answer["metrics"],
            ),
            (
                model.content,
                history.commits[model.number],
                [model.run],
                model.entries[CUSTOMERS].md5,
                model.metrics,
            ),
        ),
        Case(
            "lineage of a model's folder",
            ["lineage", MODEL_FOLDER.as_posix()],
            lambda answer: answer["model"]["content"],
            last.content,
        ),
        Case(
            "lineage of customers.csv",
            ["lineage", CUSTOMERS],
            lambda answer: {one["content"] for one in answer["models"]},
            {one.content for one in history.models[-plan.each :]},
        ),
        Case(
            "diff of two versions",
            ["diff", f"{MODEL}/1", f"{MODEL}/{plan.versions}"],
            lambda answer: (
                answer["params"],
                len(answer["data"]["customers"]["added"]),
                [*answer["code"]],
            ),
            (
                {"models.xgboost.rounds": {"a": history.of_version(1).rounds, "b": last.rounds}},
                min(ROWS, MOVES * (plan.versions - 1)),
                [CODE],
            ),
            code=1,
        ),
        Case(
            "find-customer",
            ["find-customer", customer_id(customer)],
            lambda answer: {
                version["name"]: one["set"] for one in answer["models"] for version in one["versions"]
            },
            {f"{MODEL}/{version}": plan.set_of(customer, version) for version in versions},
        ),
        Case(
            "status",
            ["status"],
            lambda answer: (answer["pipeline"]["in_step"], answer["working_tree"]["versions"]),
            (True, [f"{MODEL}/{plan.versions}"]),
        ),
    ]


@dataclass(frozen=True)
class Cost:
    """Seconds on the wall, seconds of the CPU, and bytes at the peak, of one call and all that it calls."""

    seconds: float
    cpu: float
    peak: int


class Asker:
    """Calls `predictflow` in a project as a person does."""

    def __init__(self, bench: Bench, project: Path) -> None:
        self._bench, self._project = bench, project
        self.index = location(Repository(project))

    def _ask(self, words: list[str], code: int = 0) -> tuple[Cost, str]:
        """What a call costs, and what it prints. Raises RuntimeError for another exit code."""
        # -P and PYTHONPATH: the command is that of this repository, not the one that lies in the project.
        done = subprocess.run(
            [sys.executable, "-S", "-c", MEASURE, sys.executable, "-P", "-m", "predictflow.cli", *words],
            cwd=self._project,
            env=self._bench.env | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
        *printed, measured = done.stdout.splitlines()
        seconds, cpu, peak, ended = json.loads(measured)
        if ended != code:
            raise RuntimeError(
                f"`predictflow {' '.join(words)}` ended with {ended}:\n{done.stdout}{done.stderr}"
            )
        return Cost(seconds, cpu, peak * RSS), "\n".join(printed)

    def first(self, case: Case) -> Cost:
        """A call that finds no index."""
        self.index.unlink(missing_ok=True)
        return self._ask(case.words, case.code)[0]

    def later(self, case: Case) -> Cost:
        """A call that finds the index up to date."""
        self._ask(["lineage"])
        return self._ask(case.words, case.code)[0]

    def after_a_commit(self, case: Case) -> Cost:
        self._bench.time(self._project, "git", "commit", "--quiet", "--allow-empty", "-m", "a commit")
        return self._ask(case.words, case.code)[0]

    def check(self, case: Case) -> None:
        """Raises RuntimeError for a wrong answer."""
        if case.told is None:
            return
        told = case.told(json.loads(self._ask([*case.words, "--json"], case.code)[1]))
        if told != case.expected:
            raise RuntimeError(
                f"`predictflow {' '.join(case.words)}` answers {told}, and not {case.expected}"
            )


CALLS = {"first call": Asker.first, "later": Asker.later, "after a commit": Asker.after_a_commit}


def measure(bench: Bench, plan: Plan, repeat: int, markdown: bool) -> None:
    """Make the history, check the answers, measure in rounds, print the table."""
    load = os.getloadavg()[0]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)

        def tell(what: str) -> None:
            progress.update(task, description=what)

        history = make(bench, plan, tell)
        asker, asked = Asker(bench, history.project), cases(history)
        for case in asked:
            tell(f"checking the answer: {case.name}")
            asker.check(case)
        progress.update(task, total=repeat * len(asked) * len(CALLS))
        costs: dict[tuple[str, str], list[Cost]] = {}
        for _ in range(repeat):
            for case in asked:
                for kind, call in CALLS.items():
                    tell(f"{case.name}, {kind}")
                    costs.setdefault((case.name, kind), []).append(call(asker, case))
                    progress.advance(task)
    rows = [[case.name, *_row(*(costs[case.name, kind] for kind in CALLS))] for case in asked]
    print(
        f"{plan.commits:,} commits, {plan.models:,} models, {plan.versions:,} versions; an index of"
        f" {asker.index.stat().st_size / 1e6:.1f} MB; load of the machine before: {load:.1f}\n"
    )
    show(
        f"Seconds, seconds of the CPU, and peak memory, medians of {repeat} calls",
        ("command", *CALLS, *(f"CPU, {kind}" for kind in CALLS), "MB, first call", "MB, later"),
        rows,
        markdown,
    )


def _row(first: list[Cost], later: list[Cost], after: list[Cost]) -> list[str]:
    of_each = (first, later, after)
    seconds = [f"{median(cost.seconds for cost in costs):.2f}" for costs in of_each]
    cpu = [f"{median(cost.cpu for cost in costs):.2f}" for costs in of_each]
    peaks = [f"{median(cost.peak for cost in costs) / 1e6:.0f}" for costs in (first, later)]
    return [*seconds, *cpu, *peaks]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.history", description=__doc__.partition("\n")[0]
    )
    sizes = {"commits": 10_000, "models": 1_000, "versions": 100}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size, metavar="N", help=f"(default: {size:,})")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds measured (default: 5)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the history there, and leave it")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args()
    plan = Plan(options.commits, options.models, options.versions)
    if options.repeat < 1:
        parser.error("--repeat: at least 1")
    if plan.versions < 2 or plan.models % plan.versions or plan.each < 3 or plan.commits % plan.models:
        parser.error(
            "--versions: at least 2; --models: 3, 4 … times as many; --commits: 1, 2 … times as many"
        )
    if options.keep:
        options.keep.mkdir(parents=True)
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        measure(Bench(Path(folder).resolve()), plan, options.repeat, options.markdown)


if __name__ == "__main__":
    main()
