"""A real history: three states of the data, four of the params, three of the code, experiments, versions."""

import contextlib
import hashlib
import io
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from unittest import mock

from predictflow import cli
from tests.people import customers
from tests.people.project import Project, begin_members

ROWS = customers.members(640)
FIRST = ROWS.iloc[:600]
SECOND = ROWS.iloc[20:]  # 20 members have gone, 40 are new
THIRD = SECOND.assign(visits=SECOND["visits"].where(SECOND.index >= 25, "29"))  # up to five have changed


@dataclass
class Made:
    """A model of the history, noted down when it was made.

    Attributes:
        name: what a test calls it.
        commit: the first commit that holds it; None for one that was never committed.
        experiment: the name of the DVC experiment that made it.
        md5s: {path: md5} of the model's files, the prepared files, customers.csv and provenance.json.
        version: its number in the registry; None where it was not registered.
        params: what was changed for it, by dotted name.
    """

    name: str
    commit: str | None
    experiment: str | None
    run: str
    version: int | None
    rows: int
    metrics: dict[str, float]
    md5s: dict[str, str]
    params: dict[str, object] = field(default_factory=dict)

    @property
    def content(self) -> str:
        return self.md5s["models/provenance.json"]


class Recorder:
    """Makes the history, and notes what it does."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.made: list[Made] = []
        self.params: dict[str, object] = {}

    def data(self, frame) -> None:
        customers.write_members(self.project.folder / "data/customers.csv", frame)
        self.project.run("dvc", "add", "--quiet", "data/customers.csv")

    def param(self, name: str, old: object, new: object) -> None:
        self.project.edit(
            "params.yaml", f"{name.rpartition('.')[2]}: {old}\n", f"{name.rpartition('.')[2]}: {new}\n"
        )
        self.params[name] = new

    def code(self, old: str, new: str) -> None:
        self.project.edit("stages/model/families.py", old, new)

    def record(self, name: str, *, committed: bool = True) -> None:
        """`dvc repro`, a commit, and a note of what has come of it."""
        self.project.repro()
        commit = self.project.commit(name) if committed else None
        self.note(name, commit, None)

    def note(self, name: str, commit: str | None, experiment: str | None, folder: Path | None = None) -> None:
        folder = folder or self.project.folder
        files = [
            *(folder / "models/churn-predictor").iterdir(),
            *(folder / "data/prepared").glob("*.parquet"),
        ]
        files += [folder / "data/customers.csv", folder / "models/provenance.json"]
        md5s = {
            path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
            for path in files
            if path.is_file()
        }
        content = md5s["models/provenance.json"]
        runs = [run for run in self.project.runs() if run.data.tags.get("predictflow.content") == content]
        versions = [one for one in self.project.versions() if one.tags["predictflow.content"] == content]
        prepared = json.loads((folder / "metrics/prepare/metrics.json").read_text())
        self.made.append(
            Made(
                name,
                commit,
                experiment,
                runs[0].info.run_id,
                int(versions[0].version) if versions else None,
                sum(prepared[side]["rows"] for side in ("train", "test")),
                json.loads((folder / "metrics/evaluate/metrics.json").read_text()),
                md5s,
                dict(self.params),
            )
        )

    def write(self, top: Path) -> None:
        """Leave the notes in made.json."""
        (top / "made.json").write_text(json.dumps([asdict(made) for made in self.made]))


def begin(top: Path) -> Recorder:
    """The members' project in project/, before its first model."""
    return Recorder(begin_members(top, FIRST))


def make(top: Path) -> None:
    """Make the history in project/; what was noted lies beside it, in made.json."""
    recorder = begin(top)
    project, folder = recorder.project, recorder.project.folder
    project.run("make", "hook")

    recorder.record("first")
    project.run("git", "tag", "-a", "v1", "-m", "the first model")
    project.run(
        "dvc", "exp", "run", "--quiet", "--name", "shallow", "-S", "models.xgboost.max_depth=1", "evaluate"
    )
    sha = project.run("git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/shallow").stdout.strip()
    recorder.params = {"models.xgboost.max_depth": 1}
    recorder.note("shallow", sha, "shallow")
    recorder.params = {}
    project.run("git", "checkout", "--quiet", "--", ".")
    project.run("dvc", "checkout", "--quiet")
    (folder / "NOTES.md").write_text("words, no model\n")
    project.commit("words")

    recorder.param("models.xgboost.rounds", 30, 25)
    recorder.record("other params")
    recorder.data(SECOND)
    recorder.record("other data")
    project.run("git", "tag", "light")
    project.run("git", "checkout", "--quiet", "-b", "feature")
    recorder.param("models.xgboost.learning_rate", 0.03, 0.1)
    recorder.record("on a branch")
    project.run("git", "checkout", "--quiet", "main")
    del recorder.params["models.xgboost.learning_rate"]
    recorder.code('"seed": seed,', '"seed": seed + 1,')
    recorder.record("other code")
    project.run("git", "merge", "--quiet", "--strategy=ours", "-m", "merge the branch", "feature")
    recorder.data(THIRD)
    recorder.code('"seed": seed + 1,', '"seed": seed + 2,')
    recorder.param("models.xgboost.reg_lambda", 3.0, 1.0)
    recorder.record("all at once")
    recorder.param("models.xgboost.subsample", 0.8, 0.7)
    recorder.record("never committed", committed=False)
    project.run("git", "checkout", "--quiet", "--", ".")
    project.run("dvc", "checkout", "--quiet")
    recorder.write(top)


@dataclass
class History:
    """The project with the history, a copy of the test's own, and what was noted when it was made.

    Models by name: "first" (tag v1), "shallow" (an experiment), "other params", "other data" (tag light), "on
    a branch" (branch feature), "other code", "all at once" (branch main) and "never committed".

    Attributes:
        artifacts: where MLflow keeps the files of each run; by default, where the project's own store does.
    """

    project: Project
    made: dict[str, Made]
    artifacts: Path | None = None

    def files(self, name: str) -> Path:
        """Where MLflow keeps the folder of a model."""
        kept = self.artifacts or self.project.folder / "mlflow_data/artifacts"
        return kept / self.made[name].run / "artifacts/model"

    def ask(self, *words: str, code: int = 0, **env: str) -> str:
        """What `predictflow` prints, in a process of its own."""
        return self.project.run("python", "-m", "predictflow.cli", *words, code=code, env=env).stdout

    def told(self, *words: str, code: int = 0) -> str:
        """What `predictflow` prints, errors too; in this process, which is quicker."""
        said = io.StringIO()
        ended = self._run(words, said, said)
        assert ended == code, f"predictflow {' '.join(words)} ended with {ended}:\n{said.getvalue()}"
        return said.getvalue()

    def said(self, *words: str) -> tuple[int, str, str]:
        """The exit code of `predictflow`, its standard output and its standard error, however it ends."""
        out, errors = io.StringIO(), io.StringIO()
        code = self._run(words, out, errors)
        return code, out.getvalue(), errors.getvalue()

    def _run(self, words: tuple[str, ...], out: io.StringIO, errors: io.StringIO) -> int:
        with (
            contextlib.chdir(self.project.folder),
            mock.patch.dict(os.environ, self.project.env, clear=True),
            mock.patch.object(sys, "executable", self.project.python),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(errors),
        ):
            return cli.run([*words])

    def answer(self, *words: str, code: int = 0) -> dict:
        """What `predictflow … --json` says."""
        return json.loads(self.told(*words, "--json", code=code))

    @property
    def committed(self) -> list[Made]:
        """All but the model that was never committed."""
        return [made for made in self.made.values() if made.commit]


def opened(folder: Path, home: Path, noted: Path, in_a_hurry: bool = True) -> History:
    """A project with the history, in a folder, and what was noted in made.json."""
    made = [Made(**one) for one in json.loads(noted.read_text())]
    home.mkdir(exist_ok=True)
    project = Project(folder, home)
    return History(project.hurry() if in_a_hurry else project, {one.name: one for one in made})
