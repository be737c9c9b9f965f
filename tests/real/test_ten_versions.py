"""Ten versions over changed data, params, code and one changed lock, all made again to the byte."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from predictflow.adapters.git import Repository
from predictflow.adapters.mlflow_entities import REBUILT_TAG
from predictflow.adapters.processes import Children, package_index
from predictflow.ledger.chain import read_chain
from predictflow.ledger.rebuilds import read_rebuilds
from predictflow.reproduction import environments
from stages.support.environment import pins
from tests.people import customers
from tests.people.processes import answers, begun, free_port
from tests.people.project import BIN, Project
from tests.people.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

BUCKET = "predictflow-dvc-cache"
MOTO = ("moto[server]==5.2.5", "botocore==1.43.117")
LONG = 2700  # seconds: ten rebuilds
OTHER = "tqdm==4.67.1"  # another version of a package, one that decides no byte


def uv(*words: str, **how: object) -> subprocess.CompletedProcess:
    """uv with the index and the cache of whoever runs the tests."""
    env = os.environ | package_index()
    return subprocess.run([BIN / "uv", *words], env=env, text=True, capture_output=True, check=True, **how)


@pytest.fixture
def project(members: Project) -> Project:
    """The members' project, whose environments come from the packages that are here already."""
    members.env |= package_index() | {"UV_CACHE_DIR": uv("cache", "dir").stdout.strip()}
    return members


@pytest.fixture
def s3(tmp_path: Path) -> str:
    """The address of an S3 server on this machine, with an empty bucket."""
    port = free_port()
    server = tmp_path / "moto"
    uv("venv", "--quiet", str(server))
    uv("pip", "install", "--quiet", "--python", str(server / "bin/python"), *MOTO)
    url, told = f"http://127.0.0.1:{port}", tmp_path / "moto.log"
    words = (server / "bin/moto_server", "-H", "127.0.0.1", "-p", str(port))
    with told.open("w") as log, begun(words, tmp_path, os.environ, stdout=log, stderr=log) as process:
        until(lambda: answers(f"{url}/moto-api/", process, told), "the S3 server")
        yield url


def relocked(lock: str) -> str:
    """A requirements.lock with another version of one package, and its hashes."""
    name = OTHER.partition("=")[0]
    told = uv("pip", "compile", "--quiet", "--no-deps", "--no-header", "--generate-hashes", "-", input=OTHER)
    entry = re.sub(r"\n +#.*", "", told.stdout).strip() + "\n"
    found = re.sub(rf"^{name}==(?:[^\n]*\\\n)+[^\n]*\n", lambda _: entry, lock, flags=re.MULTILINE)
    assert pins(found)[name] == OTHER.partition("==")[2] != pins(lock)[name]
    return found


def ten(project: Project) -> None:
    """Ten commits, each with the next version; the one before the last has another requirements.lock."""
    data = project.folder / "data/customers.csv"
    rows = customers.members(640)

    def new_data(frame) -> None:
        customers.write_members(data, frame)
        project.run("dvc", "add", "--quiet", "data/customers.csv")

    lock = project.read("requirements.lock")
    changes = [
        lambda: None,
        lambda: project.edit("params.yaml", "rounds: 30", "rounds: 25"),
        lambda: new_data(rows.iloc[20:]),
        lambda: project.edit("stages/model/families.py", '"seed": seed,', '"seed": seed + 1,'),
        lambda: project.edit("params.yaml", "model: xgboost", "model: logistic_regression"),
        lambda: project.edit("params.yaml", "model: logistic_regression", "model: random_forest"),
        lambda: project.edit("params.yaml", "model: random_forest", "model: hist_gradient_boosting"),
        lambda: new_data(rows.iloc[40:]),
        lambda: (project.folder / "requirements.lock").write_text(relocked(lock)),
        lambda: (project.folder / "requirements.lock").write_text(lock),
    ]
    for number, change in enumerate(changes, 1):
        change()
        if number == 10:
            project.edit("params.yaml", "model: hist_gradient_boosting", "model: xgboost")
        words, env = ["dvc", "repro"], {}
        if number == 9:
            with pytest.MonkeyPatch.context() as patch:
                for name in ("UV_CACHE_DIR", "UV_DEFAULT_INDEX"):
                    if name in project.env:
                        patch.setenv(name, project.env[name])
                prefix = environments.make(
                    project.folder, project.folder, Children(), project.folder.parent / "environment.log"
                )
            words[0] = str(prefix / "bin/dvc")
            env = {"PATH": f"{prefix / 'bin'}{os.pathsep}{project.env['PATH']}"}
        project.run(*words, env=env)
        project.commit(f"version {number}")
    assert len(project.versions()) == 10


def rebuild_all(project: Project, threads: int) -> None:
    done = subprocess.run(
        ["python", "-m", "predictflow.cli", "rebuild", "--all", "--jobs", "2", "--json"],
        cwd=project.folder,
        env=project.env | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert [one["verdict"] for one in told["rebuilds"]] == ["identical"] * 10
    assert [one["machine"]["threads"] for one in told["rebuilds"]] == [str(threads)] * 10
    assert len({one["content"] for one in told["rebuilds"]}) == 10
    assert len({one["requirements"] for one in told["rebuilds"]}) == 2
    assert told["not_looked_at"] == []


def test_all_ten_are_identical_with_one_thread_and_four_from_an_empty_cache_and_twice(
    project: Project, s3: str
):
    ten(project)
    settings = {
        "endpointurl": s3,
        "access_key_id": "key",
        "secret_access_key": "secret",
        "region": "us-east-1",
    }
    for name, value in settings.items():
        project.run("dvc", "remote", "modify", "--quiet", "--local", "s3remote", name, value)
    make_bucket = (
        "import boto3, sys; boto3.client('s3', endpoint_url=sys.argv[1]).create_bucket(Bucket=sys.argv[2])"
    )
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    server = project.folder.parent / "moto/bin/python"
    project.run(str(server), "-c", make_bucket, s3, BUCKET, env=keys)
    project.run("dvc", "push", "--quiet", "--all-commits")

    rebuild_all(project, threads=1)
    rebuild_all(project, threads=4)
    shutil.rmtree(project.folder / ".dvc/cache")
    (project.folder / "data/customers.csv").unlink()
    rebuild_all(project, threads=1)
    held = [path for path in (project.folder / ".dvc/cache/files").rglob("*") if path.is_file()]
    assert len(held) == 3, "the customers of the three states were fetched, and nothing else was kept"
    rebuild_all(project, threads=4)
    assert all(one.tags[REBUILT_TAG].startswith("identical ") for one in project.versions())
    repository = Repository(project.folder)
    receipts = read_rebuilds(repository, read_chain(repository, "churn-predictor"))
    counted = Counter(receipt.content for receipt in receipts if receipt.counts)
    assert list(counted.values()) == [4] * 10, "each has its receipts, though none was promoted"


def test_a_commit_rebuilt_in_its_own_environment_names_a_package_that_is_not_what_was_recorded(
    project: Project,
):
    project.repro()
    project.commit("a version")
    lock = project.read("requirements.lock")
    (project.folder / "requirements.lock").write_text(relocked(lock))
    project.commit("another package, and no dvc repro")
    words = ("python", "-m", "predictflow.cli", "rebuild", "HEAD", "--json")
    (told,) = json.loads(project.run(*words, code=1).stdout)["rebuilds"]
    name, version = OTHER.split("==")
    first = told["inputs"][0]
    assert (first["kind"], first["name"]) == ("package", name)
    assert (first["recorded"], first["found"]) == (pins(lock)[name], version)
    assert told["verdict"] == "same predictions"
