"""A fix writes into a version's own folder alone, and nothing that is not named lies in one unseen."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.test_audit import GATE, MODEL, NEWEST, audit, copy, kinds
from tests.commands.test_evidence import artifacts, spoil, sql
from tests.people.history import History

OTHER = "first"  # version 1, whose files nobody may touch


@pytest.fixture
def history(audited_template: Path, tmp_path: Path) -> History:
    """ "all at once" is version 6, in Production."""
    return copy(audited_template, tmp_path)


def files(folder: Path) -> dict[str, str]:
    """{path: md5} of all that lies in a folder, but for links."""
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def store(history: History) -> dict[str, str]:
    return files(history.project.folder / "mlflow_data/artifacts")


def run_folder(history: History, name: str) -> Path:
    return artifacts(history, history.made[name]).parents[1]


# Each lets MLflow seek version 6's files in another's folder.


def storage_of_another(history: History) -> None:
    address = artifacts(history, history.made[OTHER]).as_uri()
    sql(history, ("UPDATE model_versions SET storage_location = ? WHERE version = 6", [address]))


def source_of_another(history: History) -> None:
    storage_of_another(history)
    sql(history, ("UPDATE model_versions SET source = storage_location WHERE version = 6",))


def run_of_another(history: History) -> None:
    """The run says so, and the version follows it."""
    source_of_another(history)
    address = artifacts(history, history.made[OTHER]).parent.as_uri()
    change = "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?"
    sql(history, (change, [address, history.made[NEWEST].run]))


def outside_of_the_store(history: History) -> None:
    """With a folder that has the run's own name."""
    there = history.project.folder.parent / "planted" / history.made[NEWEST].run / "artifacts/model"
    shutil.copytree(artifacts(history, history.made[NEWEST]), there)
    spoil(there / "serving.py")
    sql(history, ("UPDATE model_versions SET storage_location = ? WHERE version = 6", [there.as_uri()]))


ADDRESSES = [storage_of_another, source_of_another, run_of_another, outside_of_the_store]


@pytest.mark.real
def test_an_address_that_is_anothers_is_the_finding_and_no_file_of_another_is_touched(history: History):
    before = store(history)
    for edit in ADDRESSES:
        edit(history)
        answer = audit(history, code=1)
        assert kinds(answer) == ["address"], (edit.__name__, answer["findings"])
        history.told("gate", GATE, code=1)
        answer = audit(history, "--fix")
        assert answer["mended"] and not answer["not_mended"], edit.__name__
        assert audit(history, "--fix")["mended"] == [], edit.__name__
        assert store(history) == before, edit.__name__
        (version,) = [one for one in history.project.versions() if int(one.version) == 6]
        own = artifacts(history, history.made[NEWEST]).as_uri()
        assert version.source == history.project.store.get_model_version_download_uri(MODEL, "6") == own
    history.told("gate", GATE)


@pytest.mark.real
def test_a_version_that_names_a_run_of_another_which_is_gone_takes_none_of_its_files(history: History):
    """The run's row is gone, its folder, of version 1, is there: two versions say that it is theirs."""
    made, other = history.made[NEWEST], history.made[OTHER]
    source_of_another(history)
    tables = ("params", "tags", "metrics", "latest_metrics", "runs")
    gone = [(f"DELETE FROM {table} WHERE run_uuid = ?", [other.run]) for table in tables]
    sql(history, *gone, ("UPDATE model_versions SET run_id = ? WHERE version = 6", [other.run]))
    before = store(history)
    audit(history, code=1)
    audit(history, "--fix", code=1)
    assert store(history) == before
    (version,) = [one for one in history.project.versions() if int(one.version) == 6]
    assert version.run_id == made.run
    history.told("restore")
    assert audit(history, "--fix")["findings"] == []
    assert {name: md5 for name, md5 in store(history).items() if name in before} == before


# Each puts a link where a folder or a file of version 6 should be.


def its_folder(history: History) -> Path:
    folder = artifacts(history, history.made[NEWEST])
    shutil.rmtree(folder)
    folder.symlink_to(artifacts(history, history.made[OTHER]))
    return folder


def the_folder_of_its_run(history: History) -> Path:
    folder = run_folder(history, NEWEST)
    shutil.rmtree(folder)
    folder.symlink_to(run_folder(history, OTHER))
    return folder


@pytest.mark.parametrize("edit", [its_folder, the_folder_of_its_run])
def test_a_link_to_anothers_folder_is_told_and_never_written_through(history: History, edit: Callable):
    other = artifacts(history, history.made[OTHER])
    before = files(other)
    link = edit(history)
    for words in ((), ("--fix",)):
        answer = audit(history, *words, code=1)
        assert [(one["kind"], one["fixable"]) for one in answer["findings"]] == [("files", False)]
        assert files(other) == before and link.is_symlink()
    history.told("gate", GATE, code=1)
    history.project.run("sh", "-c", answer["findings"][0]["cure"].split("`")[1])
    assert audit(history, "--fix")["findings"] == []
    assert files(other) == before
    assert files(artifacts(history, history.made[NEWEST])).keys() == before.keys()
    history.told("gate", GATE)


def test_a_link_in_the_place_of_a_file_becomes_a_file_of_its_own(history: History):
    made, other = history.made[NEWEST], artifacts(history, history.made[OTHER])
    before = files(other)
    path = artifacts(history, made) / "model.ubj"
    path.unlink()
    path.symlink_to(other / "model.ubj")
    hidden = path.with_name(".model.ubj.tmp")  # the name under which it will be written
    hidden.symlink_to(other / "serving.py")
    (found, _) = audit(history, code=1)["findings"]
    assert "model.ubj is a link to" in found["told"] and found["fixable"]
    audit(history, "--fix")
    assert files(other) == before
    assert (
        not path.is_symlink()
        and files(path.parent)["model.ubj"] == made.md5s["models/churn-predictor/model.ubj"]
    )


# Each plants something in the folder that MLflow loads version 6 from.


def byte_code(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/serving.cpython-311.pyc").write_bytes(b"compiled")


def a_package(folder: Path) -> None:
    (folder / "serving").mkdir()
    (folder / "serving/__init__.py").write_text("evil = True\n")


def a_hidden_file(folder: Path) -> None:
    (folder / ".hidden").write_text("evil\n")


def a_link(folder: Path) -> None:
    (folder / "numpy.py").symlink_to("/etc/hostname")


def a_link_to_nothing(folder: Path) -> None:
    (folder / "xgboost.py").symlink_to("/nowhere/at/all")


def a_link_to_a_folder(folder: Path) -> None:
    (folder / "pandas").symlink_to(folder.parent)


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def a_source_for_byte_code(folder: Path) -> None:
    """Byte code that lies where Python would not have put it."""
    (folder / "json.pyc").write_bytes(b"compiled")


PLANTED = [
    a_package,
    a_hidden_file,
    a_link,
    a_link_to_nothing,
    a_link_to_a_folder,
    a_pipe,
    a_source_for_byte_code,
]


@pytest.mark.real
def test_whatever_else_lies_in_a_versions_folder_is_told_and_stops_the_gate(history: History):
    folder = artifacts(history, history.made[NEWEST])
    for plant in PLANTED:
        plant(folder)
        (found,) = audit(history, "--fix", code=1)["findings"]
        assert (found["kind"], found["fixable"]) == ("files", False), plant.__name__
        history.told("gate", GATE, code=1)
        history.project.run("sh", "-c", found["cure"].split("`")[1])
        assert audit(history)["findings"] == [], plant.__name__
    byte_code(folder)
    (found,) = audit(history, code=1)["findings"]
    assert (found["kind"], found["fixable"]) == ("files", True)
    history.told("gate", GATE, code=1)
    assert "byte code" in audit(history, "--fix")["mended"][0]
    history.told("gate", GATE)


def test_what_the_remote_cannot_mend_is_left_as_it_was(history: History, tmp_path: Path):
    """Its bytes are wrong too."""
    made = history.made[NEWEST]
    md5 = made.md5s["models/churn-predictor/model.ubj"]
    here = history.project.folder / ".dvc/cache/files/md5"
    remote = tmp_path / "remote"
    settings = f"[core]\n    remote = here\n['remote \"here\"']\n    url = {remote}\n"
    (history.project.folder / ".dvc/config.local").write_text(settings)
    shutil.copytree(here, remote / "files/md5")
    for place in (here, remote / "files/md5"):
        spoil(place / md5[:2] / md5[2:])
    spoil(artifacts(history, made) / "model.ubj")
    spoil(history.project.folder / "models/churn-predictor/model.ubj")
    before = files(here)
    answer = audit(history, "--fix", code=1)
    assert answer["not_mended"] and files(here) == before


def object_of(history: History, md5: str) -> Path:
    return history.project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def test_wrong_bytes_under_the_right_md5_are_found_of_all_that_git_names(history: History):
    """Data, indexes of customers, plots, lists of folders, and the model of an experiment."""
    project, md5s = history.project, history.made["first"].md5s
    lock = project.run("git", "show", f"{history.made['first'].commit}:dvc.lock").stdout

    def locked(path: str) -> str:
        return lock.split(f"path: {path}\n")[1].split("md5: ")[1].split()[0]

    nowhere = "[core]\n    remote = here\n['remote \"here\"']\n    url = /nowhere/at/all\n"
    (project.folder / ".dvc/config.local").write_text(nowhere)
    spoilt = {
        "data/customers.csv": md5s["data/customers.csv"],
        "data/prepared/test.parquet": md5s["data/prepared/test.parquet"],
        "data/prepared/train.index": locked("data/prepared/train.index"),
        "metrics/train/plots": locked("metrics/train/plots"),
        "models/churn-predictor/model.ubj": history.made["shallow"].md5s["models/churn-predictor/model.ubj"],
    }
    kept = {path: object_of(history, md5).read_bytes() for path, md5 in spoilt.items()}
    for md5 in spoilt.values():
        spoil(object_of(history, md5))
    found = audit(history, "--fix", code=1)["findings"]
    assert {(one["kind"], one["about"]) for one in found} == {("cache", path) for path in spoilt}
    assert all(md5 in str(found) for md5 in spoilt.values()) and not any(one["fixable"] for one in found)
    for path, md5 in spoilt.items():
        (cure,) = [one["cure"] for one in found if one["about"] == path]
        project.run("sh", "-c", cure.split("`")[1])
        object_of(history, md5).write_bytes(kept[path])
    audit(history)


def test_the_data_of_the_working_tree_mend_the_cache(history: History):
    for path in ("data/customers.csv", "data/prepared/train.parquet"):
        spoil(object_of(history, history.made[NEWEST].md5s[path]))
    found = audit(history, code=1)["findings"]
    assert [(one["about"], one["fixable"]) for one in found] == [
        ("data/customers.csv", True),
        ("data/prepared/train.parquet", True),
    ]
    assert len(audit(history, "--fix")["mended"]) == 2
    audit(history)
