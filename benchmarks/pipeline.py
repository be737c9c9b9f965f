"""What tracking costs: the pipeline beside a bare script and beside the decision record's own way.

    python -m benchmarks.pipeline --repeat 5 --json times.json

Each round measures every case once, in fresh temporary folders, so that whatever else the machine does
falls on all of them alike. The committed state is measured, as a clone has it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.tables import show
from predictflow.adapters.mlflow_entities import Run, Version
from predictflow.adapters.mlflow_sqlite import Database
from stages.support.hashes import md5
from stages.support.paths import PROVENANCE

REPOSITORY = Path(__file__).parents[1]
HERE = Path(__file__).parent
STAGES = ("prepare", "train", "evaluate", "register")
IMPORTS = ("pandas", "sklearn.metrics", "xgboost", "mlflow", "pandera.pandas", "dvclive")
STAGED = {"record": "b", "cold": "c", "changed": "e", "back": "f"}
NO_OPS = 3  # a round: they are short, so one alone would be noise

# DVC runs a stage's command with $SHELL -c; this one notes how long the command took.
SHELL = """#!/usr/bin/env bash
begin=$EPOCHREALTIME
/bin/sh "$@"
code=$?
echo "$DVC_STAGE $begin $EPOCHREALTIME" >> "$STAGE_TIMES"
exit $code
"""

TRIVIAL = """stages:
  one: {cmd: echo 1 > one.txt, deps: [zero.txt], outs: [one.txt]}
  two: {cmd: echo 2 > two.txt, deps: [one.txt], outs: [two.txt]}
  three: {cmd: echo 3 > three.txt, deps: [two.txt], outs: [three.txt]}
  four: {cmd: echo 4 > four.txt, deps: [three.txt], outs: [four.txt]}
"""


@dataclass(frozen=True)
class Timing:
    """Seconds that a command took on the wall, and that each stage's own command took in it."""

    seconds: float
    stages: dict[str, float]

    @property
    def dvc(self) -> float:
        return self.seconds - sum(self.stages.values())


class Bench:
    """A temporary folder with a home of its own, where projects are made and commands are timed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times = folder / "times"
        shell = folder / "shell"
        shell.write_text(SHELL, encoding="utf-8")
        shell.chmod(0o755)
        (folder / "home").mkdir()
        kept = {name: os.environ[name] for name in ("LANG", "OMP_NUM_THREADS") if name in os.environ}
        self.env = kept | {
            "HOME": str(folder / "home"),
            "PATH": f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}",
            "SHELL": str(shell),
            "STAGE_TIMES": str(self.times),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.com",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.com",
        }

    def time(self, project: Path, *words: str) -> Timing:
        """Run a command in a project. Raises RuntimeError, with what it printed, if it fails."""
        self.times.write_text("", encoding="utf-8")
        begin = time.perf_counter()
        self.output(project, *words)
        seconds = time.perf_counter() - begin
        noted = (line.split() for line in self.times.read_text(encoding="utf-8").splitlines())
        return Timing(seconds, {name: float(end) - float(begin) for name, begin, end in noted})

    def output(self, project: Path, *words: str) -> str:
        """What a command prints. Raises RuntimeError, with all of it, if it fails."""
        done = subprocess.run(words, cwd=project, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} failed in {project}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def ours(self) -> Path:
        """A clone of the project with its data, an empty cache and no store."""
        project = self.folder / "ours"
        self.time(self.folder, "git", "clone", "--quiet", str(REPOSITORY), str(project))
        shutil.copyfile(REPOSITORY / "data/customers.csv", project / "data/customers.csv")
        return project

    def bare(self) -> Path:
        return self._project("bare", HERE / "bare.py")

    def record(self) -> Path:
        return self._project("record", HERE / "bare.py", *(HERE / "record").iterdir())

    def trivial(self) -> Path:
        """Four stages that do next to nothing, once run."""
        project = self._project("trivial")
        (project / "zero.txt").write_text("0\n", encoding="utf-8")
        (project / "dvc.yaml").write_text(TRIVIAL, encoding="utf-8")
        self.time(project, "dvc", "repro")
        return project

    def _project(self, name: str, *files: Path) -> Path:
        """A Git and DVC repository with the data, the params, DVC's settings, and some files more."""
        project = self.folder / name
        for path in (".dvc/config", ".dvc/.gitignore", "data/customers.csv", "data/customers.csv.dvc"):
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / path, project / path)
        for path in (REPOSITORY / "params.yaml", *files):
            if path.is_file():
                shutil.copyfile(path, project / path.name)
        (project / ".gitignore").write_text("/data/customers.csv\n", encoding="utf-8")
        self.time(project, "git", "init", "--quiet")
        self.time(project, "git", "add", "--all")
        self.time(project, "git", "commit", "--quiet", "-m", "the project")
        return project


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        yield Bench(Path(folder).resolve())


def ensure_customers() -> None:
    """End the benchmark where there is nothing to measure it with."""
    if not (REPOSITORY / "data/customers.csv").exists():
        sys.exit("ERROR: data/customers.csv is not here.\nCure: `make repro`.")


def flip(project: Path) -> Callable[[], None]:
    """Change a param of the chosen model; what is returned changes it back."""
    file = project / "params.yaml"
    text = file.read_text(encoding="utf-8")
    changed = text.replace("max_depth: 2\n", "max_depth: 3\n", 1)
    if changed == text:
        raise RuntimeError("params.yaml holds no `max_depth: 2`: let flip() change another param")
    file.write_text(changed, encoding="utf-8")
    return lambda: file.write_text(text, encoding="utf-8")


def measure_bare(tell: Callable[[str], None]) -> dict[str, list[Timing]]:
    tell("the bare script")
    with bench() as here:
        return {"bare": [here.time(here.bare(), "python", "bare.py")]}


def measure_record(tell: Callable[[str], None]) -> dict[str, list[Timing]]:
    tell("the decision record's own way")
    with bench() as here:
        return {"record": [here.time(here.record(), "dvc", "repro")]}


def measure_ours(tell: Callable[[str], None]) -> dict[str, list[Timing]]:
    """The cold pipeline, then nothing to do, then a changed param, then the params seen before."""
    with bench() as here:
        tell("the cold pipeline")
        project, trivial = here.ours(), here.trivial()
        found: dict[str, list[Timing]] = {"cold": [here.time(project, "dvc", "repro")]}
        if set(found["cold"][0].stages) != set(STAGES):
            raise RuntimeError(f"a cold pipeline ran only {list(found['cold'][0].stages)}")
        registry(project)
        tell("nothing to do")
        for _ in range(NO_OPS):
            for name, folder in (("no-op", project), ("trivial", trivial)):
                timing = here.time(folder, "dvc", "repro")
                if timing.stages:
                    raise RuntimeError(f"{name} had something to do: {list(timing.stages)}")
                found.setdefault(name, []).append(timing)
        tell("a changed param")
        flip_back = flip(project)
        found["changed"] = [here.time(project, "dvc", "repro")]
        if set(found["changed"][0].stages) != {"train", "evaluate", "register"}:
            raise RuntimeError(f"a changed param ran {list(found['changed'][0].stages)}")
        both = registry(project)
        if len(both) != 2:
            raise RuntimeError(f"a changed param left the versions {both}")
        tell("params seen before")
        flip_back()
        found["back"] = [here.time(project, "dvc", "repro")]
        if set(found["back"][0].stages) != {"register"}:
            raise RuntimeError(f"params seen before ran {list(found['back'][0].stages)}")
        if registry(project) != both:
            raise RuntimeError(f"params seen before left the versions {registry(project)}, not {both}")
    return found


def registry(project: Path) -> dict[str, tuple[Version, Run]]:
    """{name: version and its run}. Raises RuntimeError where the model at hand has none, or a run goes on."""
    database = Database(project / "mlflow_data/mlflow.db")
    runs = {run.id: run for run in database.every_run()}
    versions = {version.name: (version, runs[version.run_id or ""]) for version in database.versions()}
    if md5(project / PROVENANCE) not in {version.content for version, _ in versions.values()}:
        raise RuntimeError(f"the model at hand is not registered: {versions}")
    if any(run.status != "FINISHED" for run in runs.values()):
        raise RuntimeError(f"a run is not at its end: {runs}")
    return versions


def measure_imports(tell: Callable[[str], None]) -> dict[str, list[Timing]]:
    found = {}
    with bench() as here:
        for name in ("", *IMPORTS):
            tell(f"import {name}")
            code = f"import {name}" if name else "pass"
            found[f"import {name}".strip()] = [here.time(here.folder, "python", "-c", code)]
    return found


MEASURES = (measure_bare, measure_record, measure_ours, measure_imports)


def measure(repeat: int) -> dict[str, list[Timing]]:
    """{case: its timings}. A first round that is not counted warms the file cache."""
    found: dict[str, list[Timing]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=(repeat + 1) * len(MEASURES))
        for at in range(repeat + 1):

            def tell(what: str, at: int = at) -> None:
                where = f"round {at} of {repeat}" if at else "warming up"
                progress.update(task, description=f"{where}: {what}")

            # Each case has its turn at coming first.
            for turn in range(len(MEASURES)):
                timings = MEASURES[(at + turn) % len(MEASURES)](tell)
                for case, new in timings.items() if at else ():
                    found.setdefault(case, []).extend(new)
                progress.advance(task)
    return found


@dataclass(frozen=True)
class Goal:
    """A ratio of two medians and the most that it may be."""

    text: str
    ratio: float
    most: float

    def __str__(self) -> str:
        off = abs(self.ratio / self.most - 1)
        told = f"reached, {off:.0%} below it" if self.ratio <= self.most else f"missed by {off:.0%}"
        return f"{self.text}: {self.ratio:.2f} (goal: at most {self.most:g}), {told}"


class Result:
    """The medians of a run, as tables and goals."""

    def __init__(self, found: dict[str, list[Timing]]) -> None:
        self.found = found

    def seconds(self, case: str) -> float:
        return median(timing.seconds for timing in self.found[case])

    def cases(self) -> list[list[str]]:
        """Rows: what, median seconds, the least and the most, against the bare script, against a no-op."""
        named = {
            "a. the bare script": self._walls("bare"),
            "b. the decision record's own way, cold": self._walls("record"),
            "c. this pipeline, cold": self._walls("cold"),
            "d. this pipeline, nothing to do": self._walls("no-op"),
            "   four trivial stages, nothing to do": self._walls("trivial"),
            "e. this pipeline, a changed param": self._walls("changed"),
            "f. this pipeline, params seen before": self._walls("back"),
        }
        bare, trivial = self.seconds("bare"), self.seconds("trivial")
        return [
            [
                name,
                f"{median(walls):.2f}",
                f"{min(walls):.2f} to {max(walls):.2f}",
                f"{median(walls) / bare:.2f}",
                f"{median(walls) / trivial:.2f}",
            ]
            for name, walls in named.items()
        ]

    def _walls(self, case: str) -> list[float]:
        return [timing.seconds for timing in self.found[case]]

    def stages(self) -> list[list[str]]:
        """Rows: a stage, its median seconds and share in each case that runs some."""
        rows = []
        for stage in (*STAGES, "DVC"):
            row = [stage]
            for case in STAGED:
                part = median(
                    timing.dvc if stage == "DVC" else timing.stages.get(stage, 0.0)
                    for timing in self.found[case]
                )
                row += [f"{part:.2f}", f"{part / self.seconds(case):.0%}"]
            rows.append(row)
        return rows

    def imports(self) -> list[list[str]]:
        start = self.seconds("import")
        return [["Python alone", f"{start:.2f}"]] + [
            [name, f"{self.seconds(f'import {name}') - start:.2f}"] for name in IMPORTS
        ]

    def goals(self) -> list[Goal]:
        bare, trivial = self.seconds("bare"), self.seconds("trivial")
        return [
            Goal("c, cold, against a, the bare script", self.seconds("cold") / bare, 6.3),
            Goal("e, a changed param, against a", self.seconds("changed") / bare, 5.6),
            Goal("d, nothing to do, against DVC's own no-op", self.seconds("no-op") / trivial, 1.25),
            Goal("f, params seen before, against a", self.seconds("back") / bare, 1),
        ]

    def print(self, markdown: bool) -> None:
        rounds = len(self.found["bare"])
        show(
            f"Seconds, medians of {rounds} interleaved rounds; ratios count, seconds are one machine's",
            ("case", "median", "range", "to a", "to DVC's no-op"),
            self.cases(),
            markdown,
        )
        show(
            "Where they spend it",
            ("stage", *[told for case in STAGED.values() for told in (f"{case}, seconds", "share")]),
            self.stages(),
            markdown,
        )
        show("Imports, each in a process of its own", ("module", "seconds"), self.imports(), markdown)
        for goal in self.goals():
            print(f"- {goal}")

    def write(self, path: Path) -> None:
        """Every timing, and the goals, as JSON."""
        content = {
            "seconds": {
                case: [{"total": timing.seconds, **timing.stages} for timing in timings]
                for case, timings in self.found.items()
            },
            "goals": {goal.text: {"ratio": goal.ratio, "most": goal.most} for goal in self.goals()},
        }
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds measured (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every timing there")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error("--repeat: at least 1")
    ensure_customers()
    result = Result(measure(options.repeat))
    result.print(options.markdown)
    if options.json:
        result.write(options.json)


if __name__ == "__main__":
    main()
