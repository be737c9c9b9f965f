"""What to do next, from where things stand; nothing is looked up here."""

import shlex

from predictflow.adapters.dvc_files import CUSTOMERS, DVC_LOCK, REQUIREMENTS
from predictflow.formatting import Json

# What decides a model and what tells of it: these at the top of the project, and every .dvc file.
RECORD = (
    *(".dvc", ".dvcignore", "data", "dvc.lock", "dvc.yaml", "metrics", "models", "params.yaml"),
    *(REQUIREMENTS, "stages"),
)
WRITTEN = {DVC_LOCK, "metrics", "models"}  # of the record, by `dvc repro`
ADD = f"dvc add {CUSTOMERS}"

NextStep = tuple[str, str]  # a command, and why


def path_of_record(path: str) -> str | None:
    """What `git add` is told for a path of the record; None for one that is not of it."""
    top = path.split("/")[0]
    if top in RECORD:
        return top
    return path if path.endswith(".dvc") else None


def changed_outputs(changed: Json) -> dict[str, str]:
    return {path: how for stage in changed.values() for path, how in stage["outputs"].items()}


def changed_inputs(changed: Json) -> set[str]:
    """What a stage reads and no changed one writes."""
    return {what for stage in changed.values() for what in stage["inputs"]} - changed_outputs(changed).keys()


def next_steps(answer: Json) -> list[NextStep]:
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
    add = {path_of_record(path) for path in answer["uncommitted"]}
    new = bool(changed_inputs(pipeline["changed"])) or ADD in cure
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
    unknown = storage["not_pushed"] is None and add & {DVC_LOCK, "data"}
    if storage["remote"] and (storage["not_pushed"] or new or unknown):
        push.append("dvc push")
    if push:
        steps.append((" && ".join(push), "so that others have it"))
    return steps[:3]


def _unregistered(model: Json | None) -> bool:
    refused = model and model["gate"] and not model["gate"]["passed"]
    return bool(model and model["versions"] == [] and not refused)


def _commit(paths: set[str], git: Json) -> str:
    end = "GIT_EDITOR=true git rebase --continue" if git["rebasing"] else "git commit"
    return f"git add -- {shlex.join(sorted(paths))} && {end}"


def _resolve(answer: Json) -> list[NextStep]:
    """Out of a merge: what the pipeline writes is right on neither side, and written anew."""
    written = [path for path in answer["conflicts"] if path == DVC_LOCK or path_of_record(path) in WRITTEN]
    chosen = [path for path in answer["conflicts"] if path not in written]
    add = {path_of_record(path) or path for path in answer["conflicts"] + answer["uncommitted"]}
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
