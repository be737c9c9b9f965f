"""Where a project stands: plain values for JSON. Git, DVC and MLflow's store are only asked."""

import json
import subprocess
from pathlib import Path

from predictflow.adapters.dvc_files import CUSTOMERS, POINTER, parse_record
from predictflow.adapters.dvc_status import CURES, DVC_TIMEOUT, ask_dvc, changed_stages, why_dvc_fails
from predictflow.adapters.mlflow_entities import COMMIT_TAG, Version
from predictflow.adapters.mlflow_store import find_store
from predictflow.errors import Missing, Unreachable
from predictflow.formatting import Json, moment
from predictflow.lineage import answers
from predictflow.lineage.next_steps import ADD, changed_inputs, changed_outputs, next_steps, path_of_record
from predictflow.lineage.project import Project
from stages.support import hashes
from stages.support.params import flat
from stages.support.paths import MARKER
from stages.tracking.registry import RegistryStage

CONFLICT = "u"  # in `git status --porcelain=v2`
WORDS = {"1": 7, "?": 0, CONFLICT: 9}  # that stand before the path, by the kind of a line


def status(project: Project, ask_remote: bool) -> Json:
    """Where a project stands; docs/reference/json.md says what each key means."""
    if project.repository.root is None:
        answer = _of_store(project) | _git(project) | {"storage": None, "pipeline": None}
    else:
        dvc = ask_dvc()  # it takes longest: the rest goes on beside it
        try:
            answer = _of_store(project) | _git(project)
            answer |= _of_dvc(project, dvc, ask_remote)
        finally:
            dvc.kill()
        if answer["pipeline"]["error"] and not answer["conflicts"]:
            answer["could_not_tell"].append(answer["pipeline"]["error"])
        if ask_remote and answer["storage"]["not_pushed"] is None:
            answer["could_not_tell"].append(project.unseen[-1])
    answer["not_looked_at"] = [text for text in project.unseen if text not in answer["could_not_tell"]]
    answer["next"] = [{"command": command, "why": why} for command, why in next_steps(answer)]
    return answer


def _of_store(project: Project) -> Json:
    """What the store says; None for what it does not."""
    unseen = len(project.unseen)
    runs = [run for run in project.all_runs if COMMIT_TAG in run.tags]  # a server may hold others' too
    ours = _versions(project)
    silent = project.unseen[unseen:]
    if project.repository.root and _store_is_missing():  # nothing was registered yet: that is an answer
        silent = []
    answer = {
        stage.alias: None
        if silent
        else [
            answers.version(version) | {"content": content} | _model(project, content)
            for version, content in ours
            if version.stage == stage or stage.alias in version.aliases
        ]
        for stage in RegistryStage
    }
    running = [moment(run.began / 1000) for run in runs if run.status == "RUNNING"]
    answer["working_tree"] = _working_tree(project, None if silent else ours)
    answer["runs"] = None if silent else {"running": running, "newest": runs[0].status if runs else None}
    answer["experiments"] = _experiments(project)
    return answer | {"could_not_tell": silent}


def _versions(project: Project) -> list[tuple[Version, str | None]]:
    """Each version of this project's registered model, and its content."""
    name = project.model
    return [
        (version, content)
        for content, versions in project.versions_with.items()
        for version in versions
        if name in (None, version.model)
    ]


def _store_is_missing() -> bool:
    try:
        find_store()
    except Missing:
        return True
    except Unreachable:
        pass
    return False


def _model(project: Project, content: str | None) -> Json:
    if content is None:
        return {"kind": None, "metrics": {}, "commit": None}
    model, first = answers.recorded(project, content), project.history.first_with_model.get(content)
    return {
        "kind": flat(model.params).get("train.model"),
        "metrics": model.metrics,
        "commit": first.sha if first else None,
    }


def _working_tree(project: Project, ours: list[tuple[Version, str | None]] | None) -> Json | None:
    """The model of the dvc.lock that lies here, in a bare repository of HEAD's; None where there is none."""
    history, root, head = project.history, project.repository.root, project.repository.head
    name = history.worktree if root else head and history.lock_at(head)
    content = history.locks[name].content if name else None
    if content is None:
        return None
    marker = parse_record((root / MARKER).read_bytes()) if root and (root / MARKER).is_file() else None
    judged = isinstance(marker, dict) and marker.get("content") == content
    return {
        "content": content,
        **_model(project, content),
        "versions": ours and [version.name for version, made in ours if made == content],
        "runs": None if ours is None else len(project.runs.get(content, [])),
        "gate": {"passed": marker["passed"], "reasons": marker["reasons"]} if judged else None,
    }


def _experiments(project: Project) -> Json:
    """How many DVC holds, and how many of them hold a model that no branch and no tag has ever held."""
    history = project.history
    held = sum(ref.kind == "experiment" for ref in project.repository.refs)
    alone = (refs for content, refs in history.refs_with.items() if not history.is_on_branch(content))
    return {"held": held, "on_no_branch": sum(map(len, alone))}


def _git(project: Project) -> Json:
    """The branch, its distance from the upstream, and what of the record is not committed.

    `ahead` counts the commits that the upstream lacks; without one those that no remote has; without a
    branch those that no branch, tag or remote has.
    """
    repository = project.repository
    about, changed = _git_status(project) if repository.root else ({}, [])
    branch = repository.git("symbolic-ref", "--short", "--quiet", "HEAD").stdout.decode().strip() or None
    remotes = repository.read("remote").split()
    ahead, behind = None, None
    if "branch.ab" in about:
        ahead, behind = (abs(int(count)) for count in about["branch.ab"].split())
    elif repository.root and repository.head and (remotes or not branch):
        others = ["--remotes"] if branch else ["--branches", "--tags", "--remotes"]
        ahead = int(repository.read("rev-list", "--count", "HEAD", "--not", *others))
    git = {
        "branch": branch,
        "commit": repository.head,
        "upstream": about.get("branch.upstream") if behind is not None else None,
        "remotes": remotes,
        "ahead": ahead,
        "behind": behind,
        "rebasing": any((repository.git_folder / name).is_dir() for name in ("rebase-merge", "rebase-apply")),
    }
    return {
        "git": git,
        "conflicts": sorted(path for kind, path in changed if kind == CONFLICT),
        "uncommitted": sorted(path for kind, path in changed if kind != CONFLICT and path_of_record(path)),
    }


def _git_status(project: Project) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """({header: value}, [(kind of change, path)]); without Git's own index being refreshed on the disk."""
    told = project.repository.read(
        *("--no-optional-locks", "status", "--porcelain=v2", "--branch", "--no-renames", "-z")
    )
    about, changed = {}, []
    for line in filter(None, told.split("\0")):
        kind, rest = line.split(" ", 1)
        if kind == "#":
            name, value = rest.split(" ", 1)
            about[name] = value
        else:
            changed.append((kind, rest.split(" ", WORDS[kind])[-1]))
    return about, changed


def _kept(project: Project) -> dict[str, str]:
    """{path: md5} of what dvc.lock and customers.csv.dvc name and Git does not hold."""
    history = project.history
    lock = history.locks[history.worktree] if history.worktree else None
    outs = {path: md5 for path, md5 in lock.md5s.items() if path not in lock.inputs} if lock else {}
    if history.worktree_customers:
        outs[CUSTOMERS] = history.worktree_customers
    if not outs:
        return {}
    listed = project.repository.read(
        *("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *outs)
    )
    in_git = set(listed.split("\0"))
    return {path: md5 for path, md5 in outs.items() if path not in in_git and path != MARKER.as_posix()}


def _of_dvc(project: Project, dvc: subprocess.Popen[str], ask_remote: bool) -> Json:
    """What of the data and models is not on the default remote, and whether dvc.lock is in step."""
    kept, missing = _kept(project), None
    on_remote = project.look(lambda: project.storage.on_remote(kept.values(), ask_remote), None)
    if on_remote is not None:
        missing = [path for path, md5 in kept.items() if md5 not in on_remote and _cached(project, md5)]
    return {
        "storage": {"remote": project.look(lambda: project.storage.remote, None), "not_pushed": missing},
        "pipeline": _pipeline(project, dvc, kept, on_remote or set()),
    }


def _cached(project: Project, md5: str) -> bool:
    return project.look(lambda: project.storage.cached(md5), None) is not None


def _pipeline(
    project: Project, dvc: subprocess.Popen[str], kept: dict[str, str], on_remote: set[str]
) -> Json:
    """Whether dvc.lock is in step with what lies here, as `dvc status` says, and the cure if it is not."""
    answer: Json = {"in_step": None, "changed": {}, "error": None, "cure": None}
    try:
        told, errors = dvc.communicate(timeout=DVC_TIMEOUT)
    except subprocess.TimeoutExpired:
        dvc.kill()
        dvc.communicate()
        return answer | {"error": f"`dvc status` has not answered in {DVC_TIMEOUT} seconds"}
    if dvc.returncode:
        cures = [cure for text, cure in CURES.items() if text in errors]
        return answer | {"error": why_dvc_fails(errors), "cure": cures[0] if cures else None}
    changed = changed_stages(json.loads(told))
    cure = _cure(project, changed, kept, on_remote) if changed else None
    return answer | {"in_step": not changed, "changed": changed, "cure": cure}


def _cure(project: Project, changed: Json, kept: dict[str, str], on_remote: set[str]) -> str:
    """The command that brings dvc.lock and the working tree together again."""
    outputs, inputs = changed_outputs(changed), changed_inputs(changed)
    if outputs.get(CUSTOMERS) == "modified" and not _cached(project, hashes.md5(Path(CUSTOMERS))):
        return f"{ADD} && dvc repro"  # new ones, which nobody has added yet
    # What is recorded comes back from the cache or the remote; of a pipeline that must run, only the data.
    wanted = [path for path in outputs if path in kept and (path == CUSTOMERS or not inputs)]
    only = f" {POINTER}" if inputs else ""
    bring = ""
    if wanted and all(_cached(project, kept[path]) for path in wanted):
        bring = f"dvc checkout{only}"
    elif wanted and all(_cached(project, kept[path]) or kept[path] in on_remote for path in wanted):
        bring = f"dvc pull{only}"
    elif CUSTOMERS in wanted and not _cached(project, kept[CUSTOMERS]):
        return "make repro"
    run = inputs or not bring or any(path not in kept for path in outputs)
    return " && ".join(filter(None, [bring, "dvc repro" if run else ""]))
