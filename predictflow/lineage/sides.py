"""The two that are compared, and what Git, DVC and MLflow tell of each."""

import hashlib
from dataclasses import dataclass, field, replace
from itertools import product

from predictflow.adapters.dvc_files import (
    DVC_LOCK,
    MEASURED,
    POINTERS,
    REQUIREMENTS,
    parse_yaml,
)
from predictflow.adapters.mlflow_entities import COMMIT_TAG
from predictflow.formatting import Json
from predictflow.lineage import answers
from predictflow.lineage.handles import Target, resolve
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from stages.support.errors import UserError
from stages.support.params import flat
from stages.support.paths import PARAMS, PROVENANCE

OF_A_RUN = ("data.", "models.", "prepare.", "seed", "train.")  # MLflow notes some of its own beside them
ALONE = {  # of a model that is older than these keys: there was nothing else
    "train.engine": "local",
    "train.workers": 1,
    "train.partitions": 1,
    "train.device": "cpu",
}
OF_TRAINING = ("train.", "validation.")  # metrics that a run holds beside those of the evaluation


@dataclass(frozen=True)
class ComparedSide:
    """One of the two that are compared. Of customers, only their md5 and params are known; what nothing
    tells is None.

    Attributes:
        letter: a or b.
        named: what the handle is, in words.
        customers: the md5 of the customers.
        params: {dotted name: value} of those that made the model.
        evaluation: the same of those that it was measured with.
        columns: {name: declaration}.
        code: {path: md5}.
        environment: the md5 of requirements.lock.
        revision: the commit that holds the files it was made of; None: the working tree.
    """

    letter: str
    handle: str | None
    named: str
    model: Model | None = None
    customers: str | None = None
    params: Json = field(default_factory=dict)
    evaluation: Json | None = None
    columns: Json | None = None
    code: dict[str, str] | None = None
    environment: str | None = None
    metrics: Json | None = None
    revision: str | None = None

    def as_json(self) -> Json:
        return {
            "handle": self.handle,
            "is": self.named,
            "content": self.model.content if self.model else None,
            "kind": self.params.get("train.model") if self.model else None,
            "commit": self.model.commit.sha if self.model and self.model.commit else None,
            "customers": self.customers,
        }


def find_sides(project: Project, a: str, b: str | None) -> tuple[ComparedSide, ComparedSide]:
    """The two that are compared. Where several dvc.locks hold a model, that one counts which has the code of
    the other side's; without one, the first.

    Raises UserError for a handle of something that cannot be compared, and what `resolve` raises.
    """
    targets = resolve(project, a), resolve(project, b)
    locks = _of_the_same_code(project, *targets) or [target.lock for target in targets]
    of_a, of_b = (
        _find_side(project, ComparedSide(letter, handle, target.named), target, lock)
        for letter, handle, target, lock in zip("ab", (a, b), targets, locks, strict=True)
    )
    return of_a, of_b


def _of_the_same_code(project: Project, *targets: Target) -> tuple[str, str] | None:
    """The names of two dvc.locks that hold two models and are of one code; None where none are."""
    history, holding = project.history, []
    for target in targets:
        names = [target.lock] if target.lock else history.contents.get(target.model or "", [])
        holding.append([(name, history.locks[name].code) for name in names])
    for (a, of_a), (b, of_b) in product(*holding):
        # a dvc.lock of an experiment that ended before `register` does not name its code
        if all(of_b.get(path, md5) == md5 for path, md5 in of_a.items()):
            return a, b
    return None


def _find_side(project: Project, side: ComparedSide, target: Target, lock: str | None) -> ComparedSide:
    if target.model:
        return _of_model(project, side, target.model, lock)
    return _of_customers(project, side, target.file or "")


def file_at(project: Project, revision: str | None, path: str) -> bytes | None:
    """A file as a commit, or the working tree (None), holds it; None where it does not."""
    if revision:
        done = project.repository.git("cat-file", "blob", f"{revision}:{path}")
        return done.stdout if done.returncode == 0 else None
    file = project.repository.folder / path
    return file.read_bytes() if file.is_file() else None


def md5_at(project: Project, revision: str | None, path: str) -> str | None:
    """The md5 of such a file."""
    text = file_at(project, revision, path)
    return None if text is None else hashlib.md5(text).hexdigest()


def note_gap(project: Project, side: ComparedSide, what: str, why: str) -> None:
    project.gaps.note(f"the {what} of {side.letter.upper()}: {why}")


def _of_model(project: Project, side: ComparedSide, content: str, lock: str | None = None) -> ComparedSide:
    model = answers.recorded(project, content, lock)
    side = replace(
        side,
        model=model,
        customers=model.customers,
        environment=model.md5s.get(REQUIREMENTS),
        metrics=model.metrics or None,
    )
    if model.lock.md5s:
        return _of_lock(project, side, model)
    params = {name: value for name, value in model.params.items() if name.startswith(OF_A_RUN)}
    metrics = {name: value for name, value in model.metrics.items() if not name.startswith(OF_TRAINING)}
    commits = [run.tags[COMMIT_TAG] for run in project.runs.get(content, []) if COMMIT_TAG in run.tags]
    revision = commits[0] if commits else None
    return replace(side, params=_whole(params), metrics=metrics or None, revision=revision)


def _of_lock(project: Project, side: ComparedSide, model: Model) -> ComparedSide:
    """What a model's dvc.lock tells of it, also where the stages after train have not run since."""
    revision = model.commit.sha if model.commit else None
    if revision is None and side.handle:
        revision = project.repository.commit(side.handle)  # a commit that no ref reaches any more
    stages = _yaml_at(project, revision, DVC_LOCK).get("stages", {})
    training, evaluation = (_writer_of(stages, path) for path in (PROVENANCE.as_posix(), MEASURED))
    measured = _read_by(evaluation).get(PROVENANCE.as_posix()) == model.content
    trees = training.get("params", {}).values()  # a tree a file
    columns = (tree["data"].get("columns") for tree in trees if "data" in tree)
    read = {path: md5 for stage in [*stages.values(), training] for path, md5 in _read_by(stage).items()}
    return replace(
        side,
        params=_whole(_params(training)),
        evaluation=_params(evaluation) if measured else None,
        columns=next(columns, None),
        code={path: md5 for path, md5 in read.items() if path.endswith(".py")},
        metrics=side.metrics if measured else None,
        revision=revision,
    )


def _of_customers(project: Project, side: ComparedSide, md5: str) -> ComparedSide:
    """Customers, with the params of the first model that was made from them."""
    history = project.history
    named = history.named_by.get(md5) or project.in_store(md5).get(md5, {})
    paths = POINTERS.keys() & named.keys()
    if not paths:
        raise UserError(
            f"{side.handle} ({side.named}) is neither a model nor customers.\n"
            f"Cure: `predictflow lineage {side.handle}` lists the models made from it; compare two of those."
        )
    made = [content for content in history.contents if any(content in named[path] for path in paths)]
    if made := made or sorted(set().union(*(named[path] for path in paths))):
        return replace(_of_model(project, side, made[0]), customers=md5, model=None)
    first = history.first_with_customers.get(md5)
    params = _yaml_at(project, first.sha if first else None, PARAMS.as_posix())
    return replace(side, customers=md5, params=flat(params))


def _yaml_at(project: Project, revision: str | None, path: str) -> Json:
    """What such a file says; nothing where it is not there or is no YAML."""
    try:
        return parse_yaml(file_at(project, revision, path) or b"")
    except ValueError:
        return {}


def _writer_of(stages: Json, path: str) -> Json:
    """The stage of a dvc.lock that wrote a file."""
    outs = ((out["path"], stage) for stage in stages.values() for out in stage.get("outs", []))
    return dict(outs).get(path, {})


def _read_by(stage: Json) -> dict[str, str]:
    """{path: md5} of what a stage in a dvc.lock has read."""
    return {entry["path"]: entry["md5"] for entry in stage.get("deps", []) if "md5" in entry}


def _whole(params: Json) -> Json:
    """The params of a training, with those that it is older than."""
    return ALONE | params if "train.model" in params else params


def _params(stage: Json) -> Json:
    return {name: value for tree in stage.get("params", {}).values() for name, value in flat(tree).items()}
