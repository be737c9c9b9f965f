"""What the commands that benchmarks.kills kills meet, so that each has something to do."""

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.people.environments import CACHE
from tests.people.older import make_older
from tests.people.project import Project
from tests.people.s3 import S3, s3_server

OURS = ("python", "-m", "predictflow.cli")
CACHED = ".dvc/cache/files/md5"


@dataclass
class World:
    """What commands meet beside the project, made when the first one needs it."""

    stack: ExitStack
    _bucket: str = field(default="", init=False)

    @cached_property
    def s3(self) -> S3:
        return self.stack.enter_context(s3_server())

    def bucket(self) -> str:
        """One bucket for all."""
        self._bucket = self._bucket or self.s3.bucket()
        return self._bucket

    def objects(self) -> dict[str, str]:
        """{key in the bucket: the md5 that it must have by its name}."""
        pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket())
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: "".join(key.split("/")[-2:]) for key in keys}

    @cached_property
    def bentoml(self) -> Path:
        """The Python of BentoML's environment, as the slow tests keep it. Raises RuntimeError without one."""
        found = next(CACHE.glob("bentoml-*/bentoml/bin/python"), None)
        if found is None:
            raise RuntimeError(
                "no environment of BentoML's is kept: `pytest -m slow tests/real/test_serving_elsewhere.py`"
            )
        return found


Prepare = Callable[[Project, World], None]


def other_params(project: Project, world: World) -> None:
    project.edit("params.yaml", "rounds: 25", "rounds: 20")


def own_words(project: Project, world: World) -> None:
    """What its owner has not committed yet."""
    (project.folder / "NOTES.md").write_text("words that nobody has committed\n")


def no_store(project: Project, world: World) -> None:
    (project.folder / "mlflow_data").rename(project.folder.parent / "away")


def garbage(project: Project, world: World) -> None:
    for number in range(20):
        path = project.folder / "mlflow_data/artifacts" / f"{number:032x}" / "artifacts/model.ubj"
        path.parent.mkdir(parents=True)
        path.touch()


def disagreement(project: Project, world: World) -> None:
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as store, store:
        store.execute("UPDATE model_versions SET current_stage = 'Archived'")
        store.execute("DELETE FROM registered_model_aliases")


def leftovers(project: Project, world: World) -> None:
    """What killed commands leave, and a registry that does not agree."""
    disagreement(project, world)
    (project.folder / "models/.churn-predictor.tmp").mkdir()
    (project.folder / "data/prepared" / f"train.parquet.{'x' * 22}.tmp").write_text("half")
    for number in range(20):
        (project.folder / CACHED / "ab").mkdir(exist_ok=True)
        (project.folder / CACHED / "ab" / f"{number:030x}.{number:022d}.tmp").write_text("half")
    (project.folder / ".git/refs/exps/stash.lock").touch()


def older_store(project: Project, world: World) -> None:
    for path in (project.folder / "mlflow_data").glob("mlflow.db*"):
        path.unlink()
    database = make_older(project.folder / "mlflow_data/mlflow.db")
    with closing(sqlite3.connect(database)) as store, store:
        there = (database.parent / "artifacts").as_uri()
        store.execute("UPDATE experiments SET artifact_location = ?", [there])


def few_and_quick(project: Project, world: World) -> None:
    """A space of quick models, in which every trial is better than what params.yaml has."""
    project.edit("params.yaml", "high: 1500", "high: 200")
    project.edit("params.yaml", "rounds: 25", "rounds: 1")
    project.commit("a space of quick models")
    project.repro()
    project.commit("a quick model")


def a_study(project: Project, world: World) -> None:
    few_and_quick(project, world)
    subprocess.run(
        [*OURS, "tune", "--trials", "2"],
        cwd=project.folder,
        env=project.env,
        check=False,
        capture_output=True,
    )


def one_bad_customer(project: Project, world: World) -> None:
    """Beside the project, for it is no part of it."""
    text = (project.folder / "data/customers.csv").read_text("utf-16")
    (project.folder.parent / "new.csv").write_text(f"{text}no customer\n", "utf-16")


def far(project: Project, world: World) -> None:
    """The remote of the project is a bucket of this machine's server."""
    key, secret = world.s3.keys["owner"]
    (project.folder / ".dvc/config.local").write_text(
        f"['remote \"s3remote\"']\n    url = s3://{world.bucket()}/project\n"
        f"    endpointurl = {world.s3.url}\n    region = us-east-1\n"
        f"    access_key_id = {key}\n    secret_access_key = {secret}\n"
    )


def empty_bucket(project: Project, world: World) -> None:
    client = world.s3.client()
    for key in world.objects():
        client.delete_object(Bucket=world.bucket(), Key=key)


def only_far(project: Project, world: World) -> None:
    """All that the project needs is in the bucket, and nothing of it here."""
    far(project, world)
    (project.folder / ".dvc/cache").rename(project.folder.parent / "all")
    for path in ("data/prepared", "models/churn-predictor"):
        shutil.rmtree(project.folder / path)
    (project.folder / "data/customers.csv").unlink()


def full_bucket(project: Project, world: World) -> None:
    there = set(world.objects().values())
    kept = project.folder.parent / "all/files/md5"
    for path in kept.glob("??/*"):
        if (name := path.parent.name + path.name) not in there:
            place = f"project/files/md5/{path.parent.name}/{path.name}"
            world.s3.client().put_object(Bucket=world.bucket(), Key=place, Body=path.read_bytes())
            there.add(name)


def bentoml(project: Project, world: World) -> None:
    """`bentoml` stands on the PATH of its home."""
    (project.folder.parent / "bentoml").symlink_to(world.bentoml.parents[1])
