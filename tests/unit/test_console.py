"""Answers break between words, whatever the width, and a file gets no colours."""

import json

import pytest

from predictflow import console
from predictflow.console import draw_table, fit_columns, open_console, print_json, shorten_words

MD5 = "7127e6da7da762d72619668156e2ae81"
PATH = "models/a-folder-with-a-long-name/and-another-folder-in-it/and-then-a-file-with-a-long-name.parquet"


def printed(capsys, *things, width: int, monkeypatch, **how) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    open_console().print(*things, **how)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_line_breaks_between_words_and_a_long_word_stays_whole(width, capsys, monkeypatch):
    text = f"the content {MD5} is the one of {PATH} by dvc.lock [not markup]"
    lines = printed(capsys, text, width=width, monkeypatch=monkeypatch, markup=False)
    assert " ".join(lines).split() == text.split()
    short = printed(capsys, "of short words alone " * 9, width=width, monkeypatch=monkeypatch)
    assert len(short) > 1 and max(map(len, short)) <= width


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_fits_and_breaks_no_word(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    heads = ("version", "changed", "roc_auc")
    rows = [("churn-predictor/1", f"some words and {PATH}", "0.8417"), (f"  {MD5}", "one two three", "0.9")]
    screen = open_console()
    screen.print(draw_table(heads, rows, right=["roc_auc"]))
    out = capsys.readouterr().out
    lines = [line.rstrip() for line in out.splitlines()]
    assert max(map(len, lines)) <= width
    whole = {word for row in (heads, *rows) for cell in row for word in cell.split()}
    for word in out.split():
        begins, left_out, ends = word.partition("…")
        assert word in whole or (left_out and any(w.startswith(begins) and w.endswith(ends) for w in whole))
    assert lines[1].endswith("0.8417") and lines[0].endswith("roc_auc"), "numbers stand to the right"


def test_words_are_kept_whole_before_lines_are():
    assert fit_columns([(5, 30), (9, 9)], 100) == [30, 9], "as wide as they are"
    assert fit_columns([(5, 30), (9, 9)], 20) == [11, 9]
    assert fit_columns([(30, 40), (5, 5)], 20) == [15, 5], "the longest word gives way"
    assert sum(fit_columns([(30, 40), (30, 30), (4, 4)], 30)) == 30
    assert fit_columns([(0, 0), (5, 5)], 3) == [0, 3], "an empty column has no room"


def test_a_word_that_is_too_long_loses_its_middle():
    assert shorten_words(f"md5 {MD5}", 12) == "md5 7127e6…2ae81"
    assert shorten_words(f"md5 {MD5}", 32) == f"md5 {MD5}"
    assert shorten_words("  abc\ndefghij", 5) == "  abc\nde…ij"
    assert shorten_words("abc", 1) == "…"


def test_no_colour_goes_into_a_file_or_into_json(capsys, monkeypatch):
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        monkeypatch.setenv(name, "1")
    open_console().print("a red word", style="red")
    print_json({"a": "ü"})
    text, _, answer = capsys.readouterr().out.partition("\n")
    assert text == "a red word" and json.loads(answer) == {"a": "ü"}


def test_a_terminal_gets_colours(capsys, monkeypatch):
    monkeypatch.setattr(console.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    open_console().print("a red word", style="red")
    assert "\x1b[31m" in capsys.readouterr().out
