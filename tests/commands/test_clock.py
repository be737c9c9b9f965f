"""A clock that is set back or forward between commands: nothing is wrong by it, and nothing is stuck."""

import json
import os
import sys
import time
from contextlib import AbstractContextManager
from unittest import mock

import pytest

from predictflow.adapters.git import Repository
from predictflow.adapters.store_copies import list_copies
from predictflow.commands.status import _ago
from predictflow.formatting import moment
from predictflow.ledger.chain import read_chain
from predictflow.ledger.rebuilds import newest_verdict, read_rebuilds, write_rebuild
from tests.commands.test_doctor import at_work, look, write
from tests.commands.test_evidence import REBUILD
from tests.people.history import History

DAY = 86_400
MODEL = "churn-predictor"
REAL = time.time


def off_by(seconds: float) -> AbstractContextManager:
    """What runs in this process is told another time."""
    return mock.patch.object(time, "time", lambda: REAL() + seconds)


@pytest.mark.real
def test_promotions_follow_one_another_whatever_the_clock_says(history: History, lenient, origin):
    production = f"{MODEL}@production"
    for name, seconds in {"first": 30 * DAY, "other data": 0, "other params": -30 * DAY}.items():
        with off_by(seconds):
            history.told("promote", f"{MODEL}/{history.made[name].version}", "--to", "production")
            assert history.answer("gate", production)["content"] == history.made[name].content
    with off_by(-60 * DAY):
        history.told("rollback", "--reason", "complaints")
    assert history.answer("gate", production)["content"] == history.made["other data"].content
    told = [receipt["when"] for receipt in history.answer("history")["receipts"]]
    assert told == sorted(told, reverse=True) and len({*told}) == len(told) == 7
    audit = history.answer("audit")
    assert audit["findings"] == []
    notes = [note["told"] for note in audit["notes"] if note["kind"] == "receipt"]
    assert len(notes) == 7 and all("which is still to come" in told for told in notes)
    copies = list_copies(history.project.folder / "mlflow_data/mlflow.db")
    assert [copy.number for copy in copies] == [4, 3, 2, 1]


def test_the_last_rebuild_counts_though_an_earlier_one_has_a_later_date(history: History):
    made = history.made["all at once"]
    with mock.patch.dict(os.environ, history.project.env, clear=True):
        repository = Repository(history.project.folder)
        chain = read_chain(repository, MODEL)
        for seconds, verdict in ((200, "different"), (0, "identical")):  # clocks may differ by so much
            with off_by(seconds):
                write_rebuild(repository, chain, made.content, made.commit, REBUILD | {"verdict": verdict})
        verdict, _ = newest_verdict(read_rebuilds(repository, chain), made.content)
    assert verdict == "identical"


def test_a_rebuild_of_a_clock_that_was_far_ahead_keeps_no_other_from_counting(history: History):
    made = history.made["all at once"]
    with mock.patch.dict(os.environ, history.project.env, clear=True):
        repository = Repository(history.project.folder)
        chain = read_chain(repository, MODEL)
        with off_by(400 * DAY):
            write_rebuild(repository, chain, made.content, made.commit, REBUILD)
        assert newest_verdict(read_rebuilds(repository, chain), made.content) is None
        write_rebuild(repository, chain, made.content, made.commit, REBUILD)
        assert newest_verdict(read_rebuilds(repository, chain), made.content)[0] == "identical"


def test_an_age_is_never_told_of_what_is_still_to_come():
    assert _ago(moment(REAL() - 3 * DAY)) == "3 days ago"
    assert _ago(moment(REAL())) == "a minute ago"
    ahead = moment(REAL() + 3 * DAY)
    assert _ago(ahead) == f"{ahead}, by a clock that was ahead"


def test_the_lock_of_a_command_at_work_is_not_dropped_after_the_clock_was_set_forward(history: History):
    """When a process began is reckoned from the clock of now; a file keeps the time of its own day."""
    with at_work(history, sys.executable, "-c", "print(flush=True); import time; time.sleep(600)") as dvc:
        dvc.stdout.readline()
        entry = {"write": {"data/customers.csv": {"pid": dvc.pid, "cmd": "dvc repro"}}}
        lock = write(history, ".dvc/tmp/rwlock", json.dumps(entry))
        os.utime(lock, (REAL() - 3600, REAL() - 3600))
        check = look(history, "pipeline", "locks")
        assert (check.state, check.fixes) == ("ok", ()) and f"{dvc.pid}: dvc" in check.message
