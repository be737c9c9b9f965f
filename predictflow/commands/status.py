"""`predictflow status`: where things stand, and what to do next. Nothing is written."""

import sys
import time
from datetime import datetime
from pathlib import Path

import click

from predictflow.adapters.dvc_files import DVC_LOCK
from predictflow.adapters.dvc_status import changed_outputs
from predictflow.console import draw_table, open_console, print_gaps, print_json
from predictflow.formatting import some_of
from predictflow.ledger.receipts import CLOCKS_DIFFER
from predictflow.lineage import standing
from predictflow.lineage.answers import HEADLINE
from predictflow.lineage.next_steps import NextStep, next_steps
from predictflow.lineage.project import Project
from predictflow.lineage.status import read_status
from stages.tracking.registry import RegistryStage

MISSING = {"deleted": "not here", "not in cache": "not in DVC's cache"}  # as DVC says, and we
NAMED = 3  # files and params that are told of a stage; the others are counted
UNITS = {"days": 86400, "hours": 3600, "minutes": 60}  # in seconds


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
    status = read_status(Project.enter(folder, by_index=True, keep=False), remote)
    steps = next_steps(status)
    if as_json:
        print_json(status.as_json() | {"next": [step._asdict() for step in steps]})
    else:
        render(status, steps)
    sys.exit(2 if status.could_not_tell else 1 if steps else 0)


def render(status: standing.Status, steps: list[NextStep]) -> None:
    from rich.text import Text

    console = open_console()
    rows = [
        *((stage, _stage_line(status, stage.alias)) for stage in RegistryStage),
        ("working tree", _model_line(status.working_tree)),
        ("pipeline", _pipeline_line(status.pipeline, status.conflicts)),
        ("commit", _commit_line(status)),
        ("push", _push_line(status)),
        ("runs", _runs_line(status.store.runs if status.store else None, status.experiments)),
        ("stack", _stack_line(status.stack)),
    ]
    told = [(Text(head, "bold"), line) for head, line in rows if line]
    console.print(draw_table(("", ""), told))
    for reason in status.could_not_tell:
        console.print(Text(f"could not tell: {reason}", "red"))
    print_gaps(console, status.not_looked_at)
    if steps or not status.could_not_tell:
        console.print(Text("next:" if steps else "nothing to do", "bold"))
    for step in steps:  # a line each, however long: to be copied
        text = Text.assemble("  ", (step.command, "green"), (f"  # {step.why}", "dim"))
        console.print(text, soft_wrap=True)


def _joined(*parts: str | None) -> str:
    return " · ".join(filter(None, parts))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _numbers(model: standing.ModelSummary) -> str:
    """What a model is, its headline metric, and where it was committed."""
    metric = next((name for name in HEADLINE if name in model.metrics), None)
    return _joined(
        model.kind,
        metric and f"{metric} {model.metrics[metric]:.4f}",
        f"commit {model.commit[:10]}" if model.commit else "in no commit",
    )


def _stage_line(status: standing.Status, stage: str) -> str:
    promoted = status.receipts[stage]
    if status.store is None and promoted:
        return _joined(f"version {promoted.version} by the receipt {promoted.receipt}", _numbers(promoted))
    if status.store is None:
        return "not known"
    lines = (
        _joined(version.name, _numbers(version), f"registered {_ago(version.registered)}")
        for version in status.store.in_stage[stage]
    )
    return "\n".join(lines) or "no version"


def _model_line(model: standing.LyingModel | None) -> str:
    if model is None:
        return "no model"
    return _joined(_registered(model), _numbers(model))


def _registered(model: standing.LyingModel) -> str:
    if model.versions is None:
        return "registered: not known"
    if not model.versions and model.gate and not model.gate.passed:
        missed = (reason for reason in model.gate.reasons if " misses " in reason)
        return f"not registered: {'; '.join(missed)}"
    return _joined(", ".join(model.versions) or "not registered", _count(model.runs or 0, "run"))


def _pipeline_line(pipeline: standing.PipelineStatus | None, conflicts: list[str]) -> str:
    if DVC_LOCK in conflicts:
        return "out of step: dvc.lock is in conflict"
    if pipeline is None or pipeline.in_step is None:
        return ""
    if pipeline.in_step:
        return "in step: dvc.lock is of the code, params and data that lie here"
    outputs = changed_outputs(pipeline.changed)
    away = [path for path, how in outputs.items() if how in MISSING]
    stages: dict[str, list[str]] = {}  # by what they have in common
    for name, stage in pipeline.changed.items():
        causes = [path for path in stage.inputs if path not in outputs]
        causes += [path for path in stage.outputs if path not in away]
        if "params.yaml" in causes:  # the whole file: dvc.lock knows nothing of the stage
            causes = ["never run"]
        if causes:
            stages.setdefault(some_of(causes, NAMED), []).append(name)
    parts = [f"{', '.join(names)} ({why})" for why, names in stages.items()]
    for how, told in MISSING.items():
        if missing := [path for path in away if outputs[path] == how]:
            parts.append(f"{told}: {some_of(missing, NAMED)}")
    return f"out of step: {'; '.join(parts)}"


def _commit_line(status: standing.Status) -> str:
    git = status.git
    where = "a rebase" if git.rebasing else git.branch or "no branch"
    at = f"{where} at {git.commit[:10]}" if git.commit else f"{where}, before its first commit"
    if status.conflicts:
        return _joined(at, f"in conflict: {some_of(status.conflicts)}")
    if status.uncommitted:
        return _joined(at, f"not committed: {some_of(status.uncommitted)}")
    return at


def _push_line(status: standing.Status) -> str:
    git, storage = status.git, status.storage
    if storage is None:
        return ""
    to = git.upstream or "any remote"
    parts = []
    if not git.remotes:
        parts.append("Git has no remote")
    elif git.branch and not git.upstream:
        parts.append("no upstream")
    if git.ahead:
        parts.append(f"{_count(git.ahead, 'commit')} {f'not in {to}' if git.branch else 'on no branch'}")
    if git.behind:
        parts.append(f"{_count(git.behind, 'commit')} of {to} not here")
    if git.upstream and not git.ahead and not git.behind:
        parts.append(f"level with {to}")
    if storage.not_pushed:
        parts.append(f"not on the remote {storage.remote}: {some_of(storage.not_pushed)}")
    if storage.nowhere:
        parts.append(f"neither there nor in the cache: {some_of(storage.nowhere)}")
    if storage.not_pushed == storage.nowhere == []:
        parts.append(f"the remote {storage.remote} has all data")
    return _joined(*parts)


def _runs_line(runs: standing.Runs | None, experiments: standing.Experiments) -> str:
    parts = []
    if runs and runs.running:
        parts.append(f"{_count(len(runs.running), 'run')} RUNNING, since {_ago(runs.running[-1])}")
    if runs and runs.newest in ("FAILED", "KILLED"):
        parts.append(f"the newest {runs.newest}")
    if experiments.on_no_branch:
        parts.append(f"{_count(experiments.on_no_branch, 'DVC experiment')} on no branch")
    return _joined(*parts)


def _stack_line(stack: dict[str, standing.StackServer] | None) -> str:
    servers = {name: one.url if one.is_running else "does not run" for name, one in (stack or {}).items()}
    return _joined(*(f"{name} {where}" for name, where in servers.items()))


def _ago(when: str) -> str:
    seconds = time.time() - datetime.fromisoformat(when).timestamp()
    if seconds < -CLOCKS_DIFFER:
        return f"{when}, by a clock that was ahead"
    for unit, length in UNITS.items():
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit} ago"
    return "a minute ago"
