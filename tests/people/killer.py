"""Who kills a command at a point of its way: with SIGKILL, after which nothing is put in order."""

import signal
import subprocess

from tests.people.project import WAIT, Project

DYING = """
import os, signal, sys
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
def after(function):
    def run(*words, **named):
        function(*words, **named)
        die()
    return run
"""
PROMOTING = f"""{DYING}
from predictflow import cli
from predictflow.ledger import ledger
from stages.tracking import registry
{{point}}
sys.exit(cli.run(sys.argv[1:]))
"""
POINTS = {
    "before the first receipt": "ledger.write_receipt = die",
    "after the first receipt": "ledger.write_receipt = after(ledger.write_receipt)",
    "before the push": "ledger.push_chain = die",
    "after the push": "ledger.push_chain = after(ledger.push_chain)",
    "between stage and alias": "import mlflow; mlflow.MlflowClient.set_registered_model_alias = die",
    "after the alias": "registry.move = after(registry.move)",
}

SCORING = f"""{DYING}
import pathlib
from predictflow import cli
from predictflow.scoring import claim, stream
{{point}}
sys.exit(cli.run(sys.argv[1:]))
"""
SCORING_POINTS = {
    "between the passes": "stream.deciles = die",
    "before the scores have their name": "pathlib.Path.replace = die",
    "before the note": "claim.write_note = die",
}

# `dvc repro`, while it writes dvc.lock.
LOCKING = f"""{DYING}
from dvc.utils.serialize import _yaml
written = _yaml._dump
def dump(data, stream):
    if os.path.basename(stream.name) == "dvc.lock":
        die()  # it is open, and empty
    written(data, stream)
_yaml._dump = dump
from dvc.cli import main
sys.exit(main(["repro", "--quiet"]))
"""

# `dvc exp run --temp`, while it notes the experiment down.
NOTING = f"""{DYING}
from dvc.repo.experiments.queue.base import BaseStashQueue
from scmrepo.git import Git
from scmrepo.git.stash import Stash
{{point}}
from dvc.cli import main
sys.exit(main(["exp", "run", "--temp", "--name", "killed", "-S", "seed=5"]))
"""
NOTING_POINTS = {
    "what was not committed is put away": "Stash.push = after(Stash.push)",
    "HEAD is on no branch": "BaseStashQueue._update_params = die",
    "the params are written": "BaseStashQueue._stash_commit_deps = die",
    "its own file is in the index": "BaseStashQueue._stash_msg = staticmethod(die)",
    "it is noted down": "Git.reset = die",
}

# These are killed at a step whose number they are given.
PRUNING = """
import os, pathlib, shutil, signal, sys
from predictflow import cli
from predictflow.adapters import mlflow_tables
from predictflow.maintenance import garbage
left = int(sys.argv.pop(1))
def count(function):
    def run(*words, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*words, **named)
    return run
points = ((mlflow_tables, "delete_runs"), (shutil, "rmtree"), (os, "unlink"), (pathlib.Path, "unlink"))
for module, name in points:
    setattr(module, name, count(getattr(module, name)))
sys.exit(cli.run(["prune", "--yes"]))
"""
RESTORING = """
import os, signal, sys
from predictflow import cli
from predictflow.adapters import mlflow_tables
from predictflow.maintenance import restore
from stages.tracking import registry
left = int(sys.argv.pop(1))
def count(function):
    def run(*words, **named):
        global left
        answer = function(*words, **named)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    return run
tables = [(mlflow_tables, name) for name in ("add_run", "date_metrics", "date_version", "renumber")]
for module, name in (*tables, (restore, "complete"), (registry, "register"), (registry, "move")):
    setattr(module, name, count(getattr(module, name)))
sys.exit(cli.run(["restore"]))
"""


def kill(project: Project, program: str, *words: str) -> None:
    """Run one of these in a project; it must be killed, and not end by itself."""
    killed = subprocess.run(
        [project.python, "-c", program, *words],
        cwd=project.folder,
        env=project.env,
        capture_output=True,
        timeout=WAIT,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
