"""A model that workers of Dask learn: the same bytes on any cluster of so many, or an error in words."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from predictflow.adapters.processes import words_of
from stages.model.dask_engine import ADDRESS
from stages.support.hashes import md5
from stages.support.paths import MODEL_FOLDER, PROVENANCE
from tests.people.cluster import running
from tests.people.processes import gone
from tests.people.project import WAIT, Project
from tests.people.waiting import until

LOCAL = "engine: local\n  workers: 1\n  partitions: 1"
MODEL = MODEL_FOLDER / "model.ubj"


@pytest.fixture
def prepared(members: Project) -> Project:
    """The members' project with its customers prepared, and nothing learned."""
    members.run("python", "-m", "stages.prepare")
    members.commit("prepared")
    return members


def declared(workers: int, partitions: int) -> str:
    return f"engine: dask\n  workers: {workers}\n  partitions: {partitions}"


def lines(project: Project, old: str, new: str) -> None:
    """Replace lines of the block train of params.yaml, whatever comments stand between them."""
    text = project.read("params.yaml")
    for before, after in zip(old.split("\n  "), new.split("\n  "), strict=True):
        assert f"\n  {before}\n" in text
        text = text.replace(f"\n  {before}\n", f"\n  {after}\n")
    (project.folder / "params.yaml").write_text(text, encoding="utf-8")


def learned(project: Project, **env: str) -> str:
    """The md5 of the model that train makes."""
    project.run("python", "-m", "stages.train", env=env)
    return md5(project.folder / MODEL)


def refused(project: Project, **env: str) -> str:
    """How train fails: in words, before anything is fitted or written."""
    done = project.run("python", "-m", "stages.train", code=1, env=env)
    assert done.stderr.startswith("ERROR: ") and "\nCure: " in done.stderr and "Traceback" not in done.stderr
    assert not (project.folder / PROVENANCE).exists()
    return done.stderr


def test_one_worker_gives_the_bytes_of_local_and_provenance_tells_who_learned(prepared: Project):
    alone = learned(prepared)
    lines(prepared, LOCAL, declared(1, 1))
    assert learned(prepared) == alone
    *_, last = json.loads(prepared.read(PROVENANCE.as_posix()))
    told = {key: last["params"]["train"][key] for key in ("engine", "workers", "partitions", "device")}
    assert told == {"engine": "dask", "workers": 1, "partitions": 1, "device": "cpu"}
    assert (prepared.runs()[0].data.params["train.engine"], len(prepared.runs())) == ("dask", 2)


def test_two_workers_give_the_same_bytes_here_and_on_a_cluster_elsewhere(prepared: Project, tmp_path: Path):
    """Names and ports are others on each cluster; who has which customers, and which rank, is not."""
    lines(prepared, LOCAL, declared(2, 4))
    here = learned(prepared)
    with running(tmp_path / "elsewhere", "zoe", "amy") as cluster:
        assert learned(prepared, **{ADDRESS: cluster.address}) == here
        (prepared.folder / PROVENANCE).unlink()
        lines(prepared, declared(2, 4), declared(3, 4))
        said = refused(prepared, **{ADDRESS: cluster.address})
        assert "train.workers in params.yaml is 3, but the cluster of Dask's has 2" in said
    prepared.edit("stages/model/dask_engine.py", "PATIENCE = 20", "PATIENCE = 2")
    said = refused(prepared, **{ADDRESS: cluster.address})
    assert f"no scheduler of Dask's answers at {ADDRESS}={cluster.address}" in said
    assert "missing port number" in refused(prepared, **{ADDRESS: "nowhere"})


def test_a_worker_that_is_killed_fails_the_stage_in_words_and_the_others_are_free_again(
    prepared: Project, tmp_path: Path
):
    lines(prepared, LOCAL, declared(2, 2))
    prepared.edit("params.yaml", "rounds: 30", "rounds: 100000")
    with running(tmp_path / "cluster", "one", "two") as cluster:
        env = {ADDRESS: cluster.address}
        words = (prepared.python, "-m", "stages.train")
        with prepared.begun(*words, env=env, stderr=subprocess.PIPE, text=True) as stage:
            log = tmp_path / "cluster/log"
            until(lambda: log.read_text().count("got rank") == 2, "the workers learn")
            os.kill(cluster.workers[0].pid, signal.SIGKILL)
            told = stage.communicate(timeout=WAIT)[1]
        assert stage.returncode == 1
        assert "ERROR: 1 of the 2 workers of Dask's ended while the model was learned (tcp://" in told
        assert not (prepared.folder / PROVENANCE).exists()
        assert [run.info.status for run in prepared.runs()] == ["FAILED"]
        lines(prepared, declared(2, 2), declared(1, 1))
        prepared.edit("params.yaml", "rounds: 100000", "rounds: 30")
        learned(prepared, **{ADDRESS: cluster.address})


@pytest.mark.parametrize(
    "how",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL],
    ids=lambda how: how.name,
)
def test_a_stage_that_is_stopped_leaves_no_worker_behind(how, prepared: Project):
    lines(prepared, LOCAL, declared(2, 2))
    prepared.edit("params.yaml", "rounds: 30", "rounds: 100000")
    with prepared.begun(prepared.python, "-m", "stages.train", stderr=subprocess.PIPE) as stage:
        pids = until(lambda: len(found := workers(stage.pid)) == 2 and found, "the workers")
        stage.send_signal(how)
        stage.communicate(timeout=WAIT)
        until(lambda: gone(*pids), "the end of the workers")


def workers(pid: int) -> list[int]:
    """The workers of a stage, which also begins processes that end at once."""
    of_stage = psutil.Process(pid).children(recursive=True)
    return [process.pid for process in of_stage if "spawn_main" in " ".join(words_of(process))]
