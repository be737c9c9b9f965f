"""Scoring a file for real: killed, on a full disk, and with more customers than are held in memory."""

import subprocess
import sys

import pandas as pd
import pytest

from benchmarks.scoring import BARE, OURS
from tests.people.history import THIRD, History
from tests.people.killer import SCORING, SCORING_POINTS, kill
from tests.people.mounts import own_mounts
from tests.people.project import REPOSITORY, WAIT

FILE, SCORES = "data/customers.csv", "scores.parquet"
MEMORY = 600  # MB that 5,000,000 customers may take
PEAK = """
import resource, sys
from predictflow import cli
code = cli.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(code)
"""


@pytest.mark.parametrize("point", SCORING_POINTS)
def test_scores_of_a_killed_command_are_whole_or_not_there(history: History, point):
    folder = history.project.folder
    kill(history.project.hurry(), SCORING.format(point=SCORING_POINTS[point]), "predict", "v1", FILE)
    if point == "before the note":
        assert history.answer("lineage", SCORES)["scored"]["rows"] == len(pd.read_parquet(folder / SCORES))
    else:
        assert not (folder / SCORES).exists()
    assert not (folder / f"{SCORES}.json").exists()
    history.told("predict", "v1", FILE, "--force")
    assert [path.name for path in sorted(folder.glob("*scores*"))] == [SCORES, f"{SCORES}.json"]
    assert not list(folder.glob(".scores*")), "what a kill has left is taken away"


def test_on_a_full_disk_nothing_is_left_and_the_cure_is_told(history: History):
    script = (
        "mkdir ../disk && mount -t tmpfs -o size=8k full ../disk\n"
        f"{sys.executable} -P -m predictflow.cli predict v1 {FILE} --output ../disk/{SCORES} && exit 9\n"
        "ls -A ../disk"
    )
    env = history.project.env | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*own_mounts(), "sh", "-c", script],
        cwd=history.project.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "No space left on device" in done.stderr
    assert "Cure: make room on the disk" in done.stderr
    assert "Traceback" not in done.stderr


def peak(history: History, times: int) -> int:
    """MB that scoring many members takes: those of the history, so many times, each with an id of its own."""
    path = history.project.folder.parent / f"{times}.csv"
    with path.open("w", encoding="utf-16", newline="") as file:
        for at in range(times):
            part = THIRD.assign(member=[f"{at}-{number}" for number in range(len(THIRD))])
            part.to_csv(file, sep=";", index=False, header=not at, lineterminator="\n")
    done = history.project.run("python", "-c", PEAK, "predict", "v1", str(path), "--force")
    assert f"{times * len(THIRD):,} customers scored" in done.stdout
    return int(done.stdout.splitlines()[-1])


def test_ten_times_as_many_customers_take_hardly_more_memory(history: History):
    few, many = (peak(history, times) for times in (60, 600))  # 37,200 and 372,000 customers
    assert many < MEMORY
    assert many - few < 100, "what grows are a probability and a hash of each customer, and what ranks them"


@pytest.mark.slow
def test_scoring_is_measured_beside_inplace_predict():
    words = ("-m", "benchmarks.scoring", "--customers", "3000", "--markdown")
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    assert [name for name, *_ in rows[2:]] == [OURS, BARE]
    assert "- predict, MB: " in done.stdout
