"""What to do next, from where things stand; nothing is looked up here."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from predictflow.adapters.dvc_files import CUSTOMERS, DVC_LOCK, POINTERS, REQUIREMENTS
from predictflow.adapters.dvc_status import StageChange, changed_inputs, changed_outputs
from predictflow.lineage.standing import GitStatus, PipelineStatus, Status, StorageStatus

# What decides a model and what tells of it: these at the top of the project, and every .dvc file.
RECORD = (
    *(".dvc", ".dvcignore", "data", "dvc.lock", "dvc.yaml", "metrics", "models", "params.yaml"),
    *(REQUIREMENTS, "stages"),
)
WRITTEN = {DVC_LOCK, "metrics", "models"}  # of the record, by `dvc repro`
ADD = "dvc add "


class NextStep(NamedTuple):
    command: str
    why: str


@dataclass(frozen=True)
class DataFiles:
    """The files that dvc.lock and the .dvc files of customers name and Git does not hold.

    Attributes:
        paths: of all.
        cached, on_remote: of those that DVC's cache, or the default remote has.
    """

    paths: set[str]
    cached: set[str]
    on_remote: set[str]


def path_of_record(path: str) -> str | None:
    """What `git add` is told for a path of the record; None for one that is not of it."""
    top = path.split("/")[0]
    if top in RECORD:
        return top
    return path if path.endswith(".dvc") else None


def pipeline_cure(changed: dict[str, StageChange], data: DataFiles, new_customers: str | None) -> str | None:
    """The command that brings dvc.lock and the working tree together again; None where they are.

    `new_customers` is where customers lie that nobody has added yet.
    """
    if not changed:
        return None
    if new_customers:
        return f"{ADD}{new_customers} && dvc repro"
    outputs, inputs = changed_outputs(changed), changed_inputs(changed)
    # What is recorded comes back from the cache or the remote; of a pipeline that must run, only the data.
    wanted = {path for path in outputs if path in data.paths and (path in POINTERS or not inputs)}
    only = "".join(f" {POINTERS[path]}" for path in sorted(wanted)) if inputs else ""
    bring = ""
    if wanted and wanted <= data.cached:
        bring = f"dvc checkout{only}"
    elif wanted and wanted <= data.cached | data.on_remote:
        bring = f"dvc pull{only}"
    elif CUSTOMERS in wanted - data.cached:
        return "make repro"
    elif wanted & {*POINTERS} - data.cached:
        bring = f"dvc pull{only}"
    run = inputs or not bring or not outputs.keys() <= data.paths
    return " && ".join(filter(None, [bring, "dvc repro" if run else ""]))


def next_steps(status: Status) -> list[NextStep]:
    """One to three commands, in the order in which they help; none where there is nothing to do."""
    pipeline, storage = status.pipeline, status.storage
    if pipeline is None or storage is None:
        return []
    if status.conflicts:
        return _resolve(status)
    if pipeline.error:
        return [NextStep(pipeline.cure, "so that DVC works again")] if pipeline.cure else []
    add = _to_add(status, pipeline)
    restore = "brings MLflow's store back from Git's receipts and DVC's cache"
    ended = [name for name, server in (status.stack or {}).items() if not server.is_running]
    steps = [
        NextStep("predictflow restore", restore) if status.store_is_lost else None,
        NextStep("make stack", f"starts what has ended: {', '.join(ended)}") if ended else None,
        _run(status, pipeline),
        NextStep(_commit(add, status.git), "so that Git says what the model was made from") if add else None,
        _branch(status.git),
        _push(status.git, storage, add, _writes_anew(pipeline)),
    ]
    return [step for step in steps if step][:3]


def _writes_anew(pipeline: PipelineStatus) -> bool:
    """Whether the pipeline's cure makes another model."""
    return bool(changed_inputs(pipeline.changed)) or ADD in (pipeline.cure or "")


def _to_add(status: Status, pipeline: PipelineStatus) -> set[str]:
    """What `git add` is told once the pipeline's cure has run."""
    add = set(filter(None, map(path_of_record, status.uncommitted)))
    if _writes_anew(pipeline):
        add |= WRITTEN
    if ADD in (pipeline.cure or ""):
        add.add("data")
    return add


def _run(status: Status, pipeline: PipelineStatus) -> NextStep | None:
    if pipeline.cure:
        names = "brings what dvc.lock names"
        runs = "brings dvc.lock in step with what lies here"
        runs += f"; `{pipeline.back}` throws the edit away" if pipeline.back else ""
        return NextStep(pipeline.cure, runs if "dvc repro" in pipeline.cure else names)
    model = status.working_tree
    if model and model.versions == [] and (model.gate is None or model.gate.passed):
        return NextStep("dvc repro --force --single-item register", "registers the model that lies here")
    return None


def _commit(paths: Iterable[str], git: GitStatus) -> str:
    end = "GIT_EDITOR=true git rebase --continue" if git.rebasing else "git commit"
    return f"git add -- {shlex.join(sorted(paths))} && {end}"


def _branch(git: GitStatus) -> NextStep | None:
    if git.commit and git.branch is None and git.ahead and not git.rebasing:
        return NextStep(f"git switch -c from-{git.commit[:10]}", "gives the commits a branch")
    return None


def _push(git: GitStatus, storage: StorageStatus, add: set[str], anew: bool) -> NextStep | None:
    commands = ["git pull"] if git.behind else []
    if git.branch and git.remotes and (git.ahead or add):
        to = "origin" if "origin" in git.remotes else git.remotes[0]
        commands.append("git push" if git.upstream else f"git push -u {to} {shlex.quote(git.branch)}")
    unknown = storage.not_pushed is None and add & {DVC_LOCK, "data"}
    if storage.remote and (storage.not_pushed or anew or unknown):
        commands.append("dvc push")
    return NextStep(" && ".join(commands), "so that others have it") if commands else None


def _resolve(status: Status) -> list[NextStep]:
    """Out of a merge: what the pipeline writes is right on neither side, and written anew."""
    written = [path for path in status.conflicts if path == DVC_LOCK or path_of_record(path) in WRITTEN]
    chosen = [path for path in status.conflicts if path not in written]
    add = {path_of_record(path) or path for path in status.conflicts + status.uncommitted} | WRITTEN
    steps = []
    if chosen:
        steps.append(NextStep(f"git mergetool -- {shlex.join(chosen)}", "only you know which side is meant"))
    repro = f"git checkout --ours -- {shlex.join(written)} && dvc repro" if written else "dvc repro"
    steps.append(NextStep(repro, "neither side's model is made from both"))
    steps.append(NextStep(_commit(add, status.git), "this ends the merge"))
    return steps
