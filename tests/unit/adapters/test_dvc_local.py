"""A person's own settings of DVC are theirs again, to the byte."""

from pathlib import Path
from stat import S_IMODE

import pytest
from dvc.config import Config

from predictflow.adapters.dvc_local import BorrowedSettings
from stages.support.errors import UserError

OURS = {"url": "s3://bucket", "endpointurl": "http://127.0.0.1:1", "secret_access_key": "s, ecret"}
OWN = b"""# the team's bucket
[core]
    remote = kept  # not the old one
['remote "kept"']
    url = "../../kept, with a comma"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "kept").mkdir()
    return tmp_path / ".dvc/config.local"


def borrowed(file: Path) -> BorrowedSettings:
    return BorrowedSettings(file.parents[1], "ours", file.parents[1] / "kept")


def as_dvc_reads(file: Path) -> dict:
    return {name: value for name, value in Config(str(file.parent)).load_one("local").items() if value}


@pytest.mark.parametrize("own", [None, b"", b"[cache]\r\ntype = copy", OWN])
@pytest.mark.parametrize("times", [1, 2])
def test_they_are_put_back_to_the_byte(file, own, times):
    if own is not None:
        file.write_bytes(own)
        file.chmod(0o640)
    for _ in range(times):
        borrowed(file).lead_to(OURS)
        read = as_dvc_reads(file)
        assert read["core"]["remote"] == "ours"
        assert read["remote"]["ours"] == OURS
        assert S_IMODE(file.stat().st_mode) == 0o600
    if own == OWN:
        assert as_dvc_reads(file)["remote"]["kept"]["url"].endswith("kept, with a comma")
    borrowed(file).put_back()
    assert (file.read_bytes() if file.exists() else None) == own
    if own is not None:
        assert S_IMODE(file.stat().st_mode) == 0o640
    assert not list((file.parents[1] / "kept").iterdir())


@pytest.mark.parametrize("again", [False, True], ids=["", "and led there once more"])
def test_what_somebody_sets_meanwhile_stays(file, again):
    file.write_bytes(OWN)
    borrowed(file).lead_to(OURS)
    with Config(str(file.parent)).edit("local") as settings:  # as `dvc config --local` does
        settings["cache"]["type"] = ["symlink"]
    if again:
        borrowed(file).lead_to(OURS)
    borrowed(file).put_back()
    read = as_dvc_reads(file)
    assert read["cache"]["type"] == ["symlink"]
    assert read["core"]["remote"] == "kept"
    assert set(read["remote"]) == {"kept"}


def test_a_default_remote_that_somebody_chooses_meanwhile_stays(file):
    borrowed(file).lead_to(OURS)
    with Config(str(file.parent)).edit("local") as settings:
        settings["core"]["remote"] = "another"
    borrowed(file).put_back()
    assert as_dvc_reads(file) == {"core": {"remote": "another"}}


def test_without_what_was_kept_our_remote_alone_goes(file):
    file.write_bytes(OWN)
    borrowed(file).lead_to(OURS)
    for path in (file.parents[1] / "kept").iterdir():
        path.unlink()
    borrowed(file).put_back()
    read = as_dvc_reads(file)
    assert set(read["remote"]) == {"kept"}
    assert "core" not in read
    borrowed(file).put_back()
    assert as_dvc_reads(file) == read


def test_put_back_without_having_been_led_anywhere_nothing_changes(file):
    borrowed(file).put_back()
    assert not file.exists()
    file.write_bytes(OWN)
    borrowed(file).put_back()
    assert file.read_bytes() == OWN


def test_a_new_port_takes_the_place_of_the_old_one(file):
    file.write_bytes(OWN)
    borrowed(file).lead_to(OURS)
    borrowed(file).lead_to(OURS | {"endpointurl": "http://127.0.0.1:2"})
    assert as_dvc_reads(file)["remote"]["ours"]["endpointurl"] == "http://127.0.0.1:2"
    borrowed(file).put_back()
    assert file.read_bytes() == OWN


def test_settings_that_cannot_be_read_are_told_and_left(file):
    file.write_bytes(b"[core\n")
    with pytest.raises(UserError, match=r"config.local, DVC's settings of this clone, cannot be read"):
        borrowed(file).lead_to(OURS)
    assert file.read_bytes() == b"[core\n"
