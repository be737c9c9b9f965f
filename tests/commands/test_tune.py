"""The bar of `predictflow tune`; tests/real/test_tuning.py tries settings."""

from predictflow.commands.tune import _progress


def test_the_bar_counts_what_the_study_holds_already(monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with _progress(9) as tell:
        tell(9, "best roc_auc 0.85 (trial 2)")
    with _progress(4) as tell:
        tell(8, "")
    said = capsys.readouterr().err
    assert "9/9" in said and "8/8" in said
    assert "0/9" not in said and "8/4" not in said
