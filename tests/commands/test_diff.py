"""What differs between two models is told whole, and what could not be looked at is told too."""

import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys

import pytest

from tests.people import customers
from tests.people.history import FIRST, SECOND, THIRD, History
from tests.people.processes import begun
from tests.people.project import REPOSITORY, WAIT

SECTIONS = ["data", "columns", "params", "code", "environment", "metrics"]
FRAMES = {"first": FIRST, "other data": SECOND, "all at once": THIRD}


def truth(one, other) -> dict[str, list[str]]:
    """The customers that differ between two frames, found in another way than the command's."""
    one, other = (frame.set_index("member").sort_index(axis=1) for frame in (one, other))
    both = [id for id in other.index if id in one.index]
    return {
        "removed": [id for id in one.index if id not in other.index],
        "added": [id for id in other.index if id not in one.index],
        "changed": [id for id in both if list(one.loc[id]) != list(other.loc[id])],
    }


@pytest.mark.parametrize(
    ("a", "b", "differs"),
    [
        ("first", "shallow", ["params", "metrics"]),
        ("first", "other data", ["data", "params", "metrics"]),
        ("other data", "all at once", ["data", "params", "code", "metrics"]),
        ("all at once", "other data", ["data", "params", "code", "metrics"]),
    ],
)
def test_every_section_says_what_the_history_did(history: History, a, b, differs):
    one, other = history.made[a], history.made[b]
    answer = history.answer("diff", one.content, other.commit, code=1)
    assert answer["differs"] == differs
    assert answer["same"] == [section for section in SECTIONS if section not in differs]
    assert answer["unknown"] == answer["not_looked_at"] == []
    assert (answer["a"]["content"], answer["b"]["content"]) == (one.content, other.content)
    if "data" in differs:
        found = answer["data"]["customers"]
        assert truth(FRAMES[a], FRAMES[b]) == {key: found[key] for key in ("removed", "added", "changed")}
        assert found["unchanged"] == other.rows - len(found["added"]) - len(found["changed"])
        assert answer["data"]["rows"] == {"a": one.rows, "b": other.rows}
        assert answer["data"]["md5"] == {
            "a": one.md5s["data/customers.csv"],
            "b": other.md5s["data/customers.csv"],
        }
    made_with = {name: {"a": value} for name, value in one.params.items()}
    for name, value in other.params.items():
        made_with.setdefault(name, {})["b"] = value
    changed = {name for name, sides in made_with.items() if sides.get("a") != sides.get("b")}
    assert answer["params"].keys() == changed
    for name in changed:
        assert made_with[name].items() <= answer["params"][name].items()
    assert answer["metrics"] == {
        name: {"a": value, "b": other.metrics[name], "difference": round(other.metrics[name] - value, 9)}
        for name, value in one.metrics.items()
        if value != other.metrics[name]
    }


def test_the_command_that_is_named_shows_how_the_code_differs(history: History):
    answer = history.answer("diff", "light", "main", code=1)
    assert list(answer["code"]) == ["stages/model/families.py"]
    show = answer["code"]["stages/model/families.py"]["show"]
    shown = [line.replace(" ", "") for line in history.project.run(*show.split()).stdout.splitlines()]
    assert '-"seed":seed,' in shown and '+"seed":seed+2,' in shown
    said = history.ask("diff", "light", "main", code=1, COLUMNS="40")
    assert f"code: {show}" in said.splitlines(), "in one line, to be copied"


def test_of_a_model_that_two_codes_made_the_code_of_the_other_side_counts(history: History):
    """As after a change of the code that changes no byte of the model, and an experiment behind it."""
    project, first, other = history.project, history.made["first"], history.made["other params"]
    md5 = hashlib.md5((project.folder / "stages/support/git.py").read_bytes()).hexdigest()
    for made in (first, other):
        project.run("git", "checkout", made.commit, "--", "dvc.lock", "models", "metrics")
        project.edit("dvc.lock", md5, "0" * 32)
        project.commit("the same model, by other code")
    for words, code in [((first.commit, "HEAD"), True), ((first.content, "HEAD"), False)]:
        answer = history.answer("diff", *words, code=1)
        assert answer["b"]["content"] == other.content
        assert ("code" in answer["differs"]) is code, words
    assert "code" in history.answer("diff", "HEAD", first.content, code=1)["same"]


def test_a_model_and_itself_differ_in_nothing_under_any_of_its_names(history: History):
    first, lost = history.made["first"], history.made["never committed"]
    words = history.project.run("git", "rev-parse", "v1~0").stdout.strip()
    for a, b in [
        ("v1", words),
        ("churn-predictor/1", first.run),
        (first.content, first.md5s["models/churn-predictor/model.ubj"]),
        (lost.run, f"churn-predictor/{lost.version}"),
    ]:
        answer = history.answer("diff", a, b)
        assert answer["same"] == SECTIONS and not answer["differs"] and not answer["unknown"]
    assert history.told("diff", "v1", "v1") == f"the same: {', '.join(SECTIONS)}\n"


def test_without_the_second_it_is_the_model_of_the_working_tree(history: History):
    answer = history.answer("diff", "main")
    assert answer["b"] == {**answer["a"], "handle": None, "is": "the model of the working tree"}
    assert history.answer("diff", "v1", code=1)["b"]["content"] == history.made["all at once"].content


@pytest.mark.real
def test_every_section_is_told_in_both_directions(history: History):
    """Data, declarations, params of both kinds, code that is new, packages and metrics, all at once."""
    project = history.project
    frame = THIRD.drop(columns="remark").assign(points="5")
    customers.write_members(project.folder / "data/customers.csv", frame[frame.columns[::-1]])
    project.run("dvc", "add", "--quiet", "data/customers.csv")
    project.edit("params.yaml", "encoding: utf-16", "encoding: utf-8")
    project.commit("data that its params do not fit")
    project.edit("params.yaml", "encoding: utf-8", "encoding: utf-16")
    project.edit("params.yaml", "remark:\n      type: ignored", "points:\n      type: integer")
    project.edit("params.yaml", "min: 1.0", "min: 0.5")
    project.edit("params.yaml", "contact_cost: 50.0", "contact_cost: 40.0")
    project.edit("params.yaml", "rounds: 25", "rounds: 30")
    (project.folder / "stages/words.py").write_text("WORDS = 1\n")
    typing = "from typing import Any"
    project.edit("stages/evaluate.py", typing, f"{typing}\nfrom stages import words")
    evaluated = "      - stages/tracking/tables.py\n    params:\n      - data.target"
    added = evaluated.replace("    params", "      - stages/words.py\n    params")
    project.edit("dvc.yaml", evaluated, added)
    lock = project.read("requirements.lock")
    package = "no-package==1.0 ; sys_platform == 'none'"
    (project.folder / "requirements.lock").write_text(f"{lock}{package}\n")
    project.repro("evaluate")

    commit = history.made["all at once"].commit
    uncommitted = history.answer("diff", commit, code=1)["code"]
    assert uncommitted["stages/evaluate.py"]["show"] == f"git diff {commit[:12]} -- stages/evaluate.py"
    assert uncommitted["stages/words.py"] == {"change": "added", "show": None}, "git diff shows no new file"
    said = history.told("diff", commit, code=1)
    assert "code: Git cannot show stages/words.py as dvc.lock names it" in said.splitlines()
    project.run("git", "add", "stages")
    back = history.answer("diff", "models/provenance.json", commit, code=1)["code"]
    assert back["stages/words.py"]["show"] == f"git diff -R {commit[:12]} -- stages/words.py"
    assert "-WORDS = 1" in project.run(*back["stages/words.py"]["show"].split()).stdout
    now = project.commit("everything")

    answer = history.answer("diff", "main~2", "main", code=1)
    assert answer["differs"] == SECTIONS and answer["not_looked_at"] == []
    found = answer["data"]["customers"]
    assert (found["columns_removed"], found["columns_added"]) == (["remark"], ["points"])
    assert (found["removed"], found["added"], found["changed"], found["unchanged"]) == ([], [], [], 620)
    assert answer["columns"] == {
        "Größe (m)": {
            "a": {"max": 2.5, "min": 1.0, "nullable": True, "type": "number"},
            "b": {"max": 2.5, "min": 0.5, "nullable": True, "type": "number"},
        },
        "points": {"b": {"type": "integer"}},
        "remark": {"a": {"type": "ignored"}},
    }
    assert answer["params"] == {
        "evaluate.contact_cost": {"a": 50.0, "b": 40.0},
        "models.xgboost.rounds": {"a": 25, "b": 30},
    }
    show = f"git diff {commit[:12]} {now[:12]} -- stages/"
    assert answer["code"] == {
        "stages/evaluate.py": {"change": "changed", "show": f"{show}evaluate.py"},
        "stages/words.py": {"change": "added", "show": f"{show}words.py"},
    }
    assert "+WORDS = 1" in project.run(*f"{show}words.py".split()).stdout
    md5s = [hashlib.md5(text.encode()).hexdigest() for text in (lock, f"{lock}{package}\n")]
    assert answer["environment"] == {
        "md5": dict(zip("ab", md5s, strict=True)),
        "packages": {"no-package": {"b": "1.0 ; sys_platform == 'none'"}},
    }
    assert "profit_per_customer" in answer["metrics"]

    alone = history.answer("diff", "main~2", "data/customers.csv", code=1)
    assert alone["data"] == answer["data"], "customers are read as the model made from them read them"
    back = history.answer("diff", "main", "main~2", code=1)
    assert back["code"]["stages/words.py"]["change"] == "removed"
    assert back["columns"]["points"] == {"a": {"type": "integer"}}

    told = history.told("diff", "main~2", "main", code=1)
    rows = [line.strip() for line in told.splitlines()]
    assert [row for row in rows if row in SECTIONS] == SECTIONS
    for row in (
        ["columns", "removed", "remark"],
        ["Größe", "(m).min", "1.0", "0.5"],
        ["points", "-", "type:", "integer"],
        ["evaluate.contact_cost", "50.0", "40.0"],
        ["stages/words.py", "added"],
    ):
        assert row in [line.split() for line in rows]
    assert f"code: {show}evaluate.py stages/words.py" in rows
    assert "data: the same customers, in another order or written in another way" in rows


@pytest.mark.real
def test_a_model_that_is_half_made_or_in_the_store_alone_leaves_questions_open(history: History):
    """A comment in a file that the model's folder holds makes another content with the same numbers."""
    project = history.project
    project.run("git", "checkout", "--quiet", "v1")
    text = project.read("stages/model/serving.py")
    (project.folder / "stages/model/serving.py").write_text(f"{text}# words\n")
    project.repro("train")
    answer = history.answer("diff", "v1", code=1)
    assert answer["code"]["stages/model/serving.py"]["show"].startswith("git diff ")
    assert (answer["differs"], answer["unknown"]) == (["code"], ["metrics"]), "no metrics of another model"
    assert answer["not_looked_at"] == [
        "the evaluation of B: no dvc.lock tells how it was measured",
        "the metrics of B: no evaluation of it is recorded",
    ]

    (project.folder / "stages/model/serving.py").write_text(text)
    edited = history.answer("diff", "v1", code=1)["code"]
    assert edited == {"stages/model/serving.py": {"change": "changed", "show": None}}, (
        "dvc.lock names another"
    )

    project.run("git", "checkout", "--quiet", "--", ".")
    answer = history.answer("diff", answer["b"]["content"], "v1", code=2)
    assert answer["same"] == ["data", "params", "environment"]
    assert answer["unknown"] == ["columns", "code", "metrics"]
    assert answer["not_looked_at"] == [
        "the columns of A: no commit holds its dvc.lock",
        "the evaluation of A: no dvc.lock tells how it was measured",
        "the code of A: no commit holds its dvc.lock",
        "the metrics of A: no evaluation of it is recorded",
    ]


def test_a_model_that_no_commit_holds_is_compared_by_what_its_run_tells(history: History):
    lost, first = history.made["never committed"], history.made["first"]
    answer = history.answer("diff", lost.run, "v1", code=1)
    assert answer["params"]["models.xgboost.rounds"] == {"a": "25", "b": "30"}
    assert answer["params"]["models.xgboost.subsample"] == {"a": "0.7", "b": "0.8"}
    changed = {f"models.xgboost.{name}" for name in ("reg_lambda", "rounds", "subsample")}
    # XGBoost's own seed, which the changed code made another, stands in the run under the same name.
    assert answer["params"].keys() - {"seed"} == changed, "text and number of one value are the same"
    assert answer["metrics"]["roc_auc"]["a"] == lost.metrics["roc_auc"]
    assert answer["metrics"].keys() == {
        name for name, value in first.metrics.items() if value != lost.metrics[name]
    }
    found = answer["data"]["customers"]
    assert (len(found["removed"]), len(found["added"])) == (40, 20)
    assert answer["unknown"] == ["columns", "code"]


def test_the_columns_in_another_order_are_other_data_with_the_same_customers(history: History):
    """Data that no model was made from yet is read by the params of the commit that names it."""
    project = history.project
    customers.write_members(project.folder / "data/customers.csv", THIRD[THIRD.columns[::-1]])
    project.run("dvc", "add", "--quiet", "data/customers.csv")
    project.commit("the columns in another order")
    answer = history.answer("diff", "data/customers.csv", history.made["all at once"].content, code=1)
    assert answer["differs"] == ["data"] and answer["same"] == answer["unknown"] == []
    found = answer["data"]["customers"]
    assert (found["removed"], found["added"], found["changed"], found["unchanged"]) == ([], [], [], 620)
    assert answer["data"]["rows"] == {"a": 620, "b": 620}
    assert answer["a"]["content"] is None


def test_customers_are_compared_with_customers_by_any_of_their_names(history: History):
    one, other = (history.made[name].md5s["data/customers.csv"] for name in ("first", "other data"))
    found = history.answer("diff", one, other, code=1)
    assert truth(FIRST, SECOND) == {
        key: found["data"]["customers"][key] for key in ("removed", "added", "changed")
    }
    assert "params" not in found
    assert history.answer("diff", "data/customers.csv", "main")["same"] == ["data"]


def test_no_value_of_a_customer_is_told(history: History):
    for words in ([], ["--json"]):
        said = history.told("diff", "light", "main", *words, code=1)
        assert "M-20" in said
        assert "Köln" not in said and "maybe" not in said


def test_a_bare_clone_tells_all_but_the_customers(history: History, tmp_path):
    project = history.project
    bare = tmp_path / "bare"
    project.run("git", "clone", "--quiet", "--bare", ".", str(bare))
    answer = history.answer("--repo", str(bare), "diff", "v1", "main", code=1)
    full = history.answer("diff", "v1", "main", code=1)
    assert answer["data"] == full["data"] | {"customers": None}
    why = "a bare clone has none"
    assert answer["not_looked_at"] == [f"the customers of A: {why}", f"the customers of B: {why}"]
    same = [section for section in SECTIONS if section != "data"]
    assert {key: answer[key] for key in same} == {key: full[key] for key in same}

    files = []
    for name in ("first", "all at once"):  # but files that lie at hand are looked at
        md5 = history.made[name].md5s["data/customers.csv"]
        files.append(tmp_path / f"{md5}.csv")
        shutil.copyfile(project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:], files[-1])
    answer = history.answer("--repo", str(bare), "diff", *map(str, files), code=1)
    assert answer["data"] == full["data"]


def test_with_an_empty_cache_the_customers_come_from_the_working_tree_or_not_at_all(history: History):
    project = history.project
    full = history.answer("diff", "v1", "main", code=1)
    project.run("dvc", "remote", "add", "--quiet", "--default", "--local", "beside", "../remote")
    project.run("dvc", "push", "--quiet", "--all-commits", "data/customers.csv.dvc")
    shutil.rmtree(project.folder / ".dvc/cache")
    answer = history.answer("diff", "v1", "main", code=1)
    assert answer["data"] == full["data"] | {"customers": None}
    (told,) = answer["not_looked_at"]
    md5 = history.made["first"].md5s["data/customers.csv"]
    assert told.startswith(f"the customers of A: {md5} is in neither DVC's cache nor the working tree (`")
    project.run(*told.split("`")[1].split())
    assert history.answer("diff", "v1", "main", code=1) == full


def test_customers_that_their_params_do_not_fit_are_told_of(history: History):
    project = history.project
    md5 = history.made["first"].md5s["data/customers.csv"]
    cached = project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.chmod(0o644)
    cached.write_bytes(cached.read_bytes()[:-20])
    answer = history.answer("diff", "v1", "main", code=1)
    assert answer["data"]["customers"] is None
    (told,) = answer["not_looked_at"]
    assert told.startswith("the customers of A: row 601 has ")


def test_packages_are_not_told_where_git_does_not_hold_their_lock(history: History):
    """Whoever commits the outputs without requirements.lock leaves its md5 alone behind."""
    project = history.project
    other = hashlib.md5(b"another").hexdigest()
    md5 = hashlib.md5(project.read("requirements.lock").encode()).hexdigest()
    project.edit("models/provenance.json", md5, other)
    content = hashlib.md5(project.read("models/provenance.json").encode()).hexdigest()
    project.edit("dvc.lock", history.made["all at once"].content, content)
    project.edit("dvc.lock", md5, other)
    commit = project.commit("the outputs alone")
    answer = history.answer("diff", "main~1", "main", code=1)
    assert answer["differs"] == ["environment"]
    assert answer["environment"] == {"md5": {"a": md5, "b": other}, "packages": None}
    assert answer["not_looked_at"] == [
        f"the packages of B: commit {commit[:10]} does not hold the requirements.lock of md5 {other}"
    ]


def test_what_is_neither_model_nor_customers_is_refused_with_a_cure(history: History):
    said = history.told("diff", "requirements.lock", "main", code=1)
    assert "requirements.lock (" in said and "is neither a model nor customers" in said
    assert "Cure: `predictflow lineage requirements.lock`" in said


def test_the_json_is_the_same_every_time_and_nothing_is_said_beside_it(history: History):
    seeds = ("1", "2")
    said = [history.ask("diff", "v1", "main", "--json", code=1, PYTHONHASHSEED=seed) for seed in seeds]
    assert said[0] == said[1]
    assert said[0] == json.dumps(json.loads(said[0]), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    done = history.project.run("python", "-m", "predictflow.cli", "diff", "v1", "main", code=1)
    assert done.stderr == ""


READ_SLOWLY = """
import sys
from pathlib import Path
from predictflow.commands import diff
diff.QUIET_SECONDS = 0
with diff._reading(8) as open_binary:
    with open_binary(Path(sys.argv[1])) as file:
        file.read()
    sys.stdin.read()
"""


def test_a_long_comparison_shows_on_a_terminal_how_far_it_is(tmp_path):
    (tmp_path / "half").write_text("half")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-c", READ_SLOWLY, str(tmp_path / "half")]
    env = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    with begun(words, REPOSITORY, env, stdin=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"50%" not in shown:
            shown += os.read(ours, 1000)
        assert b"comparing the customers" in shown
        process.stdin.close()
        assert process.wait(WAIT) == 0
    os.close(ours)
