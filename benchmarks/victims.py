"""The commands that benchmarks.kills kills, and what each makes where nobody kills it."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import scenes
from benchmarks.scenes import CACHED, OURS, Prepare, World
from predictflow.tuning.journal import Journal
from tests.people.project import Project

MODEL = "churn-predictor"
TRIALS = 6
SHALLOW = "models.xgboost.max_depth=1"
QUEUED = "queued"
SCORES, APART = "../scores.csv", "../bad.csv"
STUDY = "mlflow_data/studies/1.journal"


@dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        share: of 200 kills; the long ones get fewer.
        prepare: what lets it have something to do.
        renew: what no copy of the project holds, as it is before each kill.
        again: what a person does after the kill, where that is another command.
        codes: the exit codes of a good end.
        same: what must be, in the end, as where nobody kills it.
        refuses: what it says where all was done before it was killed.
        makes_anew: whether its store was away, so that only what has a receipt or is committed comes back.
        removes: whether it takes runs away that nobody needs.
        stays: whether it leaves processes behind that work on.
    """

    name: str
    words: tuple[str, ...]
    share: int = 9
    prepare: Prepare = lambda project, world: None
    renew: Prepare = lambda project, world: None
    again: tuple[str, ...] = ()
    codes: tuple[int, ...] = (0,)
    same: Callable[[Project, World], object] = lambda project, world: None
    refuses: str = ""
    makes_anew: bool = False
    removes: bool = False
    stays: bool = False


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else "nothing"


def _in_experiment(name: str) -> Callable[[Project, World], object]:
    """The ids of what an experiment holds of params and model."""

    def found(project: Project, world: World) -> object:
        refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/*").stdout.split()
        named = [ref for ref in refs if ref.endswith(f"/{name}")]
        return [
            project.run("git", "rev-parse", f"{ref}:dvc.lock", f"{ref}:params.yaml").stdout for ref in named
        ]

    return found


def _trials(project: Project, world: World) -> object:
    """What the journal tells of each trial, but for times; and what MLflow has of them."""
    trials = [
        (one.number, one.state.name, one.params, one.value) for one in Journal(project.folder / STUDY).trials
    ]
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as store:
        asked = "SELECT value FROM tags WHERE key = 'predictflow.trial' ORDER BY CAST(value AS INTEGER)"
        return trials, store.execute(asked).fetchall()


def _pushed(project: Project, world: World) -> object:
    """What lies in the bucket: each key, and whether its bytes are those of its name."""
    client, found = world.s3.client(), {}
    for key, name in world.objects().items():
        body = client.get_object(Bucket=world.bucket(), Key=key)["Body"].read()
        found[key] = hashlib.md5(body).hexdigest() == name.removesuffix(".dir")
    return found


def _pulled(project: Project, world: World) -> object:
    held = sorted(path.parent.name + path.name for path in (project.folder / CACHED).glob("??/*"))
    return [*held, _md5(project.folder / "data/customers.csv")]


def _rebuilt(project: Project, world: World) -> object:
    """A receipt says so; two, where the first was killed after it had written one."""
    tags = project.run("git", "for-each-ref", "--format=%(refname)", f"refs/tags/{MODEL}/rebuilt").stdout
    return bool(tags) and not list((project.folder / ".git/worktrees").glob("*"))


def _in_bentoml(project: Project, world: World) -> object:
    models = project.folder.parent / "home/bentoml/models"
    return {path.relative_to(models).as_posix(): _md5(path) for path in models.rglob("mlflow_model/**/*")}


def _lines(path: str) -> Callable[[Project, World], object]:
    return lambda project, world: (project.folder / path).read_text()


def _scored(project: Project, world: World) -> object:
    return _md5(project.folder / SCORES), _md5(project.folder / APART)


# Not `Running` in `dvc queue status`: DVC says that for ever of a task whose process was killed.
_QUEUE = f"""
dvc exp run --queue --name {QUEUED} -S {SHALLOW} && dvc queue start || exit 1
n=0; until dvc exp list --name-only | grep -q '^{QUEUED}$' || [ $((n+=1)) -gt 100 ]; do sleep 1; done
while dvc queue status | grep -q '[1-9] active'; do sleep 1; done
dvc exp list --name-only | grep -q '^{QUEUED}$'
"""
_QUEUE_AGAIN = f"dvc queue kill {QUEUED}; dvc queue remove --all; dvc exp remove {QUEUED}; {_QUEUE}"
_RUN = ("dvc", "exp", "run", "--force", "--name", "killed", "-S", SHALLOW)

VICTIMS = (
    Victim("promote", (*OURS, "promote", f"{MODEL}/1", "--to", "production"), 9),
    Victim("rollback", (*OURS, "rollback"), 9),
    Victim("gate", (*OURS, "gate", f"{MODEL}@production"), 4),
    Victim("audit --fix", (*OURS, "audit", "--fix"), 10, scenes.disagreement),
    Victim("doctor --fix", (*OURS, "doctor", "--fix"), 10, scenes.leftovers),
    Victim("restore", (*OURS, "restore"), 10, scenes.no_store, makes_anew=True),
    Victim("prune", (*OURS, "prune", "--yes"), 10, scenes.garbage, removes=True),
    Victim("lineage", (*OURS, "lineage", f"{MODEL}/1"), 5),
    Victim(
        "predict",
        (*OURS, "predict", f"{MODEL}/1", "../new.csv", "--output", SCORES, "--skip-bad", APART),
        11,
        scenes.one_bad_customer,
        same=_scored,
        refuses="is there already",
    ),
    Victim(
        "tune", (*OURS, "tune", "--trials", str(TRIALS)), 10, scenes.few_and_quick, codes=(0, 1), same=_trials
    ),
    Victim("tune --apply", (*OURS, "tune", "--apply"), 6, scenes.a_study, same=_lines("params.yaml")),
    Victim(
        "tune --exp",
        (*OURS, "tune", "--exp", "better"),
        8,
        scenes.a_study,
        same=_in_experiment("better"),
        refuses="better",
    ),
    Victim("rebuild", (*OURS, "rebuild", f"{MODEL}/1", "--env", "current"), 8, same=_rebuilt),
    Victim("push", (*OURS, "push", "--all"), 11, scenes.far, scenes.empty_bucket, same=_pushed),
    Victim("pull", (*OURS, "pull"), 11, scenes.only_far, scenes.full_bucket, same=_pulled),
    Victim(
        "export bentoml",
        (*OURS, "export", "bentoml", f"{MODEL}@production", "--python", "../bentoml/bin/python"),
        8,
        scenes.bentoml,
        same=_in_bentoml,
    ),
    Victim("store backup", (*OURS, "store", "backup"), 9),
    Victim("store check", (*OURS, "store", "check"), 4),
    Victim("store upgrade", (*OURS, "store", "upgrade"), 10, scenes.older_store),
    Victim("dvc repro", ("dvc", "repro"), 14, scenes.other_params, same=_lines("dvc.lock")),
    Victim("dvc exp run", _RUN, 8, same=_in_experiment("killed")),
    Victim("dvc exp run --temp", (*_RUN, "--temp"), 10, scenes.own_words, same=_in_experiment("killed")),
    Victim(
        "dvc queue start",
        ("sh", "-c", _QUEUE),
        5,
        again=("sh", "-c", _QUEUE_AGAIN),
        same=_in_experiment(QUEUED),
        stays=True,
    ),
)
