"""Any handle of a model scores a file with just that model, and the scores lead back to it."""

import json
import os
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from predictflow.commands.completion import complete_handle
from predictflow.commands.predict import command
from stages.support import hashes
from tests import templates
from tests.people.history import FIRST, History
from tests.people.project import Project

FILE, SCORES = "data/customers.csv", "scores.parquet"
CACHE, STORE, TREE = ".dvc/cache", "mlflow_data", "models/churn-predictor"


def predict(history: History, handle: str, *words: str, file: str = FILE, code: int = 0) -> dict:
    return history.answer("predict", handle, file, "--force", *words, code=code)


def raw(history: History, file: str = FILE) -> pd.DataFrame:
    """Members as a person reads them."""
    path = history.project.folder / file
    return pd.read_csv(path, sep=";", decimal=",", encoding="utf-16", na_values="n/a")


def scores(history: History, file: str = SCORES) -> pd.DataFrame:
    return pd.read_parquet(history.project.folder / file)


def test_the_scores_are_those_of_mlflow(history: History):
    told = predict(history, "churn-predictor@staging", code=2)
    assert "is in no commit" in told["error"]  # the version in Staging was never committed
    made = history.made["first"]
    told = predict(history, f"churn-predictor/{made.version}")
    found = scores(history)
    model = mlflow.pyfunc.load_model(str(history.files("first")))
    assert found["probability"].tolist() == model.predict(raw(history)).tolist()
    assert found["member"].tolist() == raw(history)["member"].tolist()
    assert found["decision"].tolist() == (found["probability"].round(9) >= made.metrics["threshold"]).tolist()
    assert found.sort_values("probability", ascending=False, kind="stable")["decile"].is_monotonic_increasing
    assert told | {"when": "", "output": {}} == {
        "handle": f"churn-predictor/{made.version}",
        "model": made.content,
        "commit": made.commit,
        "threshold": made.metrics["threshold"],
        "input": {"path": FILE, "md5": hashes.md5(history.project.folder / FILE)},
        "output": {},
        "rows": len(found),
        "called": found["decision"].sum(),
        "skipped": 0,
        "skipped_to": None,
        "repeated_ids": 0,
        "empty_lines": 0,
        "when": "",
        "not_looked_at": [],
    }


def test_of_the_customers_it_was_tested_on_it_calls_as_many_as_its_metrics_say(history: History):
    told = predict(history, "main", file="data/prepared/test.parquet")
    metrics = history.made["all at once"].metrics
    assert told["called"] == metrics["true_positives"] + metrics["false_positives"] > 0


@pytest.mark.real
def test_every_handle_of_a_model_gives_the_same_bytes(history: History, tmp_path):
    made = history.made["first"]
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(history.files("first"), elsewhere)
    handles = ["v1", made.commit, made.content, f"churn-predictor/{made.version}", str(elsewhere), made.run]
    assert len({predict(history, handle)["output"]["md5"] for handle in handles}) == 1
    assert predict(history, "main")["output"]["md5"] != predict(history, "v1")["output"]["md5"]


def test_how_a_csv_is_written_is_asked_of_the_model_and_not_of_today(history: History):
    before = predict(history, "v1")
    history.project.edit("params.yaml", "delimiter: ;", "delimiter: ','")
    history.project.edit("params.yaml", "encoding: utf-16", "encoding: utf-8")
    history.project.edit("params.yaml", "id: member", "id: somebody")
    assert predict(history, "v1")["output"] == before["output"]


def test_bad_rows_stop_it_and_leave_nothing_or_are_written_apart(history: History):
    folder = history.project.folder
    frame = FIRST.assign(plan=FIRST["plan"].where(FIRST.index != 41, "9"))
    frame.drop(columns="left").to_csv(folder / "new.csv", index=False, sep=";", encoding="utf-16")
    told = history.told("predict", "v1", "new.csv", code=1)
    assert "column plan is none of 1, 2, 3 in row 42 ('9')" in told
    assert "Cure: correct them, or `--skip-bad FILE`" in told
    assert not list(folder.glob("scores*")) and not list(folder.glob(".scores*"))
    told = history.told("predict", "v1", "new.csv", "--skip-bad", "bad.csv")
    assert "bad.csv 1 customers left out" in told
    assert len(scores(history)) == 599
    assert raw(history, "bad.csv")[["row", "member", "plan"]].values.tolist() == [[42, "M-41", 9]]


def test_ids_that_repeat_and_empty_lines_are_told(history: History):
    path = history.project.folder / "new.csv"
    text = pd.concat([FIRST, FIRST.head(2)]).to_csv(index=False, sep=";", lineterminator="\n")
    path.write_text(f"{text}\n\n", encoding="utf-16")
    told = history.told("predict", "v1", "new.csv")
    assert "note: 2 rows have the id of an earlier one" in told
    assert "note: 2 empty lines were left out" in told
    assert len(scores(history)) == 602


REFUSED = {
    "no file": (["none.csv"], "none.csv is not here"),
    "standard input": (["-"], "write them to a file"),
    "a folder": (["data"], "is a folder"),
    "a pipe": (["pipe.csv"], "is a pipe or a device"),
    "an empty file": (["empty.csv"], "is empty"),
    "an unknown ending": (["params.yaml"], "is neither .csv nor .parquet"),
    "scores of an unknown ending": ([FILE, "--output", "scores.xlsx"], "is neither .csv nor .parquet"),
    "scores over the customers": ([FILE, "--output", FILE, "--force"], "is what is to be scored"),
    "scores over something": ([FILE, "--output", "there.csv"], "is there already"),
    "scores in no folder": ([FILE, "--output", "none/scores.csv"], "is no folder"),
    "scores over a pipe": ([FILE, "--output", "pipe.csv", "--force"], "is no plain file"),
    "bad rows over the scores": (
        [FILE, "--output", "s.csv", "--skip-bad", "s.csv"],
        "is named for two things",
    ),
    "bad rows of an unknown ending": ([FILE, "--skip-bad", "bad.txt"], "name it .csv"),
}


def test_what_cannot_be_read_or_would_be_lost_is_refused(history: History):
    folder = history.project.folder
    (folder / "empty.csv").touch()
    (folder / "there.csv").write_text("mine")
    os.mkfifo(folder / "pipe.csv")
    before = sorted(path.name for path in folder.iterdir())
    for words, told in REFUSED.values():
        said = history.told("predict", "v1", *words, code=1)
        assert told in said and "Cure: " in said, words
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "there.csv").read_text() == "mine"


def test_a_handle_of_data_or_of_several_models_is_told(history: History):
    assert "is no model but data/customers.csv" in history.told("predict", FILE, FILE, code=1)
    shared = history.made["first"].md5s[f"{TREE}/serving.py"]
    assert "may be any of" in history.told("predict", shared, FILE, code=2)


# --- Where the model's files come from ---------------------------------------------------------------------


@pytest.fixture
def alone(history: History) -> History:
    """The history without a remote."""
    (history.project.folder / ".dvc/config").write_text("")
    return history


def lose(history: History, *paths: str) -> None:
    for path in paths:
        shutil.rmtree(history.project.folder / path, ignore_errors=True)


def test_the_files_come_from_the_cache_or_from_mlflow(history: History):
    whole = predict(history, "v1")["output"]
    lose(history, CACHE, TREE)
    assert predict(history, "v1")["output"] == whole


def test_a_model_whose_files_are_nowhere_is_told_with_its_cure(alone: History):
    lose(alone, CACHE, STORE, TREE)
    told = alone.told("predict", "v1", FILE, code=2)
    assert "is not here: MLmodel, load_serving.zip, model.ubj" in told
    assert "Cure: `dvc fetch --all-commits models/churn-predictor`" in told
    assert not (alone.project.folder / SCORES).exists()


def forge(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\nraise SystemExit('forged')\n")


def test_a_forged_file_is_never_run(alone: History):
    made = alone.made["first"]
    md5 = made.md5s[f"{TREE}/serving.py"]
    cached = alone.project.folder / CACHE / "files/md5" / md5[:2] / md5[2:]
    whole = predict(alone, "v1")["output"]
    forge(cached)
    lose(alone, TREE)
    told = predict(alone, "v1")
    assert told["output"] == whole
    assert "so it was not used" in told["not_looked_at"][0] and str(cached) in told["not_looked_at"][0]
    lose(alone, STORE)
    told = alone.told("predict", "v1", FILE, "--force", code=2)
    assert "is not here: serving.py" in told
    assert f"its md5 is {hashes.md5(cached)}, not {md5}" in told


def test_a_forged_folder_is_no_handle(history: History, tmp_path):
    shutil.copytree(history.files("first"), tmp_path / "model")
    forge(tmp_path / "model/serving.py")
    told = history.told("predict", str(tmp_path / "model"), FILE, code=1)
    assert "differs in serving.py" in told


def test_the_files_come_from_the_default_remote(published_template: Path, tmp_path):
    templates.copy("published", tmp_path)
    history = History(Project(tmp_path / "project", tmp_path / "home").hurry(), {})
    (tmp_path / "home").mkdir(exist_ok=True)
    lose(history, CACHE, STORE, TREE)
    assert predict(history, "HEAD")["rows"] == 600


# --- Scores lead back to their model -----------------------------------------------------------------------


@pytest.fixture
def scored(history: History) -> History:
    """Scores of the first model: scores.parquet and scores.csv."""
    for file in (SCORES, "scores.csv"):
        predict(history, "v1", "--output", file)
    return history


def test_scores_lead_to_their_model_its_data_and_the_file_that_was_scored(scored: History, tmp_path):
    folder, made = scored.project.folder, scored.made["first"]
    (tmp_path / "away").mkdir()
    shutil.copyfile(folder / SCORES, tmp_path / "away/found")  # Parquet says it of itself
    shutil.copyfile(folder / "scores.csv", folder / "renamed.csv")
    handles = [SCORES, str(tmp_path / "away/found"), "scores.csv", "renamed.csv", "scores.csv.json"]
    for handle in [*handles, hashes.md5(folder / "scores.csv")]:
        answer = scored.answer("lineage", handle)
        assert answer["model"]["content"] == made.content, handle
        assert answer["data"]["md5"] == made.md5s[FILE]
        assert answer["scored"]["input"] == {"md5": hashes.md5(folder / FILE), "paths": [FILE]}
        assert (answer["scored"]["rows"], answer["scored"]["doubts"]) == (620, [])
        assert "what they say of themselves" in answer["scored"]["unproven"]
    assert "scored file md5" in scored.told("lineage", SCORES)


def forged_note(scored: History, **fields: object) -> None:
    path = scored.project.folder / "scores.csv.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_claim_that_git_does_not_bear_out_is_in_doubt(scored: History):
    made, other = scored.made["first"], scored.made["other data"]
    forged_note(scored, model=other.content)
    answer = scored.answer("lineage", "scores.csv", code=2)
    doubts = answer["scored"]["doubts"]
    assert f"the commit {made.commit[:10]} that it names does not hold this model" in doubts
    forged_note(scored, model=made.content, threshold=0.1)
    (doubt,) = scored.answer("lineage", "scores.csv", code=2)["scored"]["doubts"]
    assert doubt.startswith("its threshold is 0.1")
    assert "IN DOUBT: its threshold is 0.1" in scored.told("lineage", "scores.csv", code=2)
    forged_note(scored, model="0" * 32)
    assert "which nothing here knows" in scored.told("lineage", "scores.csv", code=1)


def test_a_json_that_speaks_of_other_bytes_proves_nothing(scored: History):
    path = scored.project.folder / "scores.csv"
    path.write_text(path.read_text().replace("true", "false", 1))
    assert "scores.csv.json speaks of the bytes" in scored.told("lineage", "scores.csv", code=1)
    shutil.copyfile(scored.project.folder / "scores.csv.json", scored.project.folder / f"{SCORES}.json")
    doubts = scored.answer("lineage", SCORES, code=2)["scored"]["doubts"]
    assert doubts[0].startswith("its JSON speaks of the bytes")


def test_the_shell_completes_the_handle():
    (handle, *_) = command.params
    assert (handle.name, handle._custom_shell_complete) == ("handle", complete_handle)
