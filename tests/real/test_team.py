"""A team's server for real: MLflow on PostgreSQL, its files in S3, a password for each person."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.people import postgres, team
from tests.people.history import History
from tests.people.pages import PLAYED, Player, blocks, steps, text_of
from tests.people.project import Project
from tests.people.team import PASSWORDS, SECRETS, Team

MODEL = "churn-predictor"


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Postgres]:
    found = postgres.programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed here (`apt-get install postgresql`)")
    with postgres.running(found) as one:
        yield one


@pytest.fixture(scope="module")
def server(database: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team.team(tmp_path_factory.mktemp("team"), database) as one:
        yield one


class Play:
    """Who works with the server, and all that anybody has read of it.

    Attributes:
        model: the name of its registered model, and of its experiment; each play has its own.
    """

    def __init__(self, project: Project, server: Team, model: str) -> None:
        self.project, self.server, self.read = project, server, []
        self.model, self.production = model, f"{model}@production"
        self._own = dict(project.env)
        self.sit("ada")

    def sit(self, name: str, password: str | None = None) -> None:
        """Let the next commands be a person's."""
        self.project.env = self._own | self.server.person(name)
        if password:
            self.project.env["MLFLOW_TRACKING_PASSWORD"] = password

    def run(self, *words: str, code: int = 0) -> str:
        """What a command prints, in a process of its own; it must end with `code`."""
        done = subprocess.run(
            words, cwd=self.project.folder, env=self.project.env, capture_output=True, text=True, timeout=600
        )
        said = done.stdout + done.stderr
        self.read.append(said)
        assert done.returncode == code, f"{' '.join(words)} ended with {done.returncode}:\n{said}"
        assert "Traceback" not in said, said
        return done.stdout if "--json" in words else " ".join(said.split())

    def told(self, *words: str, code: int = 0) -> str:
        """What `predictflow` says, in this process, which is quicker."""
        said = History(self.project, {}).told(*words, code=code)
        self.read.append(said)
        return " ".join(said.split())

    def answer(self, *words: str, code: int = 0) -> dict:
        said = History(self.project, {}).told(*words, "--json", code=code)
        self.read.append(said)
        return json.loads(said)

    def receipts(self) -> list[list[str]]:
        """The names of the receipts, here and on origin."""
        places = (self.project.folder, self.project.folder.parent / "origin.git")
        listed = (
            self.project.run("git", "-C", str(place), "tag", "--list", f"{self.model}*") for place in places
        )
        return [done.stdout.split() for done in listed]

    def stages(self) -> dict[int, str]:
        import mlflow

        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.server.person("ada").items():
                patched.setenv(name, value)
            versions = mlflow.MlflowClient(self.server.uri).search_model_versions(f"name = '{self.model}'")
        return {int(version.version): version.current_stage for version in versions}

    def project_runs(self) -> list:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.server.person("ada").items():
                patched.setenv(name, value)
            return self.project.runs()

    def leaks(self) -> list[str]:
        """Where a password or a key stands: what was read, what lies in the project and in Git's tags, the
        logs, what the database holds, and what was written to the bucket."""
        tags = self.project.run("git", "for-each-ref", "--format=%(contents)", "refs/tags").stdout
        texts = {f"answer {number}": said for number, said in enumerate(self.read)} | {"tags": tags}
        folders = [self.project.folder, self.server.folder / "s3"]
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        paths += [self.server.folder / "log", self.server.folder / "s3.log", self.server.postgres.log]
        found = [name for name, text in texts.items() if any(secret in text for secret in SECRETS)]
        held = ((path, path.read_bytes()) for path in paths)
        found += [str(path) for path, data in held if any(secret.encode() in data for secret in SECRETS)]
        return found + self.server.postgres.tables_with(self.server.database, SECRETS)


@pytest.fixture
def play(warm: Project, server: Team) -> Play:
    """The members' project, whose origin is beside it, at the team's server."""
    warm.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "../origin.git")
    warm.run("git", "remote", "add", "origin", "../origin.git")
    warm.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    shutil.rmtree(warm.folder / "mlflow_data")
    model = f"churn-{len(server.names)}"
    server.names.append(model)
    warm.edit("params.yaml", "experiment: churn-prediction", f"experiment: {model}")
    warm.edit("params.yaml", "model: churn-predictor", f"model: {model}")
    warm.commit("a name of its own")
    return Play(warm, server, model)


def test_a_team_works_with_one_server_and_its_rights_hold(play: Play):
    project = play.project
    project.edit("params.yaml", "rounds: 30", "rounds: 29")
    play.run("dvc", "repro")  # a model that no run was made of yet
    project.commit("a model")
    project.run("git", "push", "--quiet")
    assert play.stages() == {1: "Staging"}

    play.sit("bo")
    promote = ("promote", f"{play.model}/1", "--to", "production", "--reason", "the first")
    said = play.told(*promote, code=1)
    assert (
        f"bo (named by MLFLOW_TRACKING_USERNAME) lacks the right EDIT on the registered model {play.model}"
        in said
    )
    assert "Nothing was written. Cure: the server's keeper grants it" in said
    play.server.grant(
        "bo", "registered_model", play.model, "EDIT"
    )  # but the alias staging may not be deleted
    assert f"lacks the right MANAGE on the registered model {play.model}" in play.told(*promote, code=1)
    assert play.receipts() == [[], []] and play.stages() == {1: "Staging"}
    project.edit("params.yaml", "rounds: 29", "rounds: 28")
    said = play.run("dvc", "repro", code=255)
    assert "the server does not let bo (named by MLFLOW_TRACKING_USERNAME) do this: 403 at" in said
    assert "runs/create" in said and "Nothing is lost" in said
    project.run("git", "checkout", "--quiet", ".")

    play.sit("bo", "Wr0ng-s3cret")
    assert "does not let in bo (named by MLFLOW_TRACKING_USERNAME) (401)" in play.told("status", code=2)
    assert "(401)" in play.told("gate", play.production, code=2)
    assert "(401)" in play.run("dvc", "repro", "--force", "--single-item", "register", code=255)
    project.run("git", "checkout", "--quiet", ".")

    play.sit("ada")
    play.told(*promote)
    assert play.stages() == {1: "Production"}
    assert play.answer("gate", play.production)["passed"]
    assert play.answer("audit")["findings"] == []
    assert play.answer("status")["production"][0]["name"] == f"{play.model}/1"
    assert play.answer("lineage", play.production)["versions"][0]["name"] == f"{play.model}/1"
    assert play.answer("history")["standing"]["production"]["version"] == 1
    entries = play.answer("experiments")["experiments"]
    assert [run["status"] for entry in entries for run in entry["runs"]] == ["FINISHED"]
    restored = play.answer("restore")  # what another commit holds, and this server never had
    assert [version["stage"] for version in restored["versions"]] == ["Archived"]
    assert "nothing was missing" in play.told("restore")

    shutil.rmtree(project.folder / ".dvc/cache")
    shutil.rmtree(project.folder / "models/churn-predictor")
    (project.folder / "data/customers.csv").chmod(0o644)
    play.run("predictflow", "predict", play.production, "data/customers.csv", "--output", "../scores.csv")
    assert len((project.folder.parent / "scores.csv").read_text().splitlines()) > 500
    assert play.leaks() == []


def test_the_search_for_secrets_finds_one_wherever_it_stands(play: Play, monkeypatch):
    """A text that is nobody's password, planted in each kind of place."""
    planted = "Planted-s3cret"
    monkeypatch.setitem(globals(), "SECRETS", (planted,))
    assert play.leaks() == []
    folder, server = play.project.folder, play.server
    play.read.append(f"a message with {planted} in it")
    play.project.run("git", "tag", "--annotate", "--message", planted, "planted")
    logs = [server.folder / "log", server.folder / "s3.log", server.postgres.log]
    files = [folder / "notes.txt", folder / "mlflow_data/x", server.folder / "s3" / team.BUCKET / "x"]
    for path in (*files, *logs):
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(f"{planted}\n")
    server.postgres.run(server.database, f"CREATE TABLE planted AS SELECT '{planted}' AS held")
    assert sorted(play.leaks()) == sorted(["answer 0", "tags", *map(str, (*files, *logs)), "planted"])
    server.postgres.run(server.database, "DROP TABLE planted")


def cures(answer: dict) -> set[str]:
    """The cures of what an audit found."""
    return {finding["cure"] for finding in answer["findings"]}


def test_what_gc_has_deleted_is_found_and_comes_back_from_dvc(play: Play):
    """At the team's server: a version of a model that DVC has, whose run and files are deleted for good."""
    play.run("dvc", "repro")  # what DVC has; its run and its version are written from there
    number = max(play.stages())
    play.told("promote", f"{play.model}/{number}", "--to", "production")
    play.server.delete_run_of(play.model, number)
    assert "is in MLflow's trash" in play.told("gate", play.production, code=1)
    play.told("audit", "--fix")
    assert play.answer("gate", play.production)["passed"]
    play.server.delete_run_of(play.model, number)
    assert "is in MLflow's trash" in play.told("gate", play.production, code=1)
    play.server.gc()
    against = play.answer("gate", play.production, code=1)["against"]
    assert sum(reason.endswith("is not there") for reason in against) == 8  # its run, and its seven files
    assert cures(play.answer("audit", code=1)) == {"`predictflow restore`"}
    restored = play.answer("restore")
    assert restored["replaced"] == [f"{play.model}/{number}"] and restored["incomplete"] == []
    assert play.stages()[number + 1] == "Production" and number not in play.stages()
    assert play.answer("gate", play.production)["passed"]
    assert play.answer("audit")["findings"] == []
    assert play.answer("restore")["replaced"] == []


def test_what_gc_has_deleted_comes_back_into_an_own_database_too(warm: Project):
    import mlflow

    history = History(warm, {})
    history.told("promote", f"{MODEL}/1", "--to", "production")
    store = warm.store
    run = store.get_model_version(MODEL, "1").run_id
    files = store.get_run(run).data.params, warm.folder / "mlflow_data/artifacts" / run / "artifacts/model"
    store.delete_run(run)
    database = f"sqlite:///{warm.folder}/mlflow_data/mlflow.db"
    env = {"MLFLOW_TRACKING_URI": database}
    warm.run("mlflow", "gc", "--backend-store-uri", database, env=env)
    assert not files[1].exists() and store.get_model_version(MODEL, "1").status == "READY"
    assert not history.answer("gate", f"{MODEL}@production", code=1)["passed"]
    assert "`predictflow restore`" in cures(history.answer("audit", code=1))
    history.answer("restore")
    assert history.answer("gate", f"{MODEL}@production")["passed"]
    assert history.answer("audit")["findings"] == []
    assert store.get_model_version(MODEL, "1").run_id == run  # its own id, by the receipt
    assert mlflow.MlflowClient(database).get_run(run).data.params == files[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (postgres.PASSWORD, "wrong-s3cret", "password authentication failed"),
        (r"/\w+$", "/nowhere", 'database "nowhere" does not exist'),
        (r":\d+/", ":9/", "Connection refused"),
    ],
)
def test_a_database_that_lets_nobody_in_stops_a_stage_and_a_command(
    warm: Project, database: postgres.Postgres, old: str, new: str, said: str
):
    """MLflow itself would ask it fifteen times, for minutes."""
    uri = re.sub(old, new, database.uri())
    assert uri != database.uri()
    warm.env["MLFLOW_TRACKING_URI"] = uri
    began = time.monotonic()
    stage, command = (
        warm.run("python", "-m", "stages.register", code=1),
        warm.run("predictflow", "lineage", f"{MODEL}/1", code=2),
    )
    assert time.monotonic() - began < 60
    for done in (stage, command):
        told = " ".join((done.stdout + done.stderr).split())
        assert said in told and "Traceback" not in told, told
        assert "s3cret" not in told, told
    assert "Cure: start its server" in stage.stderr


def test_the_page_of_the_team_does_what_it_says(play: Play):
    """All but the server's own block, whose names and whose auth.ini are those that this server has."""
    play.run("dvc", "repro")
    page = blocks(text_of("docs/team.md"))
    (start,) = [block.text for block in page if "mlflow server" in block.text]
    assert set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", start)) <= play.server.env.keys()
    (auth,) = [block.text for block in page if "database_uri" in block.text]
    assert re.sub("(?<=database_uri = ).*", "{uri}", auth) == team.AUTH
    secrets = {"ADMIN_PASSWORD": PASSWORDS["admin"], "CLEO_PASSWORD": "Cleo-s3cret-1"}
    for block in page:
        if block.language in PLAYED and block.text != start:
            play.sit("bo" if "promote" in block.text else "ada")
            reader = Player(play.project)
            reader.env |= secrets
            told = block.text.replace("https://mlflow.example.com", play.server.uri)
            for step in steps(replace(block, text=told.replace(MODEL, play.model))):
                reader.do(step)


@pytest.mark.slow
def test_a_study_goes_on_at_the_server_and_a_model_is_rebuilt(play: Play):
    play.project.edit("params.yaml", "high: 1500", "high: 200")
    play.project.edit("params.yaml", "rounds: 30", "rounds: 1")  # every trial is better
    play.run("dvc", "repro")
    play.project.commit("a small space")
    study = ("predictflow", "tune", "--json", "--trials")
    first, second = (json.loads(play.run(*study, trials)) for trials in ("2", "3"))
    assert first["run"] == second["run"] and second["trials"]["complete"] == 3
    runs = [run for run in play.project_runs() if run.data.tags.get("mlflow.parentRunId") == second["run"]]
    assert sorted(run.data.tags["predictflow.trial"] for run in runs) == ["0", "1", "2"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    number = max(play.stages())
    assert "identical" in play.told("rebuild", f"{play.model}/{number}")
    assert play.leaks() == []
