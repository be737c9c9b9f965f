"""The model folder: an MLflow model whose every byte is repeatable, and which needs nobody but itself."""

import io
import json
import py_compile
import re
import runpy
import subprocess
import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode

from stages.model import serving
from tests.people.project import REPOSITORY
from tests.unit.stages.model import models

FAMILIES = list(models.SETTINGS)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / request.param
    models.write(folder, request.param)
    return folder


def test_the_same_model_gives_the_same_bytes_wherever_it_is_written(folder, tmp_path):
    other = tmp_path / "élsewhere" / "model"
    models.write(other, folder.name)
    assert contents(other) == contents(folder)


def test_it_holds_these_files_and_no_other(folder):
    file = "model.ubj" if folder.name == "xgboost" else "model.skops"
    assert sorted(contents(folder)) == sorted(
        [
            file,
            "MLmodel",
            "load_serving.zip",
            "python_env.yaml",
            "requirements.txt",
            "schema.json",
            "serving.py",
        ]
    )
    assert not list(folder.parent.glob(".*"))


def test_nothing_in_it_names_a_time_a_place_or_an_id(folder):
    for name, content in contents(folder).items():
        assert b"pickle" not in content.replace(b"no pickle", b""), name
        assert str(folder.parent).encode() not in content, name
        assert not re.search(rb"uuid|utc_time|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}", content), name
        assert not re.search(rb"20\d\d-[01]\d-[0-3]\d", content), name
        assert b"/home/" not in content, name


def test_what_it_needs_is_pinned_from_the_lock(folder):
    library = ["xgboost"] if folder.name == "xgboost" else ["scikit-learn", "skops"]
    names = sorted(["mlflow", "numpy", "pandas", *library])
    assert (folder / "requirements.txt").read_text() == "".join(f"{name}==1.0\n" for name in names)


def test_mlflow_loads_it_and_gives_the_same_probabilities(folder):
    raw = models.customers()
    found = mlflow.pyfunc.load_model(str(folder)).predict(raw)
    expected = serving.Model(folder).predict(raw)
    assert found.dtype == expected.dtype == np.float64
    assert np.array_equal(found, expected)
    assert expected.shape == (200,)
    assert ((expected >= 0) & (expected <= 1)).all()
    assert len(set(expected)) > 5


def test_the_probabilities_are_those_of_the_fitted_model(folder):
    model, learn = models.fit(folder.name), models.sample()
    if folder.name == "xgboost":
        expected = model.predict(xgboost.DMatrix(learn.frame, enable_categorical=True))
    else:
        expected = model.predict_proba(serving.one_hot(learn.frame))[:, 1]
    assert np.array_equal(serving.Model(folder).predict(models.customers()), expected.astype("float64"))


def test_the_signature_names_every_column(folder):
    signature = mlflow.pyfunc.load_model(str(folder)).metadata.signature
    assert signature.inputs.input_names() == sorted(models.COLUMNS)
    assert signature.outputs.input_names() == ["churn_probability"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("tenure", ["5", "6"]),
        ("tenure", [None, 1]),
        ("fee", [float("inf"), 1.0]),
        ("it's a plan", ["3", "1"]),
    ],
)
def test_an_error_reaches_mlflow_as_an_invalid_parameter(folder, column, values):
    loaded, raw = mlflow.pyfunc.load_model(str(folder)), models.customers(2).assign(**{column: values})
    with pytest.raises(MlflowException, match=f"column {re.escape(column)} .*row 1") as error:
        loaded.predict(raw)
    assert error.value.error_code == ErrorCode.Name(INVALID_PARAMETER_VALUE)


def test_a_missing_column_reaches_mlflow_as_an_error(folder):
    """In serving.py's own words: MLflow would list its whole signature first."""
    with pytest.raises(MlflowException, match=r"^these .*: column tenure is missing$"):
        mlflow.pyfunc.load_model(str(folder)).predict(models.customers(2).drop(columns="tenure"))


def test_no_customers_have_no_probabilities(folder):
    assert serving.Model(folder).predict(models.customers(0)).shape == (0,)


def test_two_versions_in_one_process_use_each_its_own_serving(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for version in (old, new):
        models.write(version)
    source = (old / "serving.py").read_text()
    (old / "serving.py").write_text(source.replace('.astype("float64")', '.astype("float64") * 0 + 7'))
    first, second = (mlflow.pyfunc.load_model(str(version)) for version in (old, new))
    raw = models.customers(3)
    assert first.predict(raw).tolist() == [7, 7, 7]
    assert second.predict(raw).tolist() == serving.Model(new).predict(raw).tolist()
    assert first.predict(raw).tolist() == [7, 7, 7]


def plant(folder: Path) -> None:
    """Byte code as if it were that of a folder's Python files, and modules under the names of others."""
    for name in ("serving", "load_serving", "json"):
        planted = folder.parent / "planted.py"
        planted.write_text("raise SystemExit('planted')\n")
        for place in (f"{name}.pyc", f"__pycache__/{name}.{sys.implementation.cache_tag}.pyc"):
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(planted), str(folder / place), invalidation_mode=mode)
    for name in ("load_serving", "xgboost"):
        (folder / f"{name}.py").write_text("raise SystemExit('planted')\n")


@pytest.mark.real
@pytest.mark.parametrize("how", ["mlflow", "predictflow"])
def test_no_byte_code_or_module_that_lies_in_it_is_run(tmp_path, how):
    folder = tmp_path / "model"
    models.write(folder)
    raw = tmp_path / "raw.csv"
    models.customers().to_csv(raw, index=False)
    program = {
        "mlflow": "import mlflow.pyfunc as m; score = m.load_model(sys.argv[2]).predict",
        "predictflow": "from predictflow.scoring.model import scorer; score = scorer(Path(sys.argv[2]))",
    }[how]
    program = (
        f"import sys; from pathlib import Path; import pandas; {program};"
        " print(score(pandas.read_csv(sys.argv[1])).round(9).tolist())"
    )
    words = [sys.executable, "-W", "ignore", "-c", program, str(raw), str(folder)]
    told = [subprocess.run(words, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout]
    plant(folder)
    told.append(subprocess.run(words, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout)
    assert told[0] == told[1]
    assert json.loads(told[0]) == serving.Model(folder).predict(pd.read_csv(raw)).round(9).tolist()


@pytest.mark.parametrize(
    "folder",
    [name if name == "xgboost" else pytest.param(name, marks=pytest.mark.real) for name in FAMILIES],
    indirect=True,
)
def test_it_scores_customers_without_this_project_or_mlflow(folder, tmp_path):
    raw = tmp_path / "raw.csv"
    models.customers().to_csv(raw, index=False)
    program = (
        "import sys, json, pandas; sys.modules['mlflow'] = sys.modules['stages'] = None;"
        "from serving import Model;"
        "print(json.dumps(Model('.').predict(pandas.read_csv(sys.argv[1])).tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, str(raw)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == serving.Model(folder).predict(pd.read_csv(raw)).tolist()


@pytest.mark.real
def test_its_serving_code_scores_a_file_without_this_project_or_mlflow(folder, tmp_path):
    models.customers().to_csv(tmp_path / "raw.csv", index=False)
    program = (
        "import sys, runpy; sys.modules['mlflow'] = sys.modules['stages'] = None;"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [sys.executable, "-B", "-c", program, str(folder / "serving.py"), "raw.csv"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert scores(done.stdout) == serving.Model(folder).predict(models.customers()).tolist()


def scores(told: str) -> list[float]:
    """The probabilities that serving.py has printed."""
    found = pd.read_csv(io.StringIO(told))
    assert list(found) == ["churn_probability"]
    return found["churn_probability"].tolist()


@pytest.fixture
def run_serving(folder, tmp_path, monkeypatch):
    """Run a folder's serving.py on files that lie in tmp_path."""

    def run(*names: str) -> None:
        monkeypatch.setattr(sys, "argv", ["serving.py", *(str(tmp_path / name) for name in names)])
        runpy.run_path(str(folder / "serving.py"), run_name="__main__")

    return run


def test_its_serving_code_scores_a_csv_and_parquet_alike(folder, tmp_path, run_serving, capsys):
    models.customers().to_csv(tmp_path / "raw.csv", index=False)
    models.customers().to_parquet(tmp_path / "raw.parquet")
    for name in ("raw.csv", "raw.parquet"):
        run_serving(name)
        assert scores(capsys.readouterr().out) == serving.Model(folder).predict(models.customers()).tolist()


HEADER = "tenure,fee,it's a plan\n"
UNSCORABLE = {
    "a text for a number": (f"{HEADER}1,2,1\n1,abc,2\n", "fee is no finite number in row 2 ('abc')"),
    "an unknown category": (f"{HEADER}1,2,01\n", "is none of 1, 2, Größe in row 1 ('01')"),
    "a word for a missing one": (f"{HEADER}NA,2,1\n", "tenure is no finite number in row 1 ('NA')"),
    "a missing column": ("tenure,it's a plan\n1,1\n", "column fee is missing"),
    "an empty file": ("", "No columns to parse"),
    "too many fields": (f"{HEADER}1,2,1\n1,2,1,4\n", "Expected 3 fields in line 3, saw 4"),
    "no file": (None, "No such file or directory"),
}


@pytest.mark.parametrize("folder", ["xgboost"], indirect=True)
@pytest.mark.parametrize(("text", "told"), UNSCORABLE.values(), ids=UNSCORABLE.keys())
def test_its_serving_code_refuses_a_file_in_one_line(tmp_path, run_serving, capsys, text, told):
    if text is not None:
        (tmp_path / "raw.csv").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:  # with a text: Python prints it, and ends with 1
        run_serving("raw.csv")
    assert re.fullmatch(rf"ERROR: .*{re.escape(told)}.*", ended.value.code)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("folder", ["xgboost"], indirect=True)
@pytest.mark.parametrize("names", [[], ["raw.txt"], ["raw.csv", "other.csv"]])
def test_its_serving_code_wants_one_file_of_a_kind_that_it_reads(run_serving, names):
    with pytest.raises(SystemExit, match=r"ERROR: name one file of customers, \.csv or \.parquet"):
        run_serving(*names)


def test_a_folder_is_written_in_place_of_the_one_that_is_there(tmp_path):
    models.write(tmp_path / "model", "random_forest")
    (tmp_path / "model/left_over").touch()
    models.write(tmp_path / "model", "xgboost")
    assert "model.skops" not in contents(tmp_path / "model")
    assert "left_over" not in contents(tmp_path / "model")


def test_a_model_that_cannot_be_written_leaves_the_one_that_is_there(tmp_path):
    models.write(tmp_path / "model")
    before = contents(tmp_path / "model")

    class Unwritable:
        def save_raw(self, _: str) -> bytes:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        models.write(tmp_path / "model", "xgboost", Unwritable())
    assert contents(tmp_path / "model") == before
