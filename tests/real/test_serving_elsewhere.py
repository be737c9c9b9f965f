"""docs/serving.md with all its servers: MLServer, BentoML and the image, each in an environment of its own.

The environments are made by the page's own commands, once, and kept in the user's cache.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest
import requests

from predictflow.scoring.model import scorer
from tests.people.environments import kept_environment
from tests.people.pages import EXCUSED, Player, blocks, player, text_of
from tests.people.processes import answers, begun
from tests.people.project import WAIT, Project
from tests.people.readme import copy
from tests.people.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE = "docs/serving.md"
MODEL = "churn-predictor"
HANDLE = f"{MODEL}@production"
REFUSALS = {
    "a bad category": (
        {"contract": "Never"},
        "column contract is none of Month-to-month, One year, Two year in row 1",
    ),
    "a missing column": ({"contract": None}, "column contract is missing"),
}


def lend(project: Project, name: str, commands: str) -> Path:
    """Let a project find the environment where its page makes it."""
    kept = kept_environment(name, commands, project.folder / "models" / MODEL / "requirements.txt")
    (project.folder.parent / name).symlink_to(kept)
    return kept


@pytest.fixture(scope="module")
def page(after_the_readme: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    """Who has played the whole page; its servers still answer."""
    top = tmp_path_factory.mktemp("serving") / "top"
    copy(after_the_readme, top)
    project = Project(top / "project", top / "home")
    making = [block.text for block in blocks(text_of(PAGE)) if "uv venv" in block.text]
    for commands in making:
        (name,) = re.findall(r"uv venv \.\./(\w+)", commands)
        lend(project, name, commands)
    with player(project) as one:
        for other in ("GRPC", "METRICS"):
            one.env[f"MLSERVER_{other}_PORT"] = one.port(other)
        one.play(PAGE, {"uv venv": "", "docker build": EXCUSED["docker build"]})
        yield one


@pytest.fixture(scope="module")
def customer(page: Player) -> dict:
    return json.loads((page.project.folder / "../customer.json").read_text())


@pytest.fixture(scope="module")
def content(page: Player) -> str:
    """What stands in Production."""
    return predictflow(page, "gate", "--require", "production", HANDLE).stdout.strip()


def predictflow(page: Player, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return page.project.run("predictflow", *words, code=code)


def ask(page: Player, server: str, row: dict) -> requests.Response:
    """A server's answer on one customer."""
    records = {"dataframe_records": [row]}
    types = {str: "BYTES", int: "INT64", float: "FP64"}
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": types[type(value)], "data": [value]}
        | ({"parameters": {"content_type": "str"}} if isinstance(value, str) else {})
        for name, value in row.items()
    ]
    port, path, body = {
        "mlflow": ("5001", "invocations", records),
        "mlserver": ("5004", "invocations", records),
        "mlserver v2": ("5004", f"v2/models/{MODEL}/infer", {"inputs": inputs}),
        "bentoml": ("5003", "predict", {"rows": [row]}),
    }[server]
    return requests.post(f"http://127.0.0.1:{page.port(port)}/{path}", json=body, timeout=60)


SERVERS = ["mlflow", "mlserver", "mlserver v2", "bentoml"]


@pytest.mark.parametrize("server", SERVERS)
def test_each_server_answers_with_the_number_of_the_folder(page: Player, customer: dict, server: str):
    answer = ask(page, server, customer)
    assert answer.status_code == 200, answer.text
    (expected,) = scorer(page.project.folder / "models" / MODEL)(pd.DataFrame([customer]))
    (score,) = re.findall(r"0\.\d{6,}", answer.text)
    assert round(float(score), 9) == expected


@pytest.mark.parametrize("refused", REFUSALS)
@pytest.mark.parametrize("server", SERVERS)
def test_each_server_refuses_in_our_words(page: Player, customer: dict, server: str, refused: str):
    change, told = REFUSALS[refused]
    answer = ask(
        page, server, {name: value for name, value in (customer | change).items() if value is not None}
    )
    assert answer.status_code == 400, answer.text
    assert f"these customers cannot be scored: {told}" in answer.text
    assert "Traceback" not in answer.text


def test_each_server_tells_the_content_that_stands_in_production(page: Player, customer: dict, content: str):
    assert re.fullmatch("[0-9a-f]{32}", content)
    assert ask(page, "mlflow", customer).headers["model-content"] == content
    assert ask(page, "bentoml", customer).headers["model-content"] == content
    assert ask(page, "mlserver v2", customer).json()["model_version"] == content
    of_mlserver = f"http://127.0.0.1:{page.port('5004')}/v2/models/{MODEL}/versions"
    assert requests.get(f"{of_mlserver}/{content}/ready", timeout=60).status_code == 200
    assert requests.get(f"{of_mlserver}/{content[::-1]}/ready", timeout=60).status_code == 404


# --- The image ------------------------------------------------------------------------------------------


def test_what_the_image_runs_answers_with_the_folder_s_number_and_its_content(
    page: Player, customer: dict, content: str, tmp_path: Path
):
    """Each step but apt's, in an environment as the image's: there is no Docker daemon to build it."""
    image = page.project.folder.parent / "image"
    text = (image / "Dockerfile").read_text()
    assert "FROM python:3.11-slim" in text
    assert "COPY model_dir /opt/ml/model\n" in text
    assert f"LABEL model-content={content}\n" in text
    (installed,) = re.findall(r"^RUN (pip install mlflow==\S+)$", text, re.MULTILINE)
    (dependencies,) = re.findall(r'^RUN python -c "(.*)"$', text, re.MULTILINE)
    (entrypoint,) = re.findall(r'^ENTRYPOINT \["python", "-c", "(.*)"\]$', text, re.MULTILINE)
    env_of_image = dict(re.findall(r"^ENV (\w+)=(.*)$", text, re.MULTILINE))

    making = f"uv venv --seed ../image-python\nuv {installed} --python ../image-python"
    python = lend(page.project, "image-python", making) / "bin/python"
    env = os.environ | page.env | env_of_image | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        [python, "-c", dependencies.replace("/opt/ml/model", str(image / "model_dir"))], env=env, check=True
    )
    port = page.port("image")
    here = f"C.MODEL_PATH = {str(image / 'model_dir')!r}; C.DEFAULT_INFERENCE_SERVER_PORT = {port}; "
    env |= {"DISABLE_NGINX": "true", "MLFLOW_MODELS_WORKERS": "1"}
    log = tmp_path / "log"
    words = [python, "-c", entrypoint.replace("C._serve", f"{here}C._serve")]
    with log.open("w") as said, begun(words, tmp_path, env, stdout=said, stderr=said) as process:
        address = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{address}/ping", process, log), "the image's server")
        scored = requests.post(f"{address}/invocations", json={"dataframe_records": [customer]}, timeout=60)
        assert scored.json() == ask(page, "mlflow", customer).json()
        assert scored.headers["model-content"] == content


# --- BentoML's store ------------------------------------------------------------------------------------


@pytest.fixture
def store(page: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own."""
    monkeypatch.setitem(page.project.env, "BENTOML_HOME", str(tmp_path / "bentos"))
    return tmp_path / "bentos"


EXPORT = ("export", "bentoml", HANDLE, "--python", "../bentoml/bin/python")


def test_what_stands_in_bentoml_s_store_is_the_model_in_production(page: Player, store: Path, content: str):
    assert f"imported: {MODEL}:v1-{content}\n" == predictflow(page, *EXPORT).stdout
    assert f"stands there already: {MODEL}:v1-{content}\n" == predictflow(page, *EXPORT).stdout
    (model,) = store.glob("models/*/*/mlflow_model")
    predictflow(page, "gate", "--require", "production", str(model))
    listed = page.project.run("../bentoml/bin/bentoml", "models", "list").stdout
    assert f"v1-{content[:6]}" in listed


def test_an_import_that_was_killed_leaves_nothing_under_the_tag(page: Player, store: Path):
    """The next one imports it, by the `bentoml` on the PATH."""
    with page.project.begun("predictflow", *EXPORT):
        until(lambda: list(store.glob(".predictflow/log")), "the import")
    assert not list(store.glob("models/*/*"))
    path = f"{page.project.folder.parent / 'bentoml/bin'}{os.pathsep}{page.project.env['PATH']}"
    again = page.project.run("predictflow", "export", "bentoml", HANDLE, env={"PATH": path})
    assert "imported: " in again.stdout


def test_of_two_exports_at_once_one_imports_and_both_stand(page: Player, store: Path):
    with ExitStack() as stack:
        how = {"stdout": subprocess.PIPE, "text": True}
        both = [stack.enter_context(page.project.begun("predictflow", *EXPORT, **how)) for _ in range(2)]
        told = sorted(process.communicate(timeout=WAIT)[0].partition(":")[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert told == ["imported", "stands there already"]
