"""`predictflow status`: where things stand, and what to do next. Nothing is written."""

import sys
import time
from datetime import datetime
from pathlib import Path

import click

from predictflow.adapters.dvc_files import DVC_LOCK
from predictflow.console import open_console, print_gaps, print_json
from predictflow.formatting import Json, some_of
from predictflow.lineage.answers import HEADLINE
from predictflow.lineage.next_steps import changed_outputs
from predictflow.lineage.project import Project
from predictflow.lineage.status import status
from stages.tracking.registry import RegistryStage

MISSING = ("deleted", "not in cache")  # as DVC says of a file that is not there
NAMED = 3  # files and params that are told of a stage; the others are counted
UNITS = {"days": 86400, "hours": 3600, "minutes": 60}  # in seconds


@click.command
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
    answer = status(Project.enter(folder, keep=False), remote)
    if as_json:
        print_json(answer)
    else:
        _draw(answer)
    sys.exit(2 if answer["could_not_tell"] else 1 if answer["next"] else 0)


def _draw(answer: Json) -> None:
    from rich.table import Table
    from rich.text import Text

    console, table = open_console(), Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        *((stage, _told_of_stage(answer[stage.alias])) for stage in RegistryStage),
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
    print_gaps(console, answer["not_looked_at"])
    if answer["next"] or not answer["could_not_tell"]:
        console.print(Text("next:" if answer["next"] else "nothing to do", "bold"))
    for step in answer["next"]:  # a line each, however long: to be copied
        line = Text.assemble("  ", (step["command"], "green"), (f"  # {step['why']}", "dim"))
        console.print(line, soft_wrap=True)


def _joined(*told: str | None) -> str:
    return " · ".join(filter(None, told))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _numbers(model: Json) -> str:
    """What a model is, its headline metric, and where it was committed."""
    metric = next((name for name in HEADLINE if name in model["metrics"]), None)
    return _joined(
        model["kind"],
        metric and f"{metric} {model['metrics'][metric]:.4f}",
        f"commit {model['commit'][:10]}" if model["commit"] else "in no commit",
    )


def _told_of_stage(versions: list[Json] | None) -> str:
    if versions is None:
        return "not known"
    lines = (_joined(version["name"], _numbers(version), _ago(version["registered"])) for version in versions)
    return "\n".join(lines) or "no version"


def _told_of_model(model: Json | None) -> str:
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


def _told_of_pipeline(pipeline: Json | None, conflicts: list[str]) -> str:
    if DVC_LOCK in conflicts:
        return "out of step: dvc.lock is in conflict"
    if pipeline is None or pipeline["in_step"] is None:
        return ""
    if pipeline["in_step"]:
        return "in step: dvc.lock is of the code, params and data that lie here"
    outputs = changed_outputs(pipeline["changed"])
    away = [path for path, how in outputs.items() if how in MISSING]
    stages: dict[str, list[str]] = {}  # by what they have in common
    for name, stage in pipeline["changed"].items():
        causes = [what for what in stage["inputs"] if what not in outputs]
        causes += [path for path in stage["outputs"] if path not in away]
        if "params.yaml" in causes:  # the whole file: dvc.lock knows nothing of the stage
            causes = ["never run"]
        if causes:
            stages.setdefault(some_of(causes, NAMED), []).append(name)
    told = [f"{', '.join(names)} ({why})" for why, names in stages.items()]
    if away:
        told.append(f"not here: {some_of(away, NAMED)}")
    return f"out of step: {'; '.join(told)}"


def _told_of_commit(answer: Json) -> str:
    git = answer["git"]
    where = "a rebase" if git["rebasing"] else git["branch"] or "no branch"
    at = f"{where} at {git['commit'][:10]}" if git["commit"] else f"{where}, before its first commit"
    if answer["conflicts"]:
        return _joined(at, f"in conflict: {some_of(answer['conflicts'])}")
    if answer["uncommitted"]:
        return _joined(at, f"not committed: {some_of(answer['uncommitted'])}")
    return at


def _told_of_push(git: Json, storage: Json | None) -> str:
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
        told.append(f"not on the remote {storage['remote']}: {some_of(storage['not_pushed'])}")
    elif storage["not_pushed"] is not None:
        told.append(f"the remote {storage['remote']} has all data")
    return _joined(*told)


def _told_of_runs(runs: Json | None, experiments: Json) -> str:
    told = []
    if runs and runs["running"]:
        told.append(f"{_count(len(runs['running']), 'run')} RUNNING, since {_ago(runs['running'][-1])}")
    if runs and runs["newest"] in ("FAILED", "KILLED"):
        told.append(f"the newest {runs['newest']}")
    if experiments["on_no_branch"]:
        told.append(f"{_count(experiments['on_no_branch'], 'DVC experiment')} on no branch")
    return _joined(*told)


def _ago(when: str) -> str:
    seconds = time.time() - datetime.fromisoformat(when).timestamp()
    for unit, length in UNITS.items():
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit} ago"
    return "a minute ago"
