"""What a rebuild tells beneath its verdict; tests/real/test_rebuild.py makes models again."""

import sys

import pytest

from predictflow.commands import rebuild
from predictflow.console import open_console
from predictflow.ledger.rebuilds import GRADES, IDENTICAL, SAME
from predictflow.reproduction.rebuild import RebuildResult
from predictflow.reproduction.runner import RebuiltModel
from predictflow.reproduction.selection import RebuildRequest
from predictflow.reproduction.verdict import Predictions, Verdict


def test_a_setting_that_keeps_the_bytes_to_one_family_of_cpus_is_told_beneath_what_differs(capsys):
    differs = [
        {"stage": "train", "of": "outs", "name": "models/churn-predictor", "recorded": "a", "found": "b"}
    ]
    cpu = {"kind": "machine", "name": "CPU kernel", "recorded": "x86_64 Haswell", "found": "aarch64 armv8"}
    verdict = Verdict(SAME, 100, differs, Predictions(1366, 0.0), [cpu], ["models.xgboost.max_delta_step: …"])
    request = RebuildRequest("HEAD", "c" * 32, "a" * 40, [], False)
    rebuild._draw(
        RebuildResult(request, "own", RebuiltModel(verdict, "e" * 32, {}, [])), GRADES, open_console()
    )
    told = " ".join(capsys.readouterr().out.split())
    assert told.endswith(
        "first input that differs: machine CPU kernel: x86_64 Haswell, now aarch64 armv8"
        " models.xgboost.max_delta_step: …"
    )


@pytest.mark.parametrize(
    ("engine", "device", "told"),
    [
        ("dask", "cpu", "learned by 2 workers of Dask's, from 4 partitions compared: 100"),
        ("local", "cuda", "learned on a GPU compared: 100"),
        ("local", "cpu", "commit aaaaaaaaaaaa compared: 100"),
    ],
)
def test_where_the_model_learned_is_told_if_it_was_a_choice(engine, device, told, capsys):
    learned = {"engine": engine, "workers": 2, "partitions": 4, "device": device}
    verdict = Verdict(IDENTICAL, 100, [], Predictions(None, 0.0), [], learned=learned)
    request = RebuildRequest("HEAD", "c" * 32, "a" * 40, [], False)
    rebuild._draw(
        RebuildResult(request, "own", RebuiltModel(verdict, "e" * 32, {}, [])), GRADES, open_console()
    )
    assert told in " ".join(capsys.readouterr().out.split())


def test_on_a_terminal_a_verdict_stands_above_the_lines_of_what_is_being_made(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    request = RebuildRequest("HEAD", "c" * 32, "a" * 40, [], False)
    verdict = Verdict(IDENTICAL, 100, [], Predictions(None, 0.0), [])
    with rebuild._progress() as (follow, console):
        follow("HEAD")("evaluate")
        rebuild._draw(RebuildResult(request, "own", RebuiltModel(verdict, "e" * 32, {}, [])), GRADES, console)
    out, err = capsys.readouterr()
    assert out == "" and "identical" in err
    line = next(line for line in err.splitlines() if "identical" in line)
    assert "evaluate" not in line.rpartition("\x1b[2K")[2]
