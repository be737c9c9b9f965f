"""What `predictflow tune` costs beside Optuna alone, with the same fits.

    python -m benchmarks.tuning --trials 100 --repeat 3 --markdown

Both are commands of their own, timed from start to end, in turn. Optuna alone is one process with a journal
file: no process for the fits, no MLflow, no report. It is handed the params that the study has drawn, with as
many folds each, so it fits the very same models; it draws nothing itself, which is to its advantage.

Beside the seconds on the clock, those of the CPU in all their processes are told: steady on a machine
that does something else as well, and count what is done while a core would be idle.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.pipeline import Bench, bench, ensure_customers
from benchmarks.tables import show

FITS = Path("fits.json")
GOAL = 1.05
STUDY = (sys.executable, "-m", "predictflow.cli", "tune", "--new", "--trials")
ALONE = (sys.executable, "-c", "from benchmarks.tuning import alone; alone()")


def alone() -> None:
    """Optuna, and the fits of FITS: a list of [params by dotted name, number of folds]."""
    import optuna

    from predictflow.tuning import folds, inputs
    from predictflow.tuning.space import Space
    from stages.support import params

    space = Space.read(params.load())
    folds.begin(space.params.tree, space.folds, space.metric, inputs.read(space)["data"])
    fits = json.loads(FITS.read_text(encoding="utf-8"))

    def objective(trial: Any) -> float:
        scores = []
        for fold in range(fits[trial.number][1]):
            scores.append(folds.score(*space.settings(space.draw(trial)), fold)[0])
            trial.report(scores[-1], fold)
        if len(scores) < space.folds:
            raise optuna.TrialPruned
        return statistics.fmean(scores)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = optuna.storages.journal.JournalFileBackend("alone.journal")
    study = optuna.create_study(storage=optuna.storages.JournalStorage(journal), direction=space.direction)
    for drawn, _ in fits:
        study.enqueue_trial(drawn)
    study.optimize(objective, n_trials=len(fits))


def timed(here: Bench, project: Path, *words: str) -> tuple[float, float]:
    """(seconds, seconds of the CPU) of a command and all its processes.

    Raises RuntimeError where it fails; that no trial is better is no failure.
    """
    begin, before = time.perf_counter(), _cpu()
    done = subprocess.run(words, cwd=project, env=here.env, capture_output=True, text=True)
    if "ERROR" in done.stderr or "Traceback" in done.stderr:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - begin, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fits_of(project: Path) -> list[Any]:
    """What a study has fitted: today's params on each fold, then its trials."""
    from predictflow.tuning.journal import Journal

    study = Journal(project / "mlflow_data/studies/1.journal")
    trials = [[trial.params, len(trial.user_attrs["scores"])] for trial in study.trials]
    today = study.record["today"]
    return [[today["drawn"], len(today["scores"])], *trials]


def measure(trials: int, repeat: int) -> dict[str, list[tuple[float, float]]]:
    """{case: what `timed` gives of each round}; a round before them is not counted."""
    seconds: dict[str, list[tuple[float, float]]] = {"Optuna alone": [], "predictflow tune": []}
    with bench() as here:
        project = here.ours()
        here.time(project, "dvc", "repro", "prepare")
        timed(here, project, *STUDY, str(trials))
        (project / FITS).write_text(json.dumps(fits_of(project)), encoding="utf-8")
        for turn in range(repeat):
            cases = {"Optuna alone": ALONE, "predictflow tune": (*STUDY, str(trials))}
            for case in sorted(cases, reverse=bool(turn % 2)):
                (project / "alone.journal").unlink(missing_ok=True)
                seconds[case].append(timed(here, project, *cases[case]))
                print(case, *seconds[case][-1], file=sys.stderr, flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tuning", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--trials", type=int, default=100, metavar="N", help="of a study (default: 100)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="rounds (default: 3)")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args()
    if min(options.trials, options.repeat) < 1:
        parser.error("--trials and --repeat: at least 1")
    ensure_customers()
    found = measure(options.trials, options.repeat)
    medians = {
        case: [statistics.median(kind) for kind in zip(*rounds, strict=True)]
        for case, rounds in found.items()
    }
    rows = [(case, *(f"{seconds:.1f}" for seconds in kinds)) for case, kinds in medians.items()]
    title = f"{options.trials} trials, seconds, medians of {options.repeat}"
    show(title, ("case", "on the clock", "of the CPU"), rows, options.markdown)
    clock, cpu = (
        tune / alone for tune, alone in zip(medians["predictflow tune"], medians["Optuna alone"], strict=True)
    )
    print(f"tune against Optuna alone: {clock:.2f}, of the CPU {cpu:.2f} (goal: at most {GOAL})")


if __name__ == "__main__":
    main()
