"""A disk without room: each command that writes says so, leaves nothing half under a final name, and `prune`
makes room all the same."""

import sqlite3
from contextlib import closing

import pytest

from tests.people.full_disk import FullDisk, play
from tests.people.history import History
from tests.people.older import OLDER

MODEL = "churn-predictor"
KB = 1 << 10
PUSHED = "predictflow push >&2\nrm -r .dvc/cache/files/md5/* models/churn-predictor\n"
OF_AN_OLDER = f"""python -c 'import sqlite3
with sqlite3.connect("mlflow_data/mlflow.db") as store:
    store.execute("UPDATE alembic_version SET version_num = \\"{OLDER}\\"".replace(chr(34), chr(39)))'
"""
CASES = {
    "push": FullDisk(["push"], free=16 * KB),
    "pull": FullDisk(["pull"], PUSHED, free=16 * KB),
    "predict": FullDisk(["predict", f"{MODEL}/1", "data/customers.csv", "--output", "../scores.csv"]),
    "predict, with some room": FullDisk(
        ["predict", f"{MODEL}/1", "data/customers.csv", "--output", "../scores.csv"], free=8 * KB
    ),
    "tune": FullDisk(["tune", "--trials", "2"]),
    "store backup": FullDisk(["store", "backup"], free=64 * KB),
    "store upgrade": FullDisk(["store", "upgrade"], OF_AN_OLDER, free=64 * KB),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_without_room_a_command_says_so_and_leaves_nothing_half_written(promoted: History, case: FullDisk):
    ended = play(promoted.project, case)
    assert ended.code == 1 and "Traceback" not in ended.said, ended.said
    assert "Cure: make room on the disk" in " ".join(ended.said.split()), ended.said
    named = {name: name.removesuffix(".dir").replace("/", "")[-32:] for name in ended.written}
    wrong = [name for name, md5 in ended.written.items() if named[name] != md5]
    assert (wrong, ended.gone) == ([], []), ended.said


FORGOTTEN = "project/.dvc/cache/files/md5/00/0000000000000000000000000000ff"
# Nor is there the file that DVC locks, into which it would write a number.
LITTER = f"""rm -f .dvc/tmp/lock mlflow_data/.lock
mkdir -p ../{FORGOTTEN.rpartition("/")[0]}
head -c 200000 /dev/zero > ../{FORGOTTEN}
"""


def test_prune_makes_room_on_a_disk_without_a_byte_free(promoted: History):
    ended = play(promoted.project, FullDisk(["prune", "--yes"], LITTER))
    assert (ended.code, FORGOTTEN in ended.gone) == (0, True), ended.said
    assert ended.written == {}, "nothing but what went"


def test_the_upgrade_case_has_a_store_of_an_older_mlflow(promoted: History):
    """Else what is told there would be told of nothing."""
    promoted.project.run("sh", "-ec", OF_AN_OLDER)
    with closing(sqlite3.connect(promoted.project.folder / "mlflow_data/mlflow.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(OLDER,)]
