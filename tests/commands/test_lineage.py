"""Every handle leads to its model, and every file to the models made from it, whatever else is lost."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from predictflow.lineage.gaps import ForgivingStore
from tests.people.history import History, Made

DATA = "data/customers.csv"


@pytest.fixture(scope="session")
def folders(history_template: Path) -> Path:
    """{run's id}/artifacts/model: the folders of all models, as a server might have them."""
    return history_template / "project/mlflow_data/artifacts"


def unwrapped(said: str) -> str:
    """A tree as one line."""
    return " ".join(said.translate(str.maketrans("│├└─", "    ")).split())


def git_handles(made: Made, folders: Path, elsewhere: Path) -> list[str]:
    """What names a committed model without MLflow."""
    folder = elsewhere / made.name
    if not folder.exists():
        shutil.copytree(folders / made.run / "artifacts/model", folder)
        shutil.copyfile(folder / "model.ubj", elsewhere / f"{made.name}.ubj")
        (folder / "registered_model_meta").write_text("what MLflow adds to a download\n")
    model = made.md5s["models/churn-predictor/model.ubj"]
    named = {
        "first": ["v1", "refs/tags/v1"],
        "other data": ["light"],
        "on a branch": ["feature"],
        "all at once": ["main", "HEAD", "HEAD~0"],
        "shallow": ["shallow"],
    }.get(made.name, [])
    assert made.commit
    return [
        *named,
        *(made.commit, made.commit[:8], made.content, made.content[:10], model, model[:10]),
        *(str(folder), str(elsewhere / f"{made.name}.ubj")),
    ]


def store_handles(made: Made) -> list[str]:
    """What names a model in MLflow."""
    handles = [made.run, made.run[:10]]
    if made.version:
        handles += [f"churn-predictor/{made.version}", f"models:/churn-predictor/{made.version}"]
    return handles


def hold_git(answer: dict, made: Made, *, cached: bool | None) -> None:
    """What Git and DVC know of a model."""
    assert answer["model"]["content"] == made.content
    assert answer["model"]["files"] == {
        path: md5 for path, md5 in made.md5s.items() if path.startswith("models/churn-predictor/")
    }
    assert (answer["commit"] or {}).get("sha") == made.commit
    assert (answer["data"]["md5"], answer["data"]["cached"]) == (made.md5s[DATA], cached)
    assert {file["path"]: file["md5"] for file in answer["prepared"]} == {
        path: md5 for path, md5 in made.md5s.items() if path.endswith(".parquet")
    }
    for name, value in made.params.items():
        assert str(answer["params"][name]) == str(value)
    assert answer["metrics"].items() >= made.metrics.items()
    if made.commit:
        assert answer["data"]["rows"] == made.rows
        assert answer["rebuild"][0].split()[-1] == made.commit


def hold_store(answer: dict, made: Made) -> None:
    """What MLflow knows of it."""
    assert [run["id"] for run in answer["runs"]] == [made.run]
    assert answer["runs"][0]["experiment"] == made.experiment
    assert answer["runs"][0]["status"] == "FINISHED"
    assert answer["runs"][0]["metrics"].items() >= made.metrics.items()
    numbers = [version["name"] for version in answer["versions"]]
    assert numbers == ([f"churn-predictor/{made.version}"] if made.version else [])


@pytest.mark.real
def test_every_handle_leads_to_the_experiment_and_the_data(history: History, folders, tmp_path):
    for made in history.made.values():
        handles = store_handles(made) if made.commit is None else git_handles(made, folders, tmp_path)
        for handle in [*handles, *store_handles(made)]:
            answer = history.answer("lineage", handle)
            hold_git(answer, made, cached=True)
            hold_store(answer, made)


def test_aliases_stages_and_the_newest_version_are_handles(history: History):
    staged = history.made["never committed"]
    for handle in (
        "churn-predictor@staging",
        "models:/churn-predictor@staging",
        "models:/churn-predictor/Staging",
        "churn-predictor/staging",
        "models:/churn-predictor/latest",
    ):
        answer = history.answer("lineage", handle)
        assert answer["model"]["content"] == staged.content
        assert answer["versions"][0] | {"registered": "", "run": ""} == {
            "name": f"churn-predictor/{staged.version}",
            "stage": "Staging",
            "aliases": ["staging"],
            "registered": "",
            "run": "",
        }


def test_without_a_handle_it_is_the_model_of_the_working_tree(history: History):
    assert history.answer("lineage")["model"]["content"] == history.made["all at once"].content
    history.project.run("git", "checkout", "--quiet", "feature")
    assert history.answer("lineage")["model"]["content"] == history.made["on a branch"].content


def test_a_model_is_told_with_every_branch_tag_and_experiment_that_has_it(history: History):
    def where(name: str) -> dict[str, list[str]]:
        answer = history.answer("lineage", history.made[name].content)
        return {key: answer[key] for key in ("branches", "tags", "experiments", "earlier_in")}

    nowhere = {"branches": [], "tags": [], "experiments": [], "earlier_in": []}
    assert where("first") == nowhere | {"tags": ["v1"], "earlier_in": ["feature", "main", "light"]}
    assert where("shallow") == nowhere | {"experiments": ["shallow"]}
    assert where("other data") == nowhere | {"tags": ["light"], "earlier_in": ["feature", "main"]}
    assert where("on a branch") == nowhere | {"branches": ["feature"], "earlier_in": ["main"]}
    assert where("all at once") == nowhere | {"branches": ["main"]}
    assert where("never committed") == nowhere


def test_a_file_leads_to_every_model_made_from_it(history: History):
    for made in history.made.values():
        of_data = {one.content for one in history.made.values() if one.md5s[DATA] == made.md5s[DATA]}
        for handle in (made.md5s[DATA], made.md5s[DATA][:9]):
            answer = history.answer("lineage", handle)
            assert {model["content"] for model in answer["models"]} == of_data
        assert history.answer("lineage", made.content, "--down")["models"] == answer["models"]
        (told,) = [model for model in answer["models"] if model["content"] == made.content]
        assert told["commit"] == made.commit
        assert told["runs"] == [made.run]
        assert told["experiments"] == ([made.experiment] if made.experiment else [])
        assert [one["name"] for one in told["versions"]] == (
            [f"churn-predictor/{made.version}"] if made.version else []
        )
        assert told["metrics"].items() >= made.metrics.items()
    assert history.answer("lineage", DATA)["models"] == history.answer("lineage", made.md5s[DATA])["models"]


def test_code_and_environment_lead_to_the_models_made_with_them(history: History):
    everything = {made.content for made in history.made.values()}
    in_store = {history.made["never committed"].content}
    answer = history.answer("lineage", "requirements.lock")
    assert {model["content"] for model in answer["models"]} == everything
    (changed,) = {
        md5
        for name in ("all at once",)
        for path, md5 in history.answer("lineage", history.made[name].content)["code"].items()
        if path == "stages/model/families.py"
    }
    answer = history.answer("lineage", changed)
    assert {model["content"] for model in answer["models"]} == {history.made["all at once"].content}
    assert in_store.isdisjoint(model["content"] for model in answer["models"])


def test_a_file_is_told_with_its_own_size_whatever_lay_at_its_path_before(history: History):
    path, sizes = "stages/model/families.py", set()
    for name in ("first", "all at once"):
        made = history.made[name]
        text = history.project.run("git", "show", f"{made.commit}:{path}").stdout
        md5 = history.answer("lineage", made.content)["code"][path]
        assert history.answer("lineage", md5)["file"]["size"] == len(text.encode())
        sizes.add(len(text.encode()))
    assert len(sizes) == 2


@pytest.mark.real
def test_without_the_store_git_answers_and_says_what_is_missing(history: History, folders, tmp_path):
    shutil.rmtree(history.project.folder / "mlflow_data")
    for made in history.committed:
        for handle in git_handles(made, folders, tmp_path):
            answer = history.answer("lineage", handle)
            hold_git(answer, made, cached=True)
            assert (answer["runs"], answer["versions"]) == ([], [])
            assert any("mlflow.db is not there" in unseen for unseen in answer["not_looked_at"])
        for handle in store_handles(made):
            said = history.told("lineage", handle, code=2)
            assert "not looked at" in said and "mlflow.db is not there" in said
        answer = history.answer("lineage", made.md5s[DATA])
        assert {model["content"] for model in answer["models"]} == {
            one.content for one in history.committed if one.md5s[DATA] == made.md5s[DATA]
        }
    history.told("lineage", history.made["never committed"].content, code=2)
    assert not (history.project.folder / "mlflow_data").exists(), "a reader makes no store"


def test_without_the_store_what_it_alone_tells_is_not_known(history: History):
    made = history.made["shallow"]
    shutil.rmtree(history.project.folder / "mlflow_data")
    said = unwrapped(history.told("lineage", made.content))
    assert "version MLflow's versions are not known" in said
    assert "experiment shallow · MLflow's runs are not known" in said
    assert history.answer("lineage", made.content)["store_answers"] is False
    said = history.told("lineage", made.content, "--down")
    of_data = [one for one in history.committed if one.md5s[DATA] == made.md5s[DATA]]
    assert said.count("not known") == len(of_data)
    assert f"{len(of_data)} models made from it that Git knows" in said
    said = history.told("experiments", code=2)
    assert "not known" in said and "none" not in said and "has no run" not in said


# --- What MLflow says of a run ---------------------------------------------------------------------------


def rewrite(history: History, table: str, run: str, key: str, value: object) -> None:
    """Let MLflow's database say something else of a run."""
    with closing(sqlite3.connect(history.project.folder / "mlflow_data/mlflow.db")) as store:
        if table == "tags":
            store.execute(
                "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", (key, value, run)
            )
        else:
            words = f"UPDATE {table} SET value = ? WHERE key = ? AND run_uuid = ?"
            assert store.execute(words, (value, key, run)).rowcount == 1
        store.commit()


def test_what_git_knows_of_a_run_is_agreed_to(history: History):
    for made in history.committed:
        (run,) = history.answer("lineage", made.content)["runs"]
        assert (run["otherwise"], run["mlflow_alone"]) == ([], []), made.name
    (run,) = history.answer("lineage", history.made["never committed"].content)["runs"]
    assert run["mlflow_alone"] == ["commit", "metrics", "params"]
    said = history.told("lineage", history.made["never committed"].content)
    assert "MLflow alone says: commit," in unwrapped(said)


@pytest.mark.parametrize(
    ("table", "key", "value", "otherwise", "alone"),
    [
        ("latest_metrics", "roc_auc", 0.999, "its roc_auc is 0.999, in Git", []),
        ("params", "models.xgboost.rounds", "7", "its models.xgboost.rounds is 7, in Git 30", []),
        ("tags", "dvc.exp_name", "shallow", "its experiment is shallow, which holds", ["experiment"]),
        ("tags", "dvc.exp_name", "deep", None, ["experiment"]),
        ("tags", "git.commit", "d" * 40, None, ["commit"]),
    ],
)
def test_what_mlflow_says_otherwise_than_git_is_told(history: History, table, key, value, otherwise, alone):
    made = history.made["first"]
    rewrite(history, table, made.run, key, value)
    (run,) = history.answer("lineage", made.content)["runs"]
    assert run["mlflow_alone"] == alone
    assert [told.startswith(otherwise) for told in run["otherwise"]] == ([True] if otherwise else [])
    said = unwrapped(history.told("lineage", made.content))
    assert ("NOT AS GIT HAS IT" in said) is bool(otherwise)


def test_what_a_receipt_says_of_a_run_is_held_against_mlflow(promoted: History):
    made = promoted.made["other data"]
    (run,) = promoted.answer("lineage", made.content)["runs"]
    assert (run["otherwise"], run["mlflow_alone"]) == ([], [])
    rewrite(promoted, "tags", made.run, "git.commit", "e" * 40)
    (run,) = promoted.answer("lineage", made.content)["runs"]
    (told,) = run["otherwise"]
    assert "its commit is eeee" in told and "the receipt churn-predictor@v" in told


def test_without_the_cache_git_answers_and_says_so(history: History):
    shutil.rmtree(history.project.folder / ".dvc/cache")
    for made in history.committed:
        answer = history.answer("lineage", made.content)
        hold_git(answer, made, cached=False)
        hold_store(answer, made)


def test_a_bare_clone_answers_which_data(history: History, folders, tmp_path):
    bare = tmp_path / "bare.git"
    history.project.run("git", "clone", "--quiet", "--mirror", str(history.project.folder), str(bare))
    for made in history.committed:
        for handle in git_handles(made, folders, tmp_path):
            answer = history.answer("--repo", str(bare), "lineage", handle)
            hold_git(answer, made, cached=None)
        answer = history.answer("--repo", str(bare), "lineage", made.md5s[DATA])
        assert {model["content"] for model in answer["models"]} == {
            one.content for one in history.committed if one.md5s[DATA] == made.md5s[DATA]
        }
    newest = history.made["all at once"]
    assert history.answer("--repo", str(bare), "lineage")["model"]["content"] == newest.content
    assert history.answer("--repo", str(bare), "lineage", DATA)["file"]["md5"] == newest.md5s[DATA]


def test_paths_begin_in_the_folder_that_one_stands_in(history: History):
    answer = history.project.run(
        "sh", "-c", "cd models && python -m predictflow.cli lineage churn-predictor/model.ubj --json",
        env={"PYTHONPATH": str(history.project.folder)},
    )  # fmt: skip
    assert history.made["all at once"].content in answer.stdout


def record(history: History, change: Callable[[dict], None], message: str) -> str:
    """Commit another content: HEAD's, with a change in its {path: md5}; the content."""
    folder = history.project.folder
    provenance = folder / "models/provenance.json"
    before = hashlib.md5(provenance.read_bytes()).hexdigest()
    *files, last = json.loads(provenance.read_text())
    md5s = {entry["path"]: entry["md5"] for entry in files}
    change(md5s)
    files = [{"path": path, "md5": md5} for path, md5 in md5s.items()]
    provenance.write_text(json.dumps([*files, last]))
    content = hashlib.md5(provenance.read_bytes()).hexdigest()
    history.project.edit("dvc.lock", before, content)
    history.project.run("git", "add", "dvc.lock", "models/provenance.json")
    history.project.run("git", "commit", "--quiet", "-m", message)
    return content


def test_what_several_models_share_is_answered(promoted: History):
    made = promoted.made["other data"]
    model = made.md5s["models/churn-predictor/model.ubj"]
    index = "data/prepared/train.index"
    promoted.project.run("git", "checkout", "--quiet", "--force", "-b", "again", "light")
    other = record(promoted, lambda md5s: md5s.update({index: "0" * 32}), "another index")
    newest = promoted.project.run("git", "rev-parse", "HEAD").stdout.strip()
    for left in ("store", "receipts"):
        for handle in (model, model[:10]):
            answer = promoted.answer("lineage", handle)
            assert answer["same"] == {"experiment": True, "data": True}
            assert answer["data"]["md5"] == made.md5s[DATA]
            assert answer["metrics"] == promoted.answer("lineage", made.content)["metrics"]
            contents = [told["content"] for told in answer["models"]]
            assert contents == [made.content, other], f"by the {left}: production first, then the newest"
            assert [told["commit"] for told in answer["models"]] == [made.commit, newest]
            assert [told["differs"].keys() for told in answer["models"]] == [{index}, {index}]
        shutil.rmtree(promoted.project.folder / "mlflow_data", ignore_errors=True)
    said = " ".join(promoted.told("lineage", model).split())
    assert (
        "2 models have this file" in said
        and "data each model has learned from these" in said
        and index in said
        and made.md5s[DATA] in said
    )
    down = promoted.answer("lineage", model, "--down")
    assert {made.content, other} <= {told["content"] for told in down["models"]}
    assert "may be any of 2" in promoted.told("diff", model, code=2), "a comparison needs one"


@pytest.mark.parametrize("what", ["experiment", "data"])
def test_where_models_with_the_same_file_differ_no_one_answer_is_given(history: History, what):
    made = history.made["all at once"]
    model = made.md5s["models/churn-predictor/model.ubj"]
    if what == "data":
        record(history, lambda md5s: md5s.update({DATA: "0" * 32}), "other data")
    else:
        record(history, lambda md5s: md5s.update({"requirements.lock": "0" * 32}), "a new environment")
        history.project.run("git", "update-ref", f"refs/exps/{'0' * 2}/{'0' * 38}/again", "HEAD")
    answer = history.answer("lineage", model, code=2)
    assert answer["same"] == {"experiment": True, "data": True} | {what: False}
    assert (answer["data"] is None) == (what == "data")
    assert len(answer["models"]) == 2
    said = unwrapped(history.told("lineage", model, code=2))
    no = {"experiment": "not the same for each model", "data": "not each has learned from the same customers"}
    assert f"{what} {no[what]}" in said


def test_what_all_models_share_is_listed_with_each_of_them(history: History):
    answer = history.answer("lineage", "models/churn-predictor/MLmodel", code=2)
    assert {told["content"] for told in answer["models"]} == {made.content for made in history.committed}
    assert answer["same"] == {"experiment": False, "data": False}
    said = history.told("lineage", "models:/churn-predictor/Archived", code=2)
    assert "may be any of 6" in said, "a stage names versions, no bytes that they share"


def test_what_is_unknown_says_where_was_looked(history: History, tmp_path):
    said = history.told("lineage", "nonsense", code=1)
    for where in ("file", "branch, tag or commit", "experiment", "run"):
        assert f"no {where}" in said.replace("no file or folder", "no file")
    assert "Cure: " in said
    assert "no registered version churn-predictor/99" in history.told("lineage", "churn-predictor/99", code=1)

    (history.project.folder / "data/customers.csv").write_text("edited\n")
    said = history.told("lineage", "data/customers.csv", code=1)
    assert "which no dvc.lock and no run names; `dvc add data/customers.csv` records an edit" in unwrapped(
        said
    )


def test_a_model_that_was_edited_is_told_with_the_file_that_differs(history: History, folders, tmp_path):
    made = history.made["first"]
    shutil.copytree(folders / made.run / "artifacts/model", tmp_path / "edited")
    with (tmp_path / "edited/model.ubj").open("ab") as file:
        file.write(b" ")
    said = history.told("lineage", str(tmp_path / "edited"), code=1)
    assert "differs in model.ubj" in said


def test_a_run_is_found_by_its_id_without_reading_all_others(history: History):
    """Of a hundred thousand at a server that takes minutes; a part of an id may be an md5's as well."""
    made, read = history.made["first"], ForgivingStore.md5s
    with mock.patch.object(ForgivingStore, "md5s", autospec=True, side_effect=read) as asked:
        assert history.answer("lineage", made.run)["model"]["content"] == made.content
        assert not asked.called
        assert history.answer("lineage", made.run[:12])["model"]["content"] == made.content
        assert asked.called


def test_a_run_that_made_no_model_is_told_as_that(history: History):
    store = history.project.store
    run = store.create_run(store.get_experiment_by_name("churn-prediction").experiment_id)
    store.set_terminated(run.info.run_id, "FAILED")
    said = history.told("lineage", run.info.run_id, code=1)
    assert f"run {run.info.run_id} is FAILED and made no model" in said


def test_a_version_registered_by_other_means_is_known_by_its_run(history: History):
    made = history.made["shallow"]
    store = history.project.store
    store.create_registered_model("by-hand")
    store.create_model_version("by-hand", "file:///nowhere", made.run)
    answer = history.answer("lineage", "by-hand/1")
    assert answer["model"]["content"] == made.content
    assert [version["name"] for version in answer["versions"]] == ["by-hand/1"]


def test_the_terminal_shows_the_whole_way(history: History):
    made = history.made["other data"]
    for width in ("80", "200"):
        said = history.ask("lineage", f"churn-predictor/{made.version}", COLUMNS=width)
        assert max(map(len, said.splitlines())) <= int(width)
        whole = unwrapped(said)
        for fact in (
            made.content,
            made.run,
            made.commit[:10],
            made.md5s[DATA],
            f"{made.rows} rows",
            "rebuild",
        ):
            assert fact in whole
        assert "\x1b" not in said, "no colours in a file"
