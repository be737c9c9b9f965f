"""Sixteen processes at once: the first touches of a store, and writers to one."""

import fcntl
import hashlib
import json
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from stages.tracking import tables
from tests.people.project import WAIT, Project

SIXTEEN = 16
MODEL = "churn-predictor"
# Each says that all it needs is imported, and waits for the others: all of them begin at the same moment.
GATE = """
import fcntl, hashlib, json, sys, time
import mlflow, mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from mlflow.entities import Metric, Param
from stages.support import params
from stages.tracking import registry, store
place, number = sys.argv[1:]
with open(place) as gate:
    print("ready", flush=True)
    fcntl.flock(gate, fcntl.LOCK_SH)
"""
TOUCH = f"""{GATE}
opened = store.open_store(params.load())
print(json.dumps([opened.experiment_id, opened.create("touched")]))
"""
# Two contents each: one that nobody else has, and one that all have.
WRITE = f"""{GATE}
opened = store.open_store(params.load())
written = []
for content in (hashlib.md5(number.encode()).hexdigest(), "0" * 32):
    run = opened.create("written", {{store.CONTENT_TAG: content}})
    with opened.running(run):
        now = int(time.time() * 1000)
        points = [Metric(f"m{{key}}", float(key), now, 0) for key in range(50)]
        opened.client.log_batch(run, params=[Param("number", number)])
        for point in points:
            opened.client.log_batch(run, metrics=[point])
        opened.client.log_text(run, number, "model/model.ubj")
    version = registry.register(opened, "{MODEL}", content, run, {{"by": number}}, "a model").version
    registry.move(opened, "{MODEL}", version, "Staging")
    opened.client.set_model_version_tag("{MODEL}", version, f"tag {{number}}", number)
    written.append([run, content, int(version)])
print(json.dumps(written))
"""


@contextmanager
def gate(place: Path) -> Iterator[None]:
    """Nobody goes through before the block ends."""
    with place.open("w") as shut:
        fcntl.flock(shut, fcntl.LOCK_EX)
        yield


def at_once(project: Project, program: str) -> list:
    """What sixteen processes print, each of which must end well."""
    place = project.folder.parent / "gate"
    words = (project.python, "-c", program, str(place))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with ExitStack() as ended:
        with gate(place):
            started = [
                ended.enter_context(project.begun(*words, str(number), **pipes)) for number in range(SIXTEEN)
            ]
            for process in started:
                assert process.stdout and process.stdout.readline() == "ready\n", process.communicate()
        told = [process.communicate(timeout=WAIT) for process in started]
    codes = [process.returncode for process in started]
    assert codes == [0] * SIXTEEN, "\n".join(errors for _, errors in told if errors)
    return [json.loads(out) for out, _ in told]


def ask(project: Project, question: str) -> list[tuple]:
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as database:
        return database.execute(question).fetchall()


def test_sixteen_first_touches_make_one_store(project: Project, tmp_path: Path):
    told = at_once(project.hurry(), TOUCH)
    assert {experiment for experiment, _ in told} == {"1"}
    assert sorted(run.info.run_id for run in project.runs()) == sorted(run for _, run in told)
    assert ask(project, "PRAGMA integrity_check") == [("ok",)]
    assert ask(project, "SELECT version_num FROM alembic_version") == [(tables.revision(),)]
    assert ask(project, "SELECT name FROM experiments ORDER BY experiment_id") == [
        ("Default",),
        ("churn-prediction",),
    ]
    tables.lay(tmp_path / "alone.db")
    with closing(sqlite3.connect(tmp_path / "alone.db")) as alone:
        made = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
        assert ask(project, made) == alone.execute(made).fetchall()


def test_sixteen_writers_lose_nothing_and_write_nothing_twice(project: Project):
    told = [entry for written in at_once(project.hurry(), WRITE) for entry in written]
    runs = {run.info.run_id: run for run in project.runs()}
    assert sorted(runs) == sorted(run for run, _, _ in told) and len(runs) == 2 * SIXTEEN
    assert Counter(run.info.status for run in runs.values()) == {"FINISHED": 2 * SIXTEEN}
    assert {tuple(sorted(run.data.metrics.values())) for run in runs.values()} == {(*map(float, range(50)),)}
    for run_id, content, _ in told:
        assert runs[run_id].data.tags["predictflow.content"] == content
        kept = project.folder / "mlflow_data/artifacts" / run_id / "artifacts/model/model.ubj"
        assert kept.read_text() == runs[run_id].data.params["number"]

    versions = {version.tags["predictflow.content"]: version for version in project.versions()}
    assert len(versions) == len(project.versions()) == SIXTEEN + 1, "a version for each content"
    assert {version.version for version in versions.values()} == {*range(1, SIXTEEN + 2)}
    assert {(content, int(versions[content].version)) for _, content, _ in told} == {
        (content, number) for _, content, number in told
    }, "each was told the version that there is"
    tags = [{name for name in version.tags if name.startswith("tag ")} for version in versions.values()]
    assert sorted(map(len, tags)) == [1] * SIXTEEN + [SIXTEEN], "each tag of each writer is there"
    (staged,) = [version for version in versions.values() if version.current_stage == "Staging"]
    assert project.store.get_registered_model(MODEL).aliases == {"staging": staged.version}
    assert {version.current_stage for version in versions.values()} == {"Staging", "Archived"}
    assert ask(project, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.slow
def test_sixteen_trainings_of_sixteen_contents_are_sixteen_runs_and_versions(warm: Project, tmp_path: Path):
    """Sixteen clones, whose `dvc repro` all write to one store."""
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{warm.folder}/mlflow_data/mlflow.db"}
    clones = []
    for number in range(SIXTEEN):
        subprocess.run(["cp", "-a", warm.folder, tmp_path / f"clone-{number}"], check=True)
        clones.append(Project(tmp_path / f"clone-{number}", tmp_path / "home").hurry())
        clones[-1].edit("params.yaml", "rounds: 30", f"rounds: {number + 5}")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with ExitStack() as ended:
        started = [ended.enter_context(clone.begun("dvc", "repro", env=store, **pipes)) for clone in clones]
        told = [process.communicate(timeout=2 * WAIT)[0] for process in started]
    assert [process.returncode for process in started] == [0] * SIXTEEN, "\n".join(told)
    contents = {
        hashlib.md5((clone.folder / "models/provenance.json").read_bytes()).hexdigest()
        for clone in [warm, *clones]
    }
    assert len(contents) == SIXTEEN + 1
    for made in (warm.runs(), warm.versions()):
        found = [one.data.tags if hasattr(one, "data") else one.tags for one in made]
        assert sorted(tags["predictflow.content"] for tags in found) == sorted(contents)
    assert {run.info.status for run in warm.runs()} == {"FINISHED"}
    assert [version.current_stage for version in warm.versions()].count("Staging") == 1
