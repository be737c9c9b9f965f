"""A team's server: MLflow on PostgreSQL, its files in S3, and a password for each person.

Ada may do all with the project's models, Bo may log runs but not promote, and the admin keeps the server.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from tests.people.postgres import PASSWORD, Postgres
from tests.people.processes import begun, free_port
from tests.people.project import environment
from tests.people.server import serving
from tests.people.waiting import until

BUCKET = "models"
KEY, S3_SECRET = "TEAMKEY", "S3-s3cret"
PASSWORDS = {"admin": "Admin-s3cret", "ada": "Ada-s3cret-1", "bo": "Bo-s3cret-12"}
COOKIES = "C00kie-s3cret"  # with which the server signs what it tells browsers
SECRETS = (PASSWORD, S3_SECRET, COOKIES, *PASSWORDS.values())
AUTH = """\
[mlflow]
default_permission = READ
grant_default_workspace_access = true
database_uri = {uri}
admin_username = admin
auth_cache_ttl_seconds = 300
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


class Team:
    """A running server.

    Attributes:
        uri: its address, without a password.
        folder: its log, and in s3/ its bucket, a file an object.
        names: of the models that were made at it.
    """

    def __init__(self, folder: Path, postgres: Postgres, database: str, stack: ExitStack) -> None:
        self.folder, self.uri, self.postgres = folder, "", postgres
        self.database, self.names = database, []
        self.store = postgres.create(database)
        self._stack, self._s3 = stack, ""
        self.users = postgres.create(f"{database}-users")

    @property
    def env(self) -> dict[str, str]:
        """The environment of who keeps the server."""
        return environment(self.folder) | {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",  # as rclone needs it
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            "MLFLOW_S3_ENDPOINT_URL": self._s3,
            "MLFLOW_BACKEND_STORE_URI": self.store,
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}",
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["admin"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": COOKIES,
        }

    def person(self, name: str) -> dict[str, str]:
        """What lets a person's commands in, in the environment."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": PASSWORDS[name],
        }

    def start(self) -> None:
        """Start it, with its bucket and its people, and wait until it answers."""
        (self.folder / "auth.ini").write_text(AUTH.format(uri=self.users))
        self._start_s3()
        words = ["mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--workers", "1"]
        self.uri = self._stack.enter_context(serving(words, self.folder, self.env))
        for name in ("ada", "bo"):
            self.admin("users/create", username=name, password=PASSWORDS[name])

    def _start_s3(self) -> None:
        (self.folder / "s3" / BUCKET).mkdir(parents=True)
        at = f"127.0.0.1:{free_port()}"
        options = ["--config", os.devnull, "--addr", at, "--auth-key", f"{KEY},{S3_SECRET}"]
        words = ["rclone", "serve", "s3", *options, "--dir-cache-time", "1s", str(self.folder / "s3")]
        with (self.folder / "s3.log").open("w") as said:
            process = self._stack.enter_context(begun(words, self.folder, self.env, stdout=said, stderr=said))
        self._s3 = f"http://{at}"

        def answers() -> bool:
            assert process.poll() is None, (self.folder / "s3.log").read_text()
            with socket.socket() as asked:
                return asked.connect_ex(("127.0.0.1", int(at.rpartition(":")[2]))) == 0

        until(answers, "the bucket")

    def admin(self, route: str, version: str = "2.0", **given: object) -> dict:
        """Ask what only the admin may."""
        who = ("admin", PASSWORDS["admin"])
        at = f"{self.uri}/api/{version}/mlflow/{route}"
        answer = requests.post(at, json=given, auth=who, timeout=120)
        assert answer.ok, answer.text
        return answer.json()

    def grant(self, name: str, kind: str, what: str, permission: str) -> None:
        """Let a person do something with an experiment or a registered model."""
        about = {"resource_type": kind, "resource_id": what, "permission": permission}
        self.admin("users/permissions/grant", "3.0", username=name, **about)

    def delete_run_of(self, model: str, number: int) -> None:
        """Put the run of a version in MLflow's trash."""
        who = ("admin", PASSWORDS["admin"])
        about = {"name": model, "version": str(number)}
        at = f"{self.uri}/api/2.0/mlflow/model-versions/get"
        version = requests.get(at, params=about, auth=who, timeout=120).json()["model_version"]
        self.admin("runs/delete", run_id=version["run_id"])

    def gc(self) -> None:
        """Delete for good what is in MLflow's trash, as who keeps the server does."""
        admin = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORDS["admin"]}
        words = ["mlflow", "gc", "--backend-store-uri", self.store]
        subprocess.run(
            [*words, "--artifacts-destination", f"s3://{BUCKET}"],
            env=self.env | admin | {"MLFLOW_TRACKING_URI": self.uri},
            check=True,
            timeout=300,
        )


@contextmanager
def team(folder: Path, postgres: Postgres, database: str = "mlflow") -> Iterator[Team]:
    """A server that runs as long as the block lasts."""
    with ExitStack() as stack:
        one = Team(folder, postgres, database, stack)
        one.start()
        yield one
