"""The stage itself: what it writes, and how it ends on a file that it cannot take."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from stages import prepare as stage
from stages.data import customer_index
from stages.data.schema import Schema
from stages.model import serving
from stages.support import params
from stages.support.errors import UserError
from stages.support.hashes import md5
from stages.support.paths import TEST, TEST_INDEX, TRAIN, TRAIN_INDEX
from tests.people import customers
from tests.people.project import REPOSITORY, WAIT, Project, tracked
from tests.unit.stages.data.files import telco, text

PARTS = ("stages/", "data/", "metrics/", "params.yaml", "requirements.lock")
MADE_OF = [name for name in tracked() if name.startswith(PARTS)]


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[[], Project]:
    """The project, and no Git: the stage asks nothing of it."""

    def make() -> Project:
        project = Project(tmp_path / "project", tmp_path).hurry()
        for name in (*MADE_OF, "data/customers.csv"):
            (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, project.folder / name)
        return project

    return make


@pytest.fixture
def members(project: Project) -> Project:
    """The project on another company's customers."""
    customers.write_members(project.folder / "data/customers.csv")
    customers.declare_members(project.folder / "params.yaml")
    return project


@pytest.fixture
def prepare(project: Project, monkeypatch):
    """Run the stage here, in the project, and give the two sides."""
    monkeypatch.chdir(project.folder)

    def run() -> tuple[pd.DataFrame, pd.DataFrame]:
        stage.main()
        return pd.read_parquet(TRAIN), pd.read_parquet(TEST)

    return run


def written(project: Project) -> list[str]:
    """What the stage has left in its folder, temporary files as well."""
    folder = project.folder / "data/prepared"
    return sorted(path.name for path in folder.glob("*") if path.name != ".gitignore")


def test_every_customer_is_on_one_side_in_the_order_of_the_file(project, prepare):
    train, test = prepare()
    ids = pd.read_csv(project.folder / "data/customers.csv")["customer_id"]
    assert len(train) + len(test) == len(ids) == 7043
    for side in (train, test):
        assert side["customer_id"].tolist() == ids[ids.isin(side["customer_id"])].tolist()
    assert 0.18 < len(test) / 7043 < 0.22


def test_the_record_counts_rows_and_positives_and_names_the_md5s(project, prepare):
    train, test = prepare()
    recorded = json.loads(project.read("metrics/prepare/metrics.json"))
    for name, side in {"train": train, "test": test}.items():
        assert recorded[name] == {"rows": len(side), "positives": int(side["churn"].sum())}
    assert recorded["train"]["positives"] + recorded["test"]["positives"] == 1869
    assert recorded["md5"] == {
        path: md5(project.folder / path)
        for path in (
            "data/customers.csv",
            "data/prepared/test.index",
            "data/prepared/test.parquet",
            "data/prepared/train.index",
            "data/prepared/train.parquet",
        )
    }


@pytest.mark.parametrize("made", ["project", "members"])
def test_an_index_holds_exactly_the_customers_of_its_side(request, monkeypatch, made):
    folder = request.getfixturevalue(made).folder
    monkeypatch.chdir(folder)
    stage.main()
    settings = params.load()
    salt, name = settings["prepare.id_salt"], settings["data.id"]
    sides = {
        TRAIN_INDEX: pd.read_parquet(TRAIN)[name],
        TEST_INDEX: pd.read_parquet(TEST)[name],
    }
    for path, ids in sides.items():
        assert path.stat().st_size == 16 * len(ids)
        for other, them in sides.items():
            found = [customer_index.holds(path, customer_index.digest(id_, salt)) for id_ in them]
            assert all(found) if other == path else not any(found)


def test_an_id_is_hashed_as_the_customer_file_writes_it(project, prepare):
    """Neither its letters nor its zeros are touched; what a CSV puts around it is no part of it."""
    ids = ["007", "7", "1e3", "a,b", 'say "x"', "É é", "东京"]
    frame = telco(len(ids) * 10)
    frame.loc[: len(ids) - 1, "customer_id"] = ids
    (project.folder / "data/customers.csv").write_text(text(frame), encoding="utf-8")
    prepare()
    salt = params.load()["prepare.id_salt"]
    for id_ in ids:
        wanted = customer_index.digest(id_, salt)
        sides = [customer_index.holds(path, wanted) for path in (TRAIN_INDEX, TEST_INDEX)]
        assert sorted(sides) == [False, True], id_


def test_no_id_stands_in_an_index(prepare):
    train, test = prepare()
    ids = pd.concat([train["customer_id"], test["customer_id"]])
    content = TRAIN_INDEX.read_bytes() + TEST_INDEX.read_bytes()
    assert not [id_ for id_ in ids if id_.encode() in content]


def test_another_salt_is_another_index_of_the_same_customers(project, prepare):
    prepare()
    one = {path: path.read_bytes() for path in stage.INDEXES.values()}
    parquet = [md5(path) for path in stage.INDEXES]
    project.edit("params.yaml", "id_salt: predictflow customers", "id_salt: another")
    prepare()
    assert [md5(path) for path in stage.INDEXES] == parquet
    for path, content in one.items():
        other = path.read_bytes()
        assert len(other) == len(content)
        records = {content[at : at + 16] for at in range(0, len(content), 16)}
        assert not records & {other[at : at + 16] for at in range(0, len(other), 16)}


@pytest.mark.parametrize("salt", ["", "''", "7", "true"])
def test_a_salt_that_is_empty_or_no_text_is_refused(project, prepare, salt):
    project.edit("params.yaml", "id_salt: predictflow customers", f"id_salt: {salt}")
    with pytest.raises(UserError, match=r"prepare.id_salt in params.yaml is .*\nCure: give it a text"):
        prepare()
    assert written(project) == []


@pytest.mark.real
def test_the_prepared_bytes_do_not_depend_on_the_size_of_a_batch(prepare, monkeypatch):
    monkeypatch.setattr(stage, "GROUP", 500)
    prepare()
    outputs = [*stage.INDEXES, *stage.INDEXES.values()]
    expected = [md5(path) for path in outputs]
    groups = pyarrow.parquet.ParquetFile(TRAIN).metadata
    assert [groups.row_group(at).num_rows for at in range(groups.num_row_groups)] == [500] * 11 + [177]
    monkeypatch.setattr("stages.data.customer_file.BLOCK", 8_000)
    prepare()
    assert [md5(path) for path in outputs] == expected


def test_the_same_file_gives_the_same_bytes_and_so_do_its_columns_in_another_order(project, prepare):
    prepare()
    outputs = [*stage.INDEXES, *stage.INDEXES.values()]
    first = [md5(path) for path in outputs]
    prepare()
    assert [md5(path) for path in outputs] == first
    frame = telco(None)
    (project.folder / "data/customers.csv").write_text(text(frame[frame.columns[::-1]]), encoding="utf-8")
    prepare()
    assert [md5(path) for path in outputs] == first


@pytest.mark.parametrize("made", ["project", "members"])
def test_serving_sees_in_raw_rows_what_prepare_wrote(request, monkeypatch, made):
    folder = request.getfixturevalue(made).folder
    monkeypatch.chdir(folder)
    stage.main()
    schema = Schema(params.load())
    raw = pd.read_csv(
        folder / "data/customers.csv",
        sep=schema.delimiter,
        encoding=schema.encoding,
        decimal=schema.decimal,
        na_values=schema.missing,
        keep_default_na=False,
    ).set_index(schema.id)
    for path in (TRAIN, TEST):
        prepared = pd.read_parquet(path)
        served = serving.features(raw.loc[prepared[schema.id]], schema.columns)
        pd.testing.assert_frame_equal(served, prepared[sorted(schema.columns)])
        assert np.array_equal(
            raw.loc[prepared[schema.id], schema.target].astype(str) == schema.positive,
            prepared[schema.target],
        )


def test_a_broken_file_ends_the_stage_with_a_message_alone_and_leaves_nothing(project):
    frame = telco()
    frame.loc[1, "tenure"], frame.loc[2, "contract"] = "many", "Weekly"
    (project.folder / "data/customers.csv").write_text(text(frame), encoding="utf-8")
    done = project.run("python", "-m", "stages.prepare", code=1)
    assert done.stderr.startswith("ERROR: data/customers.csv does not hold what params.yaml declares")
    assert "row 3 'many'" in done.stderr
    assert "row 4 'Weekly'" in done.stderr
    assert "Traceback" not in done.stderr
    assert written(project) == []


# It has written all but test.index, and is about to give the first file its name.
STOPPED = """
import os, runpy, sys
def stop(event, words):
    if event == "os.rename" and "data/prepared/" in str(words[1]):
        os.kill(os.getpid(), {sign})
sys.addaudithook(stop)
runpy.run_module("stages.prepare", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_killed_while_it_writes_has_written_nothing_and_the_next_run_writes_it_whole(project, sign):
    project.run("python", "-m", "stages.prepare")
    whole = {name: md5(project.folder / "data/prepared" / name) for name in written(project)}
    for name in whole:
        (project.folder / "data/prepared" / name).unlink()
    words = [project.python, "-c", STOPPED.format(sign=int(sign))]
    assert subprocess.run(words, cwd=project.folder, env=project.env, timeout=WAIT).returncode != 0
    # What nobody could tidy up has a name that Git ignores and the next run takes.
    names = [] if sign == signal.SIGTERM else sorted(f".{name}.tmp" for name in whole if name != "test.index")
    assert written(project) == names
    project.run("python", "-m", "stages.prepare")
    assert {name: md5(project.folder / "data/prepared" / name) for name in written(project)} == whole


def test_a_wrong_encoding_ends_the_stage_with_a_message_alone(project):
    (project.folder / "data/customers.csv").write_bytes(text(telco()).encode("utf-16"))
    done = project.run("python", "-m", "stages.prepare", code=1)
    assert done.stderr.startswith("ERROR: data/customers.csv is not written in utf-8: row 1 holds")
    assert "Traceback" not in done.stderr


def test_customers_that_are_not_there_are_named_with_the_cure(project, prepare):
    (project.folder / "data/customers.csv").unlink()
    with pytest.raises(
        UserError, match=r"data/customers.csv is not here.\nCure: `dvc pull data/customers.csv`"
    ):
        prepare()


def test_a_side_without_both_classes_is_refused(project, prepare):
    (project.folder / "data/customers.csv").write_text(text(telco(5)), encoding="utf-8")
    with pytest.raises(UserError, match=r"nothing can be learned or measured.\nCure: more customers"):
        prepare()
    assert written(project) == []


def test_what_is_no_file_in_place_of_the_customers_is_told(project, prepare):
    place = project.folder / "data/customers.csv"
    place.unlink()
    place.mkdir()
    with pytest.raises(UserError, match=r"data/customers.csv is a folder, not a file.\nCure: move it away"):
        prepare()
    place.rmdir()
    os.mkfifo(place)
    with pytest.raises(UserError, match=r"data/customers.csv is a pipe or a device, not a file.\n"):
        prepare()


@pytest.mark.parametrize(
    ("obstacle", "told"),
    [
        ("data/prepared/train.parquet/", "data/prepared/train.parquet cannot be used: Is a directory."),
        ("data/prepared", "data/prepared cannot be used: File exists."),
    ],
)
def test_a_place_that_cannot_be_written_to_ends_the_stage_with_a_message_alone(project, obstacle, told):
    shutil.rmtree(project.folder / "data/prepared")
    if obstacle.endswith("/"):
        (project.folder / obstacle).mkdir(parents=True)
    else:
        (project.folder / obstacle).touch()
    done = project.run("python", "-m", "stages.prepare", code=1)
    assert done.stderr == f"ERROR: {told}\nCure: move away what lies there.\n"
