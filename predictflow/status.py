"""`predictflow status`: where things stand, and what to do next. Nothing is written."""

import json
import re
import shlex
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from predictflow import facts, show, store
from predictflow.facts import Facts
from predictflow.index import CUSTOMERS, LOCK, POINTER, parse_record
from predictflow.lineage import HEADLINE
from predictflow.project import Project
from predictflow.store import COMMIT, Version
from stages import hashes
from stages.register import MARKER
from stages.registry import ALIASES
from stages.tracking import flat

PATIENCE = 60  # seconds that DVC may take: it hashes what it has not seen before
# What decides a model and what tells of it: these at the top of the project, and every .dvc file.
RECORD = (
    *(".dvc", ".dvcignore", "data", "dvc.lock", "dvc.yaml", "metrics", "models", "params.yaml"),
    *("requirements.lock", "stages"),
)
WRITTEN = {LOCK, "metrics", "models"}  # of the record, by `dvc repro`
CONFLICT = "u"  # in `git status --porcelain=v2`
WORDS = {"1": 7, "?": 0, CONFLICT: 9}  # that stand before the path, by the kind of a line
MISSING = ("deleted", "not in cache")  # as DVC says of a file that is not there
BUSY = re.compile(r"Unable to acquire lock|is busy")
CURES = {  # by what DVC says
    "not inside of a DVC repository": "git checkout -- .dvc || dvc init",
    "'./dvc.lock' is invalid": "rm dvc.lock && dvc repro",
}
HOLDER = re.compile(r"\(PID \d+\): .+")
ADD = f"dvc add {CUSTOMERS}"
NAMED = 3  # files and params that are told of a stage; the others are counted
UNITS = {"days": 86400, "hours": 3600, "minutes": 60}  # in seconds

Step = tuple[str, str]  # a command, and why


@click.command(short_help="Where do things stand, and what is to be done next?")
@click.option("--remote", is_flag=True, help="Ask the remote too, over the network.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_obj
def command(folder: Path, remote: bool, as_json: bool) -> None:
    """Where do things stand, and what is to be done next?

    What is in Production and in Staging; whether the model of the working tree is registered, whether
    dvc.lock is in step with code, params and data, what is not committed, what is not pushed. Git, DVC and
    MLflow's store are only asked: nothing is written.

    Exit codes: 0 nothing to do, 1 something to do, 2 something that matters could not be told.

    \b
    Examples:
      predictflow status
      predictflow status --remote
    """
    answer = status(Project(folder, keep=False), remote)
    if as_json:
        show.as_json(answer)
    else:
        _draw(answer)
    sys.exit(2 if answer["could_not_tell"] else 1 if answer["next"] else 0)


def status(project: Project, ask_remote: bool) -> Facts:
    """Where a project stands; predictflow/README.md says what each key means."""
    if project.repository.root is None:
        answer = _of_store(project) | _git(project) | {"storage": None, "pipeline": None}
    else:
        dvc = _ask_dvc()  # it takes longest: the rest goes on beside it
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
    answer["next"] = [{"command": command, "why": why} for command, why in _next(answer)]
    return answer


# --- MLflow's store, joined to the history --------------------------------------------------------------


def _of_store(project: Project) -> Facts:
    """What the store says; None for what it does not."""
    unseen = len(project.unseen)
    runs = [run for run in project.all_runs if COMMIT in run.tags]  # a server may hold others' too
    ours = _versions(project)
    silent = project.unseen[unseen:]
    if project.repository.root and _store_is_missing():  # nothing was registered yet: that is an answer
        silent = []
    answer = {
        stage.lower(): None
        if silent
        else [
            facts.version(version) | {"content": content} | _model(project, content)
            for version, content in ours
            if version.stage == stage or alias in version.aliases
        ]
        for stage, alias in ALIASES.items()
    }
    running = [show.moment(run.began / 1000) for run in runs if run.status == "RUNNING"]
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
        store.find()
    except store.Missing:
        return True
    except store.Unreachable:
        pass
    return False


def _model(project: Project, content: str | None) -> Facts:
    if content is None:
        return {"kind": None, "metrics": {}, "commit": None}
    model, first = facts.recorded(project, content), project.history.first_with_model.get(content)
    return {
        "kind": flat(model.params).get("train.model"),
        "metrics": model.metrics,
        "commit": first.sha if first else None,
    }


def _working_tree(project: Project, ours: list[tuple[Version, str | None]] | None) -> Facts | None:
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


def _experiments(project: Project) -> Facts:
    """How many DVC holds, and how many of them hold a model that no branch and no tag has ever held."""
    history = project.history
    held = sum(ref.kind == "experiment" for ref in project.repository.refs)
    alone = (refs for content, refs in history.refs_with.items() if not history.taken_over(content))
    return {"held": held, "on_no_branch": sum(map(len, alone))}


# --- Git ------------------------------------------------------------------------------------------------


def _git(project: Project) -> Facts:
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
        "uncommitted": sorted(path for kind, path in changed if kind != CONFLICT and _of_record(path)),
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


def _of_record(path: str) -> str | None:
    """What `git add` is told for a path of the record; None for one that is not of it."""
    top = path.split("/")[0]
    if top in RECORD:
        return top
    return path if path.endswith(".dvc") else None


# --- DVC ------------------------------------------------------------------------------------------------


def _ask_dvc() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "status", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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


def _of_dvc(project: Project, dvc: subprocess.Popen[str], ask_remote: bool) -> Facts:
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
) -> Facts:
    """Whether dvc.lock is in step with what lies here, as `dvc status` says, and the cure if it is not."""
    answer: Facts = {"in_step": None, "changed": {}, "error": None, "cure": None}
    try:
        told, errors = dvc.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return answer | {"error": f"`dvc status` has not answered in {PATIENCE} seconds"}
    if dvc.returncode:
        cures = [cure for text, cure in CURES.items() if text in errors]
        return answer | {"error": _why(errors), "cure": cures[0] if cures else None}
    changed = _changed(json.loads(told))
    cure = _cure(project, changed, kept, on_remote) if changed else None
    return answer | {"in_step": not changed, "changed": changed, "cure": cure}


def _why(errors: str) -> str:
    """What DVC says when it fails, in one line."""
    if BUSY.search(errors):
        holder = HOLDER.search(errors)
        by = f" {holder[0]}" if holder else ""
        return f"another DVC process is at work here and holds DVC's lock{by}; ask again when it has ended"
    lines = errors.partition("Traceback")[0].replace("ERROR: ", "").split("\n")
    return "`dvc status` fails: " + " ".join([line.strip() for line in lines if line.strip()][:2])


def _changed(told: dict[str, Any]) -> Facts:
    """{stage: {"inputs": {what: how it differs}, "outputs": likewise}} of what `dvc status` tells."""
    changed: Facts = {}
    for stage, differences in told.items():
        inputs: dict[str, str] = {}
        outputs: dict[str, str] = {}
        for difference in differences:
            if isinstance(difference, str):  # changed command, always changed
                inputs[difference] = ""
                continue
            for path, how in difference.get("changed deps", {}).items():
                inputs |= (
                    {f"{path}:{name}": way for name, way in how.items()}
                    if isinstance(how, dict)
                    else {path: how}
                )
            outputs |= difference.get("changed outs", {})
        changed[stage] = {"inputs": inputs, "outputs": outputs}
    return changed


def _outputs(changed: Facts) -> dict[str, str]:
    return {path: how for stage in changed.values() for path, how in stage["outputs"].items()}


def _inputs(changed: Facts) -> set[str]:
    """What a stage reads and no changed one writes."""
    return {what for stage in changed.values() for what in stage["inputs"]} - _outputs(changed).keys()


def _cure(project: Project, changed: Facts, kept: dict[str, str], on_remote: set[str]) -> str:
    """The command that brings dvc.lock and the working tree together again."""
    outputs, inputs = _outputs(changed), _inputs(changed)
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


# --- What to do next ------------------------------------------------------------------------------------


def _next(answer: Facts) -> list[Step]:
    """One to three commands, in the order in which they help; none where there is nothing to do."""
    pipeline, git, storage = answer["pipeline"], answer["git"], answer["storage"]
    if pipeline is None:
        return []
    if answer["conflicts"]:
        return _resolve(answer)
    if pipeline["error"]:
        return [(pipeline["cure"], "so that DVC works again")] if pipeline["cure"] else []
    steps, cure = [], pipeline["cure"] or ""
    if cure:
        steps.append((cure, "brings dvc.lock in step with what lies here"))
    elif _unregistered(answer["working_tree"]):
        steps.append(("dvc repro --force --single-item register", "registers the model that lies here"))
    add = {_of_record(path) for path in answer["uncommitted"]}
    new = bool(_inputs(pipeline["changed"])) or ADD in cure
    if new:
        add |= WRITTEN
    if ADD in cure:
        add.add("data")
    if add:
        steps.append((_commit(add, git), "so that Git says what the model was made from"))
    if git["branch"] is None and git["ahead"] and not git["rebasing"]:
        steps.append((f"git switch -c from-{git['commit'][:10]}", "gives the commits a branch"))
    push = ["git pull"] if git["behind"] else []
    if git["branch"] and git["remotes"] and (git["ahead"] or add):
        to = "origin" if "origin" in git["remotes"] else git["remotes"][0]
        push.append("git push" if git["upstream"] else f"git push -u {to} {shlex.quote(git['branch'])}")
    unknown = storage["not_pushed"] is None and add & {LOCK, "data"}
    if storage["remote"] and (storage["not_pushed"] or new or unknown):
        push.append("dvc push")
    if push:
        steps.append((" && ".join(push), "so that others have it"))
    return steps[:3]


def _unregistered(model: Facts | None) -> bool:
    refused = model and model["gate"] and not model["gate"]["passed"]
    return bool(model and model["versions"] == [] and not refused)


def _commit(paths: set[str], git: Facts) -> str:
    end = "GIT_EDITOR=true git rebase --continue" if git["rebasing"] else "git commit"
    return f"git add -- {shlex.join(sorted(paths))} && {end}"


def _resolve(answer: Facts) -> list[Step]:
    """Out of a merge: what the pipeline writes is right on neither side, and written anew."""
    written = [path for path in answer["conflicts"] if path == LOCK or _of_record(path) in WRITTEN]
    chosen = [path for path in answer["conflicts"] if path not in written]
    add = {_of_record(path) or path for path in answer["conflicts"] + answer["uncommitted"]}
    steps = []
    if chosen:
        steps.append((f"git mergetool -- {shlex.join(chosen)}", "only you know which side is meant"))
    steps.append(
        (
            f"git checkout --ours -- {shlex.join(written)} && dvc repro" if written else "dvc repro",
            "neither side's model is made from both",
        )
    )
    steps.append((_commit(add | WRITTEN, answer["git"]), "this ends the merge"))
    return steps


# --- Drawn ----------------------------------------------------------------------------------------------


def _draw(answer: Facts) -> None:
    from rich.table import Table
    from rich.text import Text

    console, table = show.console(), Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        *((stage, _told_of_stage(answer[stage.lower()])) for stage in sorted(ALIASES)),
        ("working tree", _told_of_model(answer["working_tree"])),
        ("pipeline", _told_of_pipeline(answer["pipeline"], answer["conflicts"])),
        ("commit", _told_of_commit(answer)),
        ("push", _told_of_push(answer["git"], answer["storage"])),
        ("runs", _told_of_runs(answer["runs"], answer["experiments"])),
    ]
    for head, told in rows:
        if told:
            table.add_row(Text(head, "bold"), Text(told))
    console.print(table)
    for reason in answer["could_not_tell"]:
        console.print(Text(f"could not tell: {reason}", "red"))
    show.unseen(console, answer["not_looked_at"])
    if answer["next"] or not answer["could_not_tell"]:
        console.print(Text("next:" if answer["next"] else "nothing to do", "bold"))
    for step in answer["next"]:  # a line each, however long: to be copied
        line = Text.assemble("  ", (step["command"], "green"), (f"  # {step['why']}", "dim"))
        console.print(line, soft_wrap=True)


def _joined(*told: str | None) -> str:
    return " · ".join(filter(None, told))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _numbers(model: Facts) -> str:
    """What a model is, its headline metric, and where it was committed."""
    metric = next((name for name in HEADLINE if name in model["metrics"]), None)
    return _joined(
        model["kind"],
        metric and f"{metric} {model['metrics'][metric]:.4f}",
        f"commit {model['commit'][:10]}" if model["commit"] else "in no commit",
    )


def _told_of_stage(versions: list[Facts] | None) -> str:
    if versions is None:
        return "not known"
    lines = (_joined(version["name"], _numbers(version), _ago(version["registered"])) for version in versions)
    return "\n".join(lines) or "no version"


def _told_of_model(model: Facts | None) -> str:
    if model is None:
        return "no model"
    if model["versions"] is None:
        registered = "registered: not known"
    elif model["versions"]:
        registered = _joined(", ".join(model["versions"]), _count(model["runs"], "run"))
    elif model["gate"] and not model["gate"]["passed"]:
        missed = (reason for reason in model["gate"]["reasons"] if " misses " in reason)
        registered = f"not registered: {'; '.join(missed)}"
    else:
        registered = _joined("not registered", _count(model["runs"], "run"))
    return _joined(registered, _numbers(model))


def _told_of_pipeline(pipeline: Facts | None, conflicts: list[str]) -> str:
    if LOCK in conflicts:
        return "out of step: dvc.lock is in conflict"
    if pipeline is None or pipeline["in_step"] is None:
        return ""
    if pipeline["in_step"]:
        return "in step: dvc.lock is of the code, params and data that lie here"
    outputs = _outputs(pipeline["changed"])
    away = [path for path, how in outputs.items() if how in MISSING]
    stages: dict[str, list[str]] = {}  # by what they have in common
    for name, stage in pipeline["changed"].items():
        causes = [what for what in stage["inputs"] if what not in outputs]
        causes += [path for path in stage["outputs"] if path not in away]
        if "params.yaml" in causes:  # the whole file: dvc.lock knows nothing of the stage
            causes = ["never run"]
        if causes:
            stages.setdefault(show.some(causes, NAMED), []).append(name)
    told = [f"{', '.join(names)} ({why})" for why, names in stages.items()]
    if away:
        told.append(f"not here: {show.some(away, NAMED)}")
    return f"out of step: {'; '.join(told)}"


def _told_of_commit(answer: Facts) -> str:
    git = answer["git"]
    where = "a rebase" if git["rebasing"] else git["branch"] or "no branch"
    at = f"{where} at {git['commit'][:10]}" if git["commit"] else f"{where}, before its first commit"
    if answer["conflicts"]:
        return _joined(at, f"in conflict: {show.some(answer['conflicts'])}")
    if answer["uncommitted"]:
        return _joined(at, f"not committed: {show.some(answer['uncommitted'])}")
    return at


def _told_of_push(git: Facts, storage: Facts | None) -> str:
    if storage is None:
        return ""
    to = git["upstream"] or "any remote"
    told = []
    if not git["remotes"]:
        told.append("Git has no remote")
    elif git["branch"] and not git["upstream"]:
        told.append("no upstream")
    if git["ahead"]:
        told.append(f"{_count(git['ahead'], 'commit')} {f'not in {to}' if git['branch'] else 'on no branch'}")
    if git["behind"]:
        told.append(f"{_count(git['behind'], 'commit')} of {to} not here")
    if git["upstream"] and not git["ahead"] and not git["behind"]:
        told.append(f"level with {to}")
    if storage["not_pushed"]:
        told.append(f"not on the remote {storage['remote']}: {show.some(storage['not_pushed'])}")
    elif storage["not_pushed"] is not None:
        told.append(f"the remote {storage['remote']} has all data")
    return _joined(*told)


def _told_of_runs(runs: Facts | None, experiments: Facts) -> str:
    told = []
    if runs and runs["running"]:
        told.append(f"{_count(len(runs['running']), 'run')} RUNNING, since {_ago(runs['running'][-1])}")
    if runs and runs["newest"] in ("FAILED", "KILLED"):
        told.append(f"the newest {runs['newest']}")
    if experiments["on_no_branch"]:
        told.append(f"{_count(experiments['on_no_branch'], 'DVC experiment')} on no branch")
    return _joined(*told)


def _ago(moment: str) -> str:
    seconds = time.time() - datetime.fromisoformat(moment).timestamp()
    for unit, length in UNITS.items():
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit} ago"
    return "a minute ago"
