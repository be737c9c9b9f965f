"""DVC's files, as they are read."""

import pytest

from predictflow.adapters.dvc_files import Lockfile, parse_list, parse_lock


def test_after_train_alone_the_numbers_of_the_model_before_are_not_the_new_ones():
    """`dvc repro train` leaves evaluate's entry of dvc.lock as it was."""
    lock = """
schema: '2.0'
stages:
  train:
    cmd: python -m stages.train
    deps: [{path: stages/train.py, hash: md5, md5: bb, size: 2}]
    outs: [{path: models/provenance.json, hash: md5, md5: new, size: 3}]
  evaluate:
    cmd: python -m stages.evaluate
    deps: [{path: models/provenance.json, hash: md5, md5: %s, size: 3}]
    outs: [{path: metrics/evaluate/metrics.json, hash: md5, md5: cc, size: 4}]
"""
    stale = parse_lock((lock % "old").encode())
    assert stale == Lockfile(
        {"stages/train.py": "bb", "models/provenance.json": "new"},
        {"stages/train.py": 2, "models/provenance.json": 3},
        ["stages/train.py"],
    )
    whole = parse_lock((lock % "new").encode())
    assert whole.md5s == stale.md5s | {"metrics/evaluate/metrics.json": "cc"}
    assert whole.content == "new"


@pytest.mark.parametrize("text", [b"", b"no list", b"[1]", b'[{"md5": "x"}]', b"3", b"\xff"])
def test_what_is_no_list_of_a_folders_files_is_told(text: bytes):
    with pytest.raises(ValueError):
        parse_list(text)
