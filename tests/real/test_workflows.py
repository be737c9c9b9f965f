"""GitHub's two flows: linters read them, and each of their commands is run here as a runner would run it."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import templates
from tests.declared import yaml
from tests.people.project import BIN, REPOSITORY, WAIT, Project

PULL_REQUEST, PROMOTION = ".github/workflows/pull-request.yml", ".github/workflows/promotion.yml"
EXPRESSION = re.compile(r"\$\{\{ (.*?) \}\}")
ON_PULL_REQUEST, NO_SERVER = "github.event_name == 'pull_request'", "env.MLFLOW_TRACKING_URI == ''"
FIRST, TAKEN_OUT, SECOND = (
    f"churn-predictor#{name}" for name in ("production#1", "production!#2", "production#3")
)


# --- A runner -------------------------------------------------------------------------------------------


class Runner:
    """A machine of GitHub's: a fresh clone, in which the commands of a job are run.

    Attributes:
        said: what each step printed, by its name.
        summary: the file that holds the job's summary.
    """

    def __init__(self, top: Path, ref: str, values: Mapping[str, str | bool]) -> None:
        """Check `ref` of top/origin.git out, with all branches and tags.

        Args:
            values: of each condition and expression that a step may come to, as GitHub would give them.
        """
        self.project, self.values = Project(top / "runner", top / "home"), {"": True} | dict(values)
        self.summary, self.said = top / "summary.md", {}
        self.project.folder.mkdir()
        self.project.run("git", "clone", "--quiet", str(top / "origin.git"), ".")
        self.project.run("git", "fetch", "--quiet", "origin", ref)
        self.project.run("git", "checkout", "--quiet", "--detach", "FETCH_HEAD")
        # The environment is there already, made long after the locks, and so is predictflow/, which the
        # projects of the templates do without.
        (self.project.folder / ".venv").symlink_to(BIN.parent)
        (self.project.folder / "predictflow").symlink_to(REPOSITORY / "predictflow")
        for name in ("requirements.lock", "requirements-dev.lock", "Makefile"):
            os.utime(self.project.folder / name, (0, 0))
        self.env = self.project.env | {"PYTHONPATH": str(self.project.folder)}
        self.env |= {"CI": "true", "GITHUB_STEP_SUMMARY": str(self.summary)}

    def run(self, path: str, job: str) -> str | None:
        """Run a job's commands in their order; the name of the step that failed, None if none did."""
        flow = yaml(path)
        assert flow["defaults"] == {"run": {"shell": "bash"}}
        for step in flow["jobs"][job]["steps"]:
            if "run" not in step or not self.values[step.get("if", "")]:
                continue
            given = flow["jobs"][job].get("env", {}) | step.get("env", {})
            env = {
                name: EXPRESSION.sub(lambda found: self.values[found[1]], value)
                for name, value in given.items()
            }
            # As GitHub starts a bash, but from a file.
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.project.folder,
                env=self.env | env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=WAIT,
            )
            self.said[step["name"]] = done.stdout
            if done.returncode:
                return step["name"]
        return None


def copied(template: Path, folder: Path) -> Path:
    top = Path(shutil.copytree(template, folder / "top", symlinks=True))
    templates.relocate(top)
    return top


@pytest.fixture
def published(published_template: Path, tmp_path: Path) -> Path:
    """The members' project with an origin and, in a folder, a remote that holds the model and its data."""
    return copied(published_template, tmp_path)


@pytest.fixture
def promoted(released_template: Path, tmp_path: Path) -> Path:
    """Its model was promoted, taken out, and promoted again."""
    return copied(released_template, tmp_path)


# --- What linters say -----------------------------------------------------------------------------------


# --- On a pull request ----------------------------------------------------------------------------------

COMPARED, CUSTOMERS = (
    "Compare what it gave with what is committed",
    "Bring your own customers, if there is a key",
)


def pull_request(top: Path, *, in_step: bool) -> None:
    """Let origin have a pull request as GitHub makes it: main, which has gone on, with the branch merged."""
    project = Project(top / "project", top / "home")
    project.run("git", "checkout", "--quiet", "-b", "change")
    project.edit("params.yaml", "contact_cost: 50.0", "contact_cost: 40.0")
    if in_step:
        project.repro()
    project.commit("a cheaper campaign")
    project.run("git", "checkout", "--quiet", "main")
    project.run("git", "commit", "--quiet", "--allow-empty", "-m", "meanwhile")
    project.run("git", "push", "--quiet", "origin", "main")
    project.run("git", "merge", "--quiet", "--no-ff", "-m", "merge", "change")
    project.run("git", "push", "--quiet", "origin", "main:refs/pull/1/merge")


def on_pull_request(top: Path, key: str) -> Runner:
    """A runner with a warm cache, so that not every stage has to run."""
    secrets = {f"secrets.AWS_{name}": key for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")}
    runner = Runner(top, "refs/pull/1/merge", secrets | {ON_PULL_REQUEST: True})
    shutil.copytree(top / "project/.dvc/cache", runner.project.folder / ".dvc/cache")
    return runner


def test_a_pull_request_whose_lock_is_in_step_passes_and_says_what_becomes_of_the_model(published: Path):
    pull_request(published, in_step=True)
    runner = on_pull_request(published, key="a key")
    md5 = re.search(r"md5: (\w+)", runner.project.read("data/customers.csv.dvc"))[1]
    (runner.project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    assert runner.run(PULL_REQUEST, "pipeline") is None, runner.said
    assert "1 file fetched" in runner.said[CUSTOMERS]
    summary = runner.summary.read_text()
    assert re.search(r"evaluate.contact_cost +50.0 +40.0", summary), summary
    assert re.search(r"profit_per_customer +[\d.]+ +[\d.]+ +\+", summary), summary
    assert "the same: data, columns, code, environment" in summary


@pytest.mark.slow
def test_a_pull_request_whose_lock_is_out_of_step_fails_where_that_is_looked_at(published: Path):
    pull_request(published, in_step=False)
    runner = on_pull_request(published, key="")
    assert runner.run(PULL_REQUEST, "pipeline") == COMPARED
    assert runner.said[CUSTOMERS] == ""
    assert re.search(r"^-.*contact_cost: 50.0\n", runner.said[COMPARED], re.MULTILINE)
    assert "::error::" in runner.said[COMPARED]
    assert not runner.summary.exists()


# --- On a promotion -------------------------------------------------------------------------------------

GATE = "Ask the gate, and say what it lets through"


def pattern(given: str) -> re.Pattern[str]:
    """GitHub's pattern for tags: * is anything but /, ** that too, + is one or more of what stands before."""
    parts = re.findall(r"\*\*|\*|\[[^]]+\]|\+|.", given)
    special = {"**": ".*", "*": "[^/]*", "+": "+"}
    return re.compile(
        "".join(special.get(part, part if part[0] == "[" else re.escape(part)) for part in parts)
    )


def on_promotion(top: Path, receipt: str, server: bool) -> Runner:
    """A runner of a team that has a server (here: the store of who promoted), or none."""
    store = f"sqlite:///{top}/project/mlflow_data/mlflow.db" if server else ""
    secrets = [f"AWS_{name}" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    secrets += [f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD")]
    values = {f"secrets.{name}": "" for name in secrets}
    values |= {"inputs.receipt || github.ref_name": receipt, "vars.MLFLOW_TRACKING_URI": store}
    return Runner(top, "main", values | {NO_SERVER: not server})


def test_only_a_promotion_to_production_starts_the_flow(promoted: Path):
    (given,) = yaml(PROMOTION)["on"]["push"]["tags"]
    starts = pattern(given)
    tags = Project(promoted / "project", promoted / "home").run("git", "tag", "--list").stdout.split()
    assert sorted(tags) == sorted([FIRST, TAKEN_OUT, SECOND, "churn-predictor@v1.0.0"])
    assert [tag for tag in sorted(tags) if starts.fullmatch(tag)] == [FIRST, SECOND]
    assert starts.fullmatch("team/model#production#12")
    assert not starts.fullmatch("churn-predictor#staging#4")


@pytest.mark.parametrize("server", [True, False], ids=["with a server", "with the receipts alone"])
def test_what_was_promoted_is_let_through_and_told(promoted: Path, server: bool):
    runner = on_promotion(promoted, SECOND, server)
    assert runner.run(PROMOTION, "deploy") is None, runner.said
    assert SECOND in runner.said["Deploy"]
    made, brought = (
        folder / "models/churn-predictor" for folder in (promoted / "project", runner.project.folder)
    )
    assert {path.name: path.read_bytes() for path in brought.iterdir()} == {
        path.name: path.read_bytes() for path in made.iterdir() if path.is_file()
    }
    summary = " ".join(runner.summary.read_text().split())
    assert f"yes: {SECOND} is version 1, content" in summary
    assert "Ada <ada@example.com>" in summary
    assert "the spring offer" in summary


def test_the_tag_of_an_older_receipt_deploys_nothing(promoted: Path):
    runner = on_promotion(promoted, FIRST, server=True)
    assert runner.run(PROMOTION, "deploy") == GATE
    told = " ".join(runner.summary.read_text().split())
    assert f"{FIRST} does not stand in production: {SECOND} does" in told
    assert "Deploy" not in runner.said


def test_a_tag_by_which_a_version_was_taken_out_deploys_nothing(promoted: Path):
    runner = on_promotion(promoted, TAKEN_OUT, server=True)
    assert runner.run(PROMOTION, "deploy") == GATE
    assert "names no stage" in runner.said[GATE]
    assert "Deploy" not in runner.said


def test_a_stage_that_was_moved_by_hand_deploys_nothing(promoted: Path):
    store = Project(promoted / "project", promoted / "home").store
    with pytest.warns(FutureWarning):
        store.transition_model_version_stage("churn-predictor", "1", "Archived")
    runner = on_promotion(promoted, SECOND, server=True)
    assert runner.run(PROMOTION, "deploy") == GATE
    assert "MLflow has no version there" in " ".join(runner.summary.read_text().split())
    assert "Deploy" not in runner.said
