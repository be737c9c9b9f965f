"""What differs between two models, or between the customers of two: plain values for JSON.

docs/reference/json.md says what each key means.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from predictflow.adapters.dvc_files import CUSTOMERS, DVC_LOCK, MEASURED, REQUIREMENTS, parse_yaml
from predictflow.adapters.mlflow_entities import COMMIT_TAG
from predictflow.formatting import SHORT, Json
from predictflow.lineage import answers
from predictflow.lineage.customer_files import CustomerChanges, CustomerCsv, MalformedCustomers, Open, compare
from predictflow.lineage.handles import resolve
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from stages.support import hashes
from stages.support.environment import PIN
from stages.support.errors import UserError
from stages.support.params import flat
from stages.support.paths import PARAMS, PROVENANCE

OF_A_RUN = ("data.", "models.", "prepare.", "seed", "train.")  # MLflow notes some of its own beside them
OF_TRAINING = ("train.", "validation.")  # metrics that a run holds beside those of the evaluation
DIGITS = 9  # of a metric, as the stages write it

# Opens files that hold so many bytes in all, and shows how far their reading is.
Reading = Callable[[int], AbstractContextManager[Open | None]]


@dataclass(frozen=True)
class ComparedSide:
    """One of the two that are compared. Of customers, only their md5 and params are known.

    Attributes:
        letter: a or b.
        named: what the handle is, in words.
        customers: the md5 of customers.csv; None where nothing tells it.
        params: {dotted name: value} of those that made the model.
        evaluation: the same of those that it was measured with; None where no dvc.lock tells them.
        columns: {name: declaration}; None likewise.
        code: {path: md5}; None likewise.
        environment: the md5 of requirements.lock; None where nothing tells it.
        metrics: None where no evaluation of this model is recorded.
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
    code: Json | None = None
    environment: str | None = None
    metrics: Json | None = None
    revision: str | None = None


def find(project: Project, letter: str, handle: str | None) -> ComparedSide:
    """Raises UserError for a handle of something that cannot be compared, and what `resolve` raises."""
    target = resolve(project, handle)
    side = ComparedSide(letter, handle, target.named)
    if target.model:
        return _of_model(project, side, target.model, target.lock)
    return _of_customers(project, replace(side, customers=target.file))


def _of_model(project: Project, side: ComparedSide, content: str, lock: str | None = None) -> ComparedSide:
    model = answers.recorded(project, content, lock)
    side = replace(
        side,
        model=model,
        customers=model.md5s.get(CUSTOMERS),
        environment=model.md5s.get(REQUIREMENTS),
        metrics=model.metrics or None,
    )
    if model.lock.md5s:
        return _of_lock(project, side, model)
    params = {name: value for name, value in model.params.items() if name.startswith(OF_A_RUN)}
    metrics = {name: value for name, value in model.metrics.items() if not name.startswith(OF_TRAINING)}
    commits = [run.tags[COMMIT_TAG] for run in project.runs.get(content, []) if COMMIT_TAG in run.tags]
    revision = commits[0] if commits else None
    return replace(side, params=params, metrics=metrics or None, revision=revision)


def _of_lock(project: Project, side: ComparedSide, model: Model) -> ComparedSide:
    """What a model's dvc.lock tells of it, also where the stages after train have not run since."""
    revision = model.commit.sha if model.commit else None
    if revision is None and side.handle:
        revision = project.repository.commit(side.handle)  # a commit that no ref reaches any more
    stages = _yaml(_text(project, revision, DVC_LOCK)).get("stages", {})
    training, evaluation = (_writer_of(stages, path) for path in (PROVENANCE.as_posix(), MEASURED))
    measured = _read_by(evaluation).get(PROVENANCE.as_posix()) == model.content
    columns = (tree["data"].get("columns") for tree in _trees(training) if "data" in tree)
    read = {path: md5 for stage in [*stages.values(), training] for path, md5 in _read_by(stage).items()}
    return replace(
        side,
        params=_params(training),
        evaluation=_params(evaluation) if measured else None,
        columns=next(columns, None),
        code={path: md5 for path, md5 in read.items() if path.endswith(".py")},
        metrics=side.metrics if measured else None,
        revision=revision,
    )


def _of_customers(project: Project, side: ComparedSide) -> ComparedSide:
    """Customers, with the params of the first model that was made from them."""
    history, md5 = project.history, side.customers
    named = history.named_by.get(md5) or project.in_store.get(md5, {})
    if CUSTOMERS not in named:
        raise UserError(
            f"{side.handle} ({side.named}) is neither a model nor a customers.csv.\n"
            f"Cure: `predictflow lineage {side.handle}` lists the models made from it; compare two of those."
        )
    made = [content for content in history.contents if content in named[CUSTOMERS]]
    if made := made or sorted(named[CUSTOMERS]):
        return replace(_of_model(project, side, made[0]), customers=md5, model=None)
    first = history.first_with_customers.get(md5)
    text = _text(project, first.sha if first else None, PARAMS.as_posix())
    return replace(side, params=flat(_yaml(text)))


def _text(project: Project, revision: str | None, path: str) -> bytes | None:
    """A file as a commit, or the working tree (None), holds it; None where it does not."""
    if revision:
        done = project.repository.git("cat-file", "blob", f"{revision}:{path}")
        return done.stdout if done.returncode == 0 else None
    file = (project.repository.root or project.repository.git_folder) / path
    return file.read_bytes() if file.is_file() else None


def _yaml(text: bytes | None) -> Json:
    """What DVC reads in a file; nothing in one that is not there or is no YAML."""
    try:
        return parse_yaml(text or b"")
    except ValueError:
        return {}


def _writer_of(stages: Json, path: str) -> Json:
    """The stage of a dvc.lock that wrote a file."""
    written = {out["path"]: stage for stage in stages.values() for out in stage.get("outs", [])}
    return written.get(path, {})


def _read_by(stage: Json) -> dict[str, str]:
    """{path: md5} of what a stage in a dvc.lock has read."""
    return {entry["path"]: entry["md5"] for entry in stage.get("deps", []) if "md5" in entry}


def _trees(stage: Json) -> list[Json]:
    """The params of a stage in a dvc.lock, a tree a file."""
    return list(stage.get("params", {}).values())


def _params(stage: Json) -> Json:
    return {name: value for tree in _trees(stage) for name, value in flat(tree).items()}


def between(project: Project, a: ComparedSide, b: ComparedSide, reading: Reading) -> Json:
    """Every section of two models; of the data alone where one is no model.

    A section is None where it could not be compared, and empty where nothing differs.
    """
    compared: dict[str, Json | None] = {
        "data": _data(project, a, b, reading) if _known(project, a, b, "customers") else None
    }
    if a.model and b.model:
        for name, section in SECTIONS.items():
            if a.model == b.model and getattr(a, name) is None:
                compared[name] = {}  # of one model, what nobody knows is the same all the same
            else:
                compared[name] = section(project, a, b) if _known(project, a, b, name) else None
    return {
        "a": _told(project, a),
        "b": _told(project, b),
        **compared,
        "differs": [name for name, section in compared.items() if section],
        "same": [name for name, section in compared.items() if section == {}],
        "unknown": [name for name, section in compared.items() if section is None],
    }


def _told(project: Project, side: ComparedSide) -> Json:
    return {
        "handle": side.handle,
        "is": side.named,
        "content": side.model.content if side.model else None,
        "kind": side.params.get("train.model") if side.model else None,
        "commit": side.model.commit.sha if side.model and side.model.commit else None,
        "customers": side.customers,
    }


def _rows(project: Project, md5: str) -> int | None:
    """How many customers prepare counted; None where no commit tells."""
    for lock in project.history.locks.values():
        prepared = project.history.prepared(lock)
        if prepared.get("md5", {}).get(CUSTOMERS) == md5:
            return sum(prepared[side]["rows"] for side in answers.SIDES.values())
    return None


def _unseen(project: Project, what: str, side: ComparedSide, why: str) -> None:
    """Note what could not be looked at."""
    project.unseen.append(f"the {what} of {side.letter.upper()}: {why}")


def _known(project: Project, a: ComparedSide, b: ComparedSide, name: str) -> bool:
    """Whether both sides tell of something; what one of them does not is noted."""
    unknown = [side for side in (a, b) if getattr(side, name) is None]
    for side in unknown:
        _unseen(project, name, side, WHY_UNKNOWN[name])
    return not unknown


def _differing(one: Json, other: Json) -> Json:
    """{name: {a, b}} of what differs; a side that has no such name has no key there."""
    differing = {}
    for name in sorted(one.keys() | other.keys()):
        values = {letter: side[name] for letter, side in (("a", one), ("b", other)) if name in side}
        if len(values) == 1 or values["a"] != values["b"]:
            differing[name] = values
    return differing


def _data(project: Project, a: ComparedSide, b: ComparedSide, reading: Reading) -> Json:
    if a.customers == b.customers:
        return {}
    files = [_file(project, side) for side in (a, b)]
    found = _compared(project, a, b, *files, reading) if None not in files else None
    if found:
        both = len(found.changed) + found.unchanged
        rows = {"a": len(found.removed) + both, "b": len(found.added) + both}
    else:
        rows = {side.letter: _rows(project, side.customers) for side in (a, b)}
    return {
        "md5": {side.letter: side.customers for side in (a, b)},
        "rows": rows,
        "customers": asdict(found) if found else None,
    }


def _file(project: Project, side: ComparedSide) -> CustomerCsv | None:
    """The customers of a side, as they lie on this machine, and how they are written."""
    path = _lying(project, side)
    written = [side.params.get(f"data.{key}") for key in ("delimiter", "encoding", "id")]
    if path is None and project.repository.root is None:
        _unseen(project, "customers", side, "a bare clone has none")
    elif path is None:
        cure = f"`dvc fetch --all-commits {CUSTOMERS}.dvc` brings what the remote has"
        why = f"{side.customers} is in neither DVC's cache nor the working tree ({cure})"
        _unseen(project, "customers", side, why)
    elif None in written:
        _unseen(project, "customers", side, f"no {PARAMS} tells how {side.customers} is written")
    else:
        return CustomerCsv(path, *written)
    return None


def _lying(project: Project, side: ComparedSide) -> Path | None:
    """Where the customers lie: in the cache, in the working tree, or where the handle says."""
    root = project.repository.root
    if root and (cached := project.look(lambda: project.storage.cached(side.customers), None)):
        return cached
    paths = [root / CUSTOMERS] if root else []
    paths += [project.start / side.handle] if side.handle else []
    return next((path for path in paths if path.is_file() and hashes.md5(path) == side.customers), None)


def _compared(
    project: Project,
    a: ComparedSide,
    b: ComparedSide,
    before: CustomerCsv,
    after: CustomerCsv,
    reading: Reading,
) -> CustomerChanges | None:
    try:
        with reading(before.path.stat().st_size + after.path.stat().st_size) as open_binary:
            return compare(before, after, open_binary)
    except MalformedCustomers as error:
        _unseen(project, "customers", a if error.file is before else b, str(error))
        return None


def _columns(project: Project, a: ComparedSide, b: ComparedSide) -> Json:
    return _differing(a.columns, b.columns)


def _params_of(project: Project, a: ComparedSide, b: ComparedSide) -> Json:
    one, other = a.params, b.params
    if a.model == b.model or _known(project, a, b, "evaluation"):
        one, other = (side.params | (side.evaluation or {}) for side in (a, b))
    if a.code is None or b.code is None:  # a run holds every value as text
        one, other = ({name: str(value) for name, value in side.items()} for side in (one, other))
    return _differing(one, other)


def _code(project: Project, a: ComparedSide, b: ComparedSide) -> Json:
    return {
        path: {
            "change": "added" if "a" not in md5s else "removed" if "b" not in md5s else "changed",
            "show": _shown_by(project, a, b, path),
        }
        for path, md5s in _differing(a.code, b.code).items()
    }


def _shown_by(project: Project, a: ComparedSide, b: ComparedSide, path: str) -> str | None:
    """The command that shows how a file differs; None where Git does not hold what dvc.lock names."""
    for side in (a, b):
        if _md5(project, side, path) != side.code.get(path):
            return None
        if side.revision is None and path in side.code and not _tracked(project, path):
            return None
    before, after = (side.revision and side.revision[:SHORT] for side in (a, b))
    commits = f"-R {after}" if before is None else f"{before} {after}" if after else before
    return f"git diff {commits} -- {path}"


def _md5(project: Project, side: ComparedSide, path: str) -> str | None:
    text = _text(project, side.revision, path)
    return None if text is None else hashlib.md5(text).hexdigest()


def _tracked(project: Project, path: str) -> bool:
    return project.repository.git("ls-files", "--error-unmatch", path).returncode == 0


def _environment(project: Project, a: ComparedSide, b: ComparedSide) -> Json:
    if a.environment == b.environment:
        return {}
    packages = {side.letter: _packages(project, side) for side in (a, b)}
    known = None not in packages.values()
    md5s = {side.letter: side.environment for side in (a, b)}
    return {"md5": md5s, "packages": _differing(packages["a"], packages["b"]) if known else None}


def _packages(project: Project, side: ComparedSide) -> Json | None:
    """{package: version, or versions with their markers} on any platform."""
    if _md5(project, side, REQUIREMENTS) != side.environment:
        where = f"commit {side.revision[:10]}" if side.revision else "the working tree"
        why = f"{where} does not hold the {REQUIREMENTS} of md5 {side.environment}"
        _unseen(project, "packages", side, why)
        return None
    found: dict[str, list[str]] = {}
    text = _text(project, side.revision, REQUIREMENTS).decode("utf-8", "replace")
    for name, version, marker in PIN.findall(text):
        found.setdefault(name, []).append(f"{version} ; {marker}" if marker else version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _metrics(project: Project, a: ComparedSide, b: ComparedSide) -> Json:
    differing = _differing(flat(a.metrics), flat(b.metrics))
    for values in differing.values():
        if len(values) == 2:
            values["difference"] = round(values["b"] - values["a"], DIGITS)
    return differing


SECTIONS = {
    "columns": _columns,
    "params": _params_of,
    "code": _code,
    "environment": _environment,
    "metrics": _metrics,
}
NO_LOCK = "no commit holds its dvc.lock"
WHY_UNKNOWN = {  # something is not known of a side
    "customers": "nothing tells their md5",
    "evaluation": "no dvc.lock tells how it was measured",
    "columns": NO_LOCK,
    "code": NO_LOCK,
    "environment": "nothing tells its md5",
    "metrics": "no evaluation of it is recorded",
}
