"""What is known of a model and of a file, put together from Git, the store, the cache and the remote.

Every function returns plain values for JSON; docs/reference/json.md says what each key means.
"""

from collections.abc import Iterable

from predictflow.adapters.dvc_files import (
    LIST,
    POINTERS,
    REQUIREMENTS,
    TEST,
    TRAIN,
    Lockfile,
    customers_path,
)
from predictflow.adapters.mlflow_entities import COMMIT_TAG, DIRTY_TAG, Run, Version
from predictflow.formatting import Json, moment
from predictflow.ledger.chain import Chain
from predictflow.ledger.rebuilds import read_rebuilds, rebuild_prefix
from predictflow.ledger.receipts import Receipt
from predictflow.lineage.claims import held_against_git
from predictflow.lineage.history import Commit, Model
from predictflow.lineage.project import Project
from predictflow.lineage.studies import study_entries
from stages.support.params import flat
from stages.support.paths import MODEL_FOLDER
from stages.tracking.store import is_gone

HEADLINE = ("roc_auc", "average_precision", "brier", "log_loss", "calibration_error", "profit_per_customer")
SIDES = {TRAIN: "train", TEST: "test"}
REBUILD = (
    "git checkout {}",
    "MLFLOW_TRACKING_URI=sqlite:///mlflow_data/rebuild.db make repro",
    "git diff --exit-code dvc.lock",
)


def recorded(project: Project, content: str, lock: str | None = None) -> Model:
    """A model as one of its dvc.locks records it; as its run does, where it was never committed."""
    if content in project.history.contents:
        return project.history.model(content, lock)
    runs = project.runs.get(content, [])[:1]
    (params,) = project.store.params(runs).values() or ({},)
    (metrics,) = project.store.metrics(runs).values() or ({},)
    return Model(content, Lockfile({}, {}, []), None, project.md5s_of(content), params, metrics, {})


def sources(project: Project, content: str, lock: str | None, ask_remote: bool) -> Json:
    """A model and all that it was made from, back to its customers."""
    model, history = recorded(project, content, lock), project.history
    at, once = history.refs_with.get(content, []), history.refs_after(content)
    first = history.first_with_model.get(content)
    if first is None:
        history.confirm_all()
    history.confirm([], [commit for commit in (first and first.sha, *(ref.commit for ref in at)) if commit])
    of_chain = project.chain(project.model).names if project.model else []
    of_rebuilds = rebuild_prefix(project.model) if project.model else ()
    params = flat(model.params)
    runs = project.runs.get(content, [])
    held = held_against_git(project, content, runs)
    on_disk = history.locks[history.worktree].content if history.worktree else None
    return {
        "model": {
            "content": content,
            "kind": params.get("train.model"),
            "files": {path: md5 for path, md5 in model.md5s.items() if path.startswith(f"{MODEL_FOLDER}/")},
        },
        "store_answers": project.registry_answers,
        "runs": [run | held[run["id"]] for run in run_entries(project, runs)],
        "studies": study_entries(project, params, model.md5s),
        "versions": version_entries(project, content),
        "receipts": receipt_entries(project, content),
        "commit": commit_entry(project, first),
        "in_working_tree": content == on_disk,
        "branches": [ref.name for ref in at if ref.kind == "branch"],
        "tags": [ref.name for ref in at if ref.kind == "tag" and not ref.name.startswith(of_rebuilds)],
        "experiments": [ref.name for ref in at if ref.kind == "experiment"],
        "earlier_in": [  # a receipt stays
            ref.name for ref in once if ref.name not in of_chain and not ref.name.startswith(of_rebuilds)
        ],
        "metrics": model.metrics,
        "params": params,
        "code": model.lock.code,
        "environment": {"path": REQUIREMENTS, "md5": model.md5s.get(REQUIREMENTS)},
        "prepared": prepared_entries(project, model, model.md5s),
        "data": customers_entry(project, md5, ask_remote) if (md5 := model.customers) else None,
        "rebuilds": rebuild_entries(project, content),
        "rebuild": [line.format(model.commit.sha) for line in REBUILD] if model.commit else [],
    }


def results(project: Project, md5: str, ask_remote: bool) -> Json:
    """A file and every model made from it, the newest first."""
    paths: dict[str, set[str]] = {}
    for named_by in (project.history.named_by, project.in_store(md5)):
        for path, contents in named_by.get(md5, {}).items():
            paths.setdefault(path, set()).update(contents)
    confirm_models(project, set().union(*paths.values()))
    if POINTERS.keys() & paths.keys():
        entry = customers_entry(project, md5, ask_remote)
    else:
        locks = project.history.locks.values()
        sizes = (lock.sizes.get(path) for lock in locks for path in paths if lock.md5s.get(path) == md5)
        entry = file_entry(project, min(paths), md5, next(sizes, None))
    models = [model_entry(project, content) for content in set().union(*paths.values())]
    models.sort(key=lambda made: (made["made"], made["content"]), reverse=True)
    return {
        "file": entry | {"paths": sorted(paths)},
        "models": models,
        "store_answers": project.registry_answers,
    }


def confirm_models(project: Project, contents: Iterable[str]) -> None:
    """Hold what the index says of models against Git, all at once: it is quicker than one by one."""
    history = project.history
    firsts = [first for content in contents if (first := history.first_with_model.get(content))]
    history.confirm([first.lock for first in firsts if first.lock], [first.sha for first in firsts])


def model_entry(project: Project, content: str) -> Json:
    """A model in a list."""
    model, history = recorded(project, content), project.history
    first, of_content = history.first_with_model.get(content), project.runs.get(content, [])
    refs = history.refs_with.get(content, [])
    times = [run.began / 1000 for run in of_content] + ([first.time] if first else [])
    return {
        "content": content,
        "kind": flat(model.params).get("train.model"),
        "made": moment(min(times)) if times else "",
        "commit": first.sha if first else None,
        "experiments": sorted({ref.name for ref in refs if ref.kind == "experiment"}),
        "runs": [run.id for run in of_content],
        "versions": version_entries(project, content),
        "metrics": model.metrics,
    }


def customers_entry(project: Project, md5: str, ask_remote: bool) -> Json:
    """A state of the customers."""
    history, path = project.history, customers_path(md5)
    name = next((name for name, lock in history.locks.items() if lock.customers == md5), None)
    first, lock = history.first_with_customers.get(md5), history.locks[name] if name else None
    history.confirm([name] if name else [], [first.sha] if first else [])
    sides = history.prepared(lock) if lock else {}
    inside = project.look(lambda: project.storage.inside(md5), None) if md5.endswith(LIST) else None
    needed = {md5, *(inside or {}).values()}
    on_remote = project.look(lambda: project.storage.on_remote(needed, ask_remote), None)
    return file_entry(project, path, md5, lock.sizes.get(path) if lock else None) | {
        "rows": sum(sides[side]["rows"] for side in SIDES.values()) if sides else None,
        "on_remote": None if on_remote is None else needed <= on_remote,
        "commit": commit_entry(project, first),
    }


def prepared_entries(project: Project, model: Model, md5s: dict[str, str]) -> list[Json]:
    """Both sides of a model's split, as far as `md5s` has them."""
    return [
        file_entry(project, path, md5s[path], model.lock.sizes.get(path)) | model.prepared.get(side, {})
        for path, side in SIDES.items()
        if path in md5s
    ]


def file_entry(project: Project, path: str, md5: str, size: int | None) -> Json:
    cached = project.look(lambda: project.storage.files_of(md5) is not None, None)
    return {"path": path, "md5": md5, "size": size, "cached": cached}


def commit_entry(project: Project, first: Commit | None) -> Json | None:
    if first is None:
        return None
    author, subject = project.repository.read("show", "-s", "--format=%an%n%s", first.sha).splitlines()[:2]
    return {"sha": first.sha, "time": moment(first.time), "author": author, "subject": subject}


def run_entries(project: Project, of_content: list[Run]) -> list[Json]:
    metrics = project.store.metrics(of_content)
    return [
        {
            "id": run.id,
            "name": run.name,
            "status": _status(run),
            "began": moment(run.began / 1000),
            "experiment": run.experiment,
            "restored": run.restored,
            "made_at": run.tags.get(COMMIT_TAG),
            "uncommitted_changes": run.tags.get(DIRTY_TAG) == "true",
            "metrics": metrics.get(run.id, {}),
        }
        for run in of_content
    ]


def _status(run: Run) -> str:
    """What a kill has left RUNNING, the next stage ends as KILLED; it is told so at once."""
    return "KILLED" if run.status == "RUNNING" and is_gone(run.tags) else run.status


def version_entries(project: Project, content: str | None) -> list[Json]:
    return [version_entry(version) for version in project.versions_with.get(content, [])]


def version_entry(version: Version) -> Json:
    return {
        "name": version.name,
        "stage": version.stage,
        "aliases": list(version.aliases),
        "registered": moment(version.registered / 1000),
        "run": version.run_id,
    }


def receipt_entries(project: Project, content: str) -> list[Json]:
    """Those of the project's registered model that speak of a content, the newest first."""
    if project.model is None:
        return []
    chain = project.chain(project.model)
    return [receipt_entry(chain, receipt) for receipt in chain.receipts[::-1] if receipt.content == content]


def rebuild_entries(project: Project, content: str) -> list[Json]:
    """The receipts of a content's rebuilds, the newest first."""
    receipts = read_rebuilds(project.repository, project.chain(project.model)) if project.model else []
    keys = ("verdict", "when", "who")
    return [
        {key: receipt.body[key] for key in keys}
        | {"tag": receipt.name, "broken": receipt.broken + receipt.unsigned}
        for receipt in reversed(receipts)
        if receipt.content == content
    ]


def receipt_entry(chain: Chain, receipt: Receipt) -> Json:
    keys = ("action", "version", "stage", "when", "who", "why")
    broken = [damage.message for damage in chain.damage if damage.tag == receipt.name]
    return {key: receipt.body[key] for key in keys} | {"tag": receipt.name, "broken": broken}
