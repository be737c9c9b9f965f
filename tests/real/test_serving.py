"""The registered model behind MLflow's own server: the folder's numbers, or a clear refusal."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests

from tests.people.processes import answers, begun, free_port
from tests.people.waiting import until

CONTENT = "d41d8cd98f00b204e9800998ecf8427e"  # what a deployment has pinned, as docs/serving.md does


@pytest.fixture(scope="module")
def served(warm_template, tmp_path_factory):
    """`mlflow models serve` of the version in Staging; gives its address."""
    from tests.people.project import environment

    port = free_port()
    env = environment(tmp_path_factory.mktemp("home"))
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{warm_template}/mlflow_data/mlflow.db"
    env["UVICORN_HEADERS"] = f"model-content:{CONTENT}"
    words = "mlflow models serve --env-manager local -m models:/churn-predictor@staging --port"
    log = tmp_path_factory.mktemp("log") / "log"
    address = f"http://127.0.0.1:{port}"
    with (
        log.open("w") as said,
        begun([*words.split(), str(port)], log.parent, env, stdout=said, stderr=said) as process,
    ):
        until(lambda: answers(f"{address}/ping", process, log), "the model server")
        yield f"{address}/invocations"


@pytest.fixture(scope="module")
def members(warm_template) -> pd.DataFrame:
    """Raw members, straight from read_csv."""
    return pd.read_csv(
        warm_template / "data/customers.csv", sep=";", decimal=",", encoding="utf-16", na_values="n/a"
    )


def post(address: str, rows: pd.DataFrame) -> requests.Response:
    return requests.post(
        address,
        data='{"dataframe_split": ' + rows.to_json(orient="split", index=False) + "}",
        headers={"Content-Type": "application/json"},
        timeout=60,
    )


def test_it_answers_raw_customers_with_the_numbers_of_the_folder(served, members, warm_template):
    answer = post(served, members)
    assert answer.status_code == 200, answer.text
    folder = mlflow.pyfunc.load_model(str(warm_template / "models/churn-predictor"))
    np.testing.assert_array_equal(answer.json()["predictions"], folder.predict(members))
    assert len(set(answer.json()["predictions"])) > 100


def test_a_scored_file_has_the_numbers_that_the_server_gives(served, members, warm_template, tmp_path):
    from tests.people.project import Project

    (tmp_path / "home").mkdir()
    project = Project(warm_template, tmp_path / "home")
    scores = tmp_path / "scores.parquet"
    words = ("churn-predictor@staging", "data/customers.csv", "--output", str(scores))
    project.run("python", "-m", "predictflow.cli", "predict", *words)
    answer = post(served, members)
    assert pd.read_parquet(scores)["probability"].tolist() == answer.json()["predictions"]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("city", "Paris", "column city is none of Köln, Lyon, Łódź in row 2 ('Paris')"),
        ("visits", "many", "column visits is no finite number in row 2 ('many')"),
        ("visits", "12", "column visits is no finite number in row 2 ('12')"),
        ("visits", None, "column visits is missing and may not be in row 2"),
    ],
)
def test_a_customer_that_does_not_fit_is_refused_with_row_and_column(served, members, column, value, told):
    rows = members.head(3).astype({column: object})
    rows.loc[1, column] = value
    answer = post(served, rows)
    assert answer.status_code == 400
    assert told in answer.json()["message"]
    assert "predictions" not in answer.text


def test_each_answer_tells_the_content_that_was_pinned(served, members):
    for rows, code in ((members.head(1), 200), (members.head(1).drop(columns="plan"), 400)):
        answer = post(served, rows)
        assert (answer.status_code, answer.headers["model-content"]) == (code, CONTENT)


def test_infinity_is_refused(served, members):
    body = '{"dataframe_split": ' + members.head(1).to_json(orient="split", index=False) + "}"
    visits = int(members["visits"][0])
    assert f",{visits}," in body
    answer = requests.post(
        served,
        data=body.replace(f",{visits},", ",Infinity,", 1),
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == 400
    assert "column visits is no finite number" in answer.json()["message"]


def test_a_missing_column_is_refused(served, members):
    answer = post(served, members.head(3).drop(columns="plan"))
    assert answer.status_code == 400
    assert answer.json()["message"].endswith("these customers cannot be scored: column plan is missing")
