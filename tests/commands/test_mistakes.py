"""Whatever state a project is in, each command says in a sentence what is wrong, and what cures it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from predictflow import cli
from tests.people.history import History
from tests.people.mounts import own_mounts
from tests.people.project import REPOSITORY, WAIT, Project

# Each command as a person types it; rebuild is given a model that no commit holds, for it takes minutes.
ASKED = [
    ["lineage"],
    ["diff", "v1", "main"],
    ["find-customer", "M-30"],
    ["status"],
    ["experiments"],
    ["history"],
    ["predict", "churn-predictor/1", "data/customers.csv"],
    ["promote", "churn-predictor/1", "--to", "staging"],
    ["rollback"],
    ["gate", "churn-predictor@production"],
    ["export", "bentoml", "churn-predictor@production"],
    ["audit"],
    ["audit", "--fix"],
    ["doctor"],
    ["doctor", "--fix"],
    ["rebuild", "churn-predictor/7"],
    ["push"],
    ["pull"],
    ["prune", "--dry-run"],
    ["prune", "--yes"],
    ["restore"],
    ["store", "backup"],
    ["store", "check"],
    ["store", "upgrade"],
]


def test_every_command_is_asked():
    """But for tune, which holds params.yaml to what the stages do, in their words: its own tests ask it."""
    assert {words[0] for words in ASKED} | {"tune"} == set(cli.COMMANDS)


@pytest.fixture
def promoted(promoted: History) -> History:
    """Whose remote is a folder beside it."""
    local = "[core]\n    remote = beside\n['remote \"beside\"']\n    url = ../../remote\n"
    (promoted.project.folder / ".dvc/config.local").write_text(local)
    return promoted


Answers = Callable[..., tuple[int, str, str]]  # exit code, standard output and standard error, by words


def walk(told: Answers, still: bool = True) -> dict[str, dict[str, str]]:
    """{command: its error and cure} of those that fail, which say the same in text as in JSON where the
    project stands still meanwhile."""
    errors = {}
    for words in ASKED:
        code, out, err = told(*words, "--json")
        said = f"{' '.join(words)} ended with {code}:\n{out}\n{err}"
        assert code in (0, 1, 2) and "Traceback" not in out + err, said
        answer = json.loads(out)
        if "error" not in answer:
            continue
        assert answer.keys() == {"error", "cure"} and not err, said
        assert code and answer["error"] and answer["cure"], said
        errors[" ".join(words)] = answer
        again, _, errors_in_text = told(*words)
        in_text = f"ERROR: {answer['error']}\nCure: {answer['cure']}\n"
        assert not still or (again, errors_in_text) == (code, in_text), f"{said}\n{errors_in_text}"
        assert again in (0, 1, 2) and "Traceback" not in errors_in_text
    return errors


READERS = {
    "lineage",
    "diff",
    "find-customer",
    "status",
    "doctor",
    "experiments",
    "predict",
    "push",
    "pull",
    "store",
}  # they go by any model


def broken_params(made: History) -> tuple[set[str], str, str]:
    """What is allowed to answer all the same; what the others say is wrong, and what cures it."""
    (made.project.folder / "params.yaml").write_text("tracking: [\n")
    return READERS, r"params\.yaml", r"params\.yaml"


def no_params(made: History) -> tuple[set[str], str, str]:
    (made.project.folder / "params.yaml").unlink()
    return READERS, r"params\.yaml", r"git checkout -- params\.yaml"


def params_without_a_model(made: History) -> tuple[set[str], str, str]:
    made.project.edit("params.yaml", "  model: churn-predictor\n", "")
    return READERS, r"tracking\.model", r"params\.yaml"


def a_model_that_is_a_number(made: History) -> tuple[set[str], str, str]:
    made.project.edit("params.yaml", "  model: churn-predictor\n", "  model: 7\n")
    return READERS, r"tracking\.model", r"params\.yaml"


def a_renamed_model(made: History) -> tuple[set[str], str, str]:
    made.project.edit("params.yaml", "  model: churn-predictor\n", "  model: leavers\n")
    return READERS, "leavers.*churn-predictor", r"tracking\.model"


def a_merge_in_progress(made: History) -> tuple[set[str], str, str]:
    project = made.project
    project.run("git", "checkout", "--quiet", "-B", "theirs")
    project.edit("params.yaml", "  model: churn-predictor\n", "  model: leavers\n")
    project.commit("another name")
    project.run("git", "checkout", "--quiet", "-B", "ours", "HEAD~1")
    project.edit("params.yaml", "  model: churn-predictor\n", "  model: churn\n")
    project.commit("one name")
    project.run("git", "merge", "theirs", code=1)
    return READERS, r"params\.yaml is in conflict", "git merge --abort"


def a_foreign_repository(made: History) -> tuple[set[str], str, str]:
    made.project.folder = made.project.folder.with_name("foreign")
    made.project.folder.mkdir()
    (made.project.folder / "README.md").write_text("another project\n")
    made.project.run("git", "init", "--quiet")
    made.project.commit()
    return set(), "no PredictFlow project", "--repo"


def no_repository(made: History) -> tuple[set[str], str, str]:
    made.project.folder = made.project.folder.with_name("nothing")
    made.project.folder.mkdir()
    return set(), "no Git repository", "--repo"


QUICK = [broken_params, a_renamed_model, a_merge_in_progress, a_foreign_repository, no_repository]
SLOW = [no_params, params_without_a_model, a_model_that_is_a_number]  # which are told in the same place


@pytest.mark.parametrize(
    "state",
    [*QUICK, *(pytest.param(state, marks=pytest.mark.slow) for state in SLOW)],
    ids=lambda state: state.__name__,
)
def test_a_state_is_told_in_a_sentence_with_its_cure(promoted: History, state):
    answering, wrong, cure = state(promoted)
    errors = walk(promoted.said)
    for words, answer in errors.items():
        assert re.search(wrong, answer["error"]), (words, answer)
        assert re.search(cure, answer["cure"]), (words, answer)
    silent = {words for words in map(" ".join, ASKED) if words not in errors}
    assert {words.split()[0] for words in silent} <= answering, silent


# --- What cannot be written ------------------------------------------------------------------------------

# All in one process, which has mounts of its own.
EACH = """
import contextlib, io, json, sys
from predictflow import cli

def said(words):
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = cli.run(words)
    return code, out.getvalue(), errors.getvalue()

print(json.dumps([[said([*words, "--json"]), said(words)] for words in json.load(sys.stdin)]))
"""
READ_ONLY = "mount --bind {0} {0} && mount -o remount,bind,ro,nosuid,nodev {0}"
FULL = """
mkdir ../disk && mount -t tmpfs -o size=200m full ../disk && cp -a . ../disk
(dd if=/dev/zero of=../disk/.git/full bs=64k || true) 2> /dev/null
cd ../disk
"""


def mounted(project: Project, mount: str) -> Answers:
    """What the commands say in a project after something was mounted there, where only they see it."""
    done = subprocess.run(
        [*own_mounts(), "sh", "-ec", f'{mount}\ncd "$PWD"\nexec {sys.executable} -P -c "$EACH"'],
        input=json.dumps(ASKED),
        cwd=project.folder,
        env=project.env | {"EACH": EACH, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert done.returncode == 0, done.stderr
    answers = dict(zip(map(tuple, ASKED), json.loads(done.stdout.splitlines()[-1]), strict=True))

    def said(*words: str) -> tuple[int, str, str]:
        in_json, in_text = answers[tuple(word for word in words if word != "--json")]
        return tuple(in_json if "--json" in words else in_text)

    return said


@pytest.mark.real
@pytest.mark.parametrize(
    ("mount", "cure"),
    [
        (READ_ONLY.format("."), "read-only"),
        pytest.param(READ_ONLY.format("mlflow_data"), "read-only", marks=pytest.mark.slow),
        (FULL, "make room"),
    ],
    ids=["a read-only tree", "a read-only store", "a full disk"],
)
def test_a_tree_that_takes_nothing_is_told(promoted: History, mount, cure):
    errors = walk(mounted(promoted.project, mount), still=False)
    assert "no `bentoml` is on the PATH" in errors.pop("export bentoml churn-predictor@production")["error"]
    for words, answer in errors.items():
        assert cure in answer["cure"], (words, answer)
    assert {"promote churn-predictor/1 --to staging", "rollback"} <= errors.keys(), "something was written"


# --- What was mistyped -----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["lineage"], ["diff"], ["rebuild"], ["promote", "--to", "production"]])
def test_a_name_that_nothing_has_is_told_with_those_that_there_are(promoted: History, words):
    code, out, _ = promoted.said(*words, "churn-predictr/3", "--json")
    lines = json.loads(out)["error"].splitlines()
    assert code == 1
    assert lines[0].startswith("churn-predictr/3 is not known here. Did you mean churn-predictor/3, ")
    assert "versions: churn-predictor/7, churn-predictor/6, " in "\n".join(lines)
    assert "aliases: churn-predictor@staging, churn-predictor@production" in lines
    assert "experiments: shallow" in lines and "branches: feature, main" in lines


def test_a_model_that_no_receipt_names_has_no_gate(promoted: History):
    error = json.loads(promoted.said("gate", "leavers@production", "--json")[1])
    assert error["cure"] == "churn-predictor@production."


def test_what_is_no_registered_version_is_told_with_those_that_are(promoted: History):
    code, out, _ = promoted.said("promote", "shallow", "--to", "production", "--json")
    assert code == 1 and "which has churn-predictor/7, churn-predictor/6" in json.loads(out)["error"]


NO_EXPORT = (
    "`predictflow export bentoml HANDLE`; MLflow, images and MLServer (KServe, Seldon) serve a model without"
    " an export: docs/serving.md."
)


@pytest.mark.parametrize(
    ("words", "code", "wrong", "cure"),
    [
        (["lineage", "--upwards"], 2, "No such option", "`predictflow lineage --help`."),
        (["promote", "v1"], 2, "Missing option '--to'", "`predictflow promote --help`."),
        (["linage"], 2, "No such command", "`predictflow --help`."),
        (["export", "seldon"], 1, "there is no export to seldon, but to bentoml.", NO_EXPORT),
        (["--repo", "nowhere", "status"], 2, "does not exist", "`predictflow --help`."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_was_mistyped_is_told_in_json_too(tmp_path, capsys, words, code, wrong, cure):
    assert cli.run([*words, "--json"]) == code
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert wrong in answer["error"] and answer["cure"] == cure and not told.err
    assert cli.run(words) == code
    told = capsys.readouterr()
    assert wrong in told.err and not told.out
