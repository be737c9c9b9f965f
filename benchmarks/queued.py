"""What an experiment costs in DVC's queue, with workers that run beside each other.

    python -m benchmarks.queued --experiments 40 --workers 2
    python -m benchmarks.queued --experiments 40 --workers 2 --at v1.0.0     # the same of another commit

In a temporary clone of the committed state, each experiment has another seed, so that none is restored from
DVC's cache. The clock runs from the start of the workers to the end of the last experiment.
"""

import argparse
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.pipeline import Bench, bench, ensure_customers
from predictflow.adapters.mlflow_sqlite import Database

MOST_SECONDS = 300  # for an experiment; a queue that takes longer hangs


def measure(experiments: int, workers: int, at: str) -> float:
    """Seconds for all of them. Raises RuntimeError where one failed, or is not in the registry."""
    with bench() as here:
        project = here.ours()
        here.time(project, "git", "checkout", "--quiet", "--detach", at)
        here.time(project, "dvc", "repro", "prepare")
        here.time(project, "git", "commit", "--quiet", "--allow-empty", "--all", "-m", "prepared")
        for seed in range(experiments):
            words = ("--queue", "--name", f"seed-{seed}", "-S", f"seed={seed}")
            here.time(project, "dvc", "exp", "run", *words)
        try:
            begin = time.perf_counter()
            start_workers(project, here.env, workers)
            _wait(here, project, experiments)
            seconds = time.perf_counter() - begin
        finally:
            stop_workers(project, here.env)
        database = Database(project / "mlflow_data/mlflow.db")
        runs, versions = database.every_run(), database.versions()
        if {run.status for run in runs} != {"FINISHED"} or not len(runs) == len(versions) == experiments:
            raise RuntimeError(f"{experiments} experiments left {len(runs)} runs, {len(versions)} versions")
        return seconds


def _wait(here: Bench, project: Path, experiments: int) -> None:
    """Return when no task of the queue waits or runs. DVC takes a second of the CPU to tell, so it is asked
    rarely."""
    deadline = time.monotonic() + MOST_SECONDS * experiments
    while True:
        told = here.output(project, "dvc", "queue", "status")
        if "Failed" in told or time.monotonic() > deadline:
            raise RuntimeError(f"an experiment failed, or the queue does not end:\n{told}")
        left = len(re.findall(r"\b(?:Queued|Running)\b", told))
        if not left:
            return
        time.sleep(left)


def start_workers(project: Path, env: dict[str, str], number: int) -> None:
    """They inherit where the command writes to, so nobody may read that to its end."""
    words, null = ["dvc", "queue", "start", "-j", str(number)], subprocess.DEVNULL
    subprocess.run(words, cwd=project, env=env, timeout=MOST_SECONDS, check=True, stdout=null, stderr=null)


def stop_workers(project: Path, env: dict[str, str]) -> None:
    """Stop the queue; what is left of its processes, by their folder or their words, is killed."""
    subprocess.run(
        ["dvc", "queue", "stop", "--kill"], cwd=project, env=env, timeout=MOST_SECONDS, check=False
    )
    left = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if process.cwd().startswith(str(project)) or str(project) in words:
                left.append(process)
        except psutil.Error:
            continue
    for process in left:
        with suppress(psutil.Error):  # it has just ended
            process.kill()
    psutil.wait_procs(left, timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.queued", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--experiments", type=int, default=40, metavar="N", help="how many (default: 40)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="at once (default: 2)")
    parser.add_argument("--at", default="HEAD", metavar="COMMIT", help="of the project (default: HEAD)")
    options = parser.parse_args()
    if min(options.experiments, options.workers) < 1:
        parser.error("--experiments and --workers: at least 1")
    ensure_customers()
    seconds = measure(options.experiments, options.workers, options.at)
    print(
        f"{options.experiments} experiments, {options.workers} at once: {seconds:.0f} s,"
        f" {seconds / options.experiments:.1f} s each"
    )


if __name__ == "__main__":
    main()
