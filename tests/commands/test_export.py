"""`export bentoml`: the gate first, then once, whole, under a tag that names the content.

A small program stands for the Python of BentoML's environment; the real one is asked, slowly, by
tests/real/test_serving_elsewhere.py.
"""

import shutil
import sys
from pathlib import Path

import pytest

from tests.people.history import History

MODEL = "churn-predictor"
HANDLE = f"{MODEL}@production"
IN_PRODUCTION = "other data"
IMPORTS = """\
#!/bin/sh
# Called as python -c IMPORT TAG FOLDER LABELS.
place="$BENTOML_HOME/models/$(echo "$3" | tr : /)"
mkdir -p "$place" && cp -R "$4" "$place/mlflow_model"
"""


@pytest.fixture
def store(promoted: History) -> Path:
    """BentoML's home, of the test's own."""
    folder = promoted.project.folder.parent / "bentos"
    promoted.project.env["BENTOML_HOME"] = str(folder)
    return folder


@pytest.fixture
def python(promoted: History) -> str:
    return program(promoted, IMPORTS)


def program(promoted: History, text: str) -> str:
    path = promoted.project.folder.parent / "python"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def tag(promoted: History, name: str = IN_PRODUCTION) -> str:
    made = promoted.made[name]
    return f"{MODEL}:v{made.version}-{made.content}"


def place(promoted: History, store: Path) -> Path:
    return store / "models" / tag(promoted).replace(":", "/") / "mlflow_model"


def test_a_second_export_imports_nothing(promoted: History, store: Path, python: str):
    first = promoted.answer("export", "bentoml", HANDLE, "--python", python)
    assert (first["tag"], first["imported"]) == (tag(promoted), True)
    assert sorted(path.name for path in store.iterdir()) == [".predictflow.lock", "models"]
    for handle in (HANDLE, f"{MODEL}/{promoted.made[IN_PRODUCTION].version}"):
        assert not promoted.answer("export", "bentoml", handle, "--python", "nowhere")["imported"]
    assert {path.name: path.read_bytes() for path in place(promoted, store).iterdir()} == {
        path.name: path.read_bytes() for path in promoted.files(IN_PRODUCTION).iterdir() if path.is_file()
    }


def test_a_version_that_stands_in_no_stage_is_exported_by_its_content(
    promoted: History, store: Path, python: str
):
    handle = f"{MODEL}/{promoted.made['first'].version}"
    assert promoted.answer("export", "bentoml", handle, "--python", python)["tag"] == tag(promoted, "first")


def change_a_file_in_the_registry(history: History) -> None:
    with (history.files(IN_PRODUCTION) / "serving.py").open("a") as file:
        file.write("# mine\n")


def move_the_alias(history: History) -> None:
    store, other = history.project.store, str(history.made["first"].version)
    store.set_registered_model_alias(MODEL, "production", other)
    store.transition_model_version_stage(MODEL, other, "Production", archive_existing_versions=True)


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (change_a_file_in_the_registry, "serving.py has the md5"),
        pytest.param(move_the_alias, "no version in MLflow's Production has content", marks=pytest.mark.real),
    ],
)
def test_what_the_gate_refuses_is_not_exported(
    promoted: History, store: Path, python: str, tamper, reason: str
):
    tamper(promoted)
    error = promoted.answer("export", "bentoml", HANDLE, "--python", python, code=1)["error"]
    assert reason in error
    assert not store.exists()


def test_a_stage_without_a_receipt_is_not_exported(history: History):
    """`register` puts versions in Staging by itself: by its number such a version may be handed out."""
    error = history.answer("export", "bentoml", f"{MODEL}@staging", code=1)["error"]
    assert "no receipt puts a version in staging" in error


def test_other_files_under_the_tag_are_told_with_their_cure(promoted: History, store: Path, python: str):
    promoted.told("export", "bentoml", HANDLE, "--python", python)
    (place(promoted, store) / "serving.py").write_text("forged\n")
    answer = promoted.answer("export", "bentoml", HANDLE, "--python", python, code=1)
    assert "serving.py has the md5" in answer["error"]
    assert answer["cure"].startswith(f"`rm -r {place(promoted, store).parent}`")
    shutil.rmtree(place(promoted, store).parent)
    assert promoted.answer("export", "bentoml", HANDLE, "--python", python)["imported"]


def test_an_import_that_loses_a_file_leaves_nothing_under_the_tag(promoted: History, store: Path):
    loses = program(promoted, IMPORTS + 'rm "$place/mlflow_model/schema.json"\n')
    error = promoted.answer("export", "bentoml", HANDLE, "--python", loses, code=1)["error"]
    assert "schema.json" in error
    assert not list(store.glob("models/*/*"))


def test_what_an_import_that_was_killed_has_left_is_in_nobody_s_way(
    promoted: History, store: Path, python: str
):
    left = store / ".predictflow/models" / tag(promoted).replace(":", "/")
    left.mkdir(parents=True)
    (left / "half").touch()
    assert promoted.answer("export", "bentoml", HANDLE, "--python", python)["imported"]
    assert not (place(promoted, store).parent / "half").exists()


@pytest.mark.parametrize(
    ("python", "told"),
    [
        ("../nowhere/bin/python", "there is no Python at {top}/nowhere/bin/python"),
        (sys.executable, "is this project's own, whose packages the locks decide"),
        ("another", "No module named 'bentoml'"),
    ],
)
def test_a_python_without_bentoml_is_told_with_what_to_install(
    promoted: History, store: Path, python: str, told: str
):
    other = promoted.project.python if python == "another" else python
    answer = promoted.answer("export", "bentoml", HANDLE, "--python", other, code=1)
    assert told.format(top=promoted.project.folder.parent) in answer["error"]
    assert "'bentoml>=1.4.39,<2'" in answer["cure"]
    assert sys.prefix not in answer["cure"], "nothing goes into the project's own environment"
    assert not list(store.glob("models/*/*"))


def test_where_no_bentoml_is_found_the_cure_makes_its_environment(promoted: History, store: Path):
    answer = promoted.answer("export", "bentoml", HANDLE, code=1)
    assert "no `bentoml` is on the PATH" in answer["error"]
    assert answer["cure"].startswith("`uv venv ../bentoml")


def test_the_service_names_the_tag_and_replaces_no_file_of_yours(promoted: History, store: Path, python: str):
    folder = promoted.project.folder
    words = ("export", "bentoml", HANDLE, "--python", python, "--service", "service.py")
    for _ in range(2):
        promoted.told(*words)
    service = (folder / "service.py").read_text()
    compile(service, "service.py", "exec")
    assert f'BentoModel("{tag(promoted)}")' in service
    (folder / "service.py").write_text("mine\n")
    assert "is a file of yours" in promoted.told(*words, code=1)
    assert (folder / "service.py").read_text() == "mine\n"
