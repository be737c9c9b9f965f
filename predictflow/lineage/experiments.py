"""DVC's experiments, committed models and MLflow's runs, joined by content: plain values for JSON."""

from typing import Any

from predictflow.adapters.dvc_files import CUSTOMERS
from predictflow.adapters.git import Ref
from predictflow.adapters.mlflow_entities import Run
from predictflow.formatting import SHORT, Json, moment, some_of
from predictflow.ledger.rebuilds import rebuild_prefix
from predictflow.lineage import answers
from predictflow.lineage.project import Project
from stages.support.errors import UserError

RESTORED = {True: "restored", False: "run"}


def experiment_entries(project: Project) -> list[Json]:
    """One entry an experiment, a committed model without one, or a run that neither knows; the newest
    first. docs/reference/json.md says what each key means."""
    history = project.history
    history.confirm(history.locks)
    project.read_params(_compared(project))
    entries = []
    for content in history.contents:
        refs = history.refs_with.get(content, [])
        experiments = [ref for ref in refs if ref.kind == "experiment"]
        names = {ref.name for ref in experiments}
        runs = project.runs.get(content, [])
        for ref in experiments:
            of_it = [run for run in runs if run.experiment == ref.name]
            entries.append(_of_experiment(project, content, ref, of_it))
        others = [run for run in runs if run.experiment not in names]
        is_on_branch = content in history.first_with_model and history.is_on_branch(content)
        if others or (is_on_branch and not experiments):
            entries.append(_of_commit(project, content, others))
    known = {run["id"] for entry in entries for run in entry["runs"]}
    entries += [_of_run(project, run) for run in project.all_runs if run.id not in known]
    return sorted(entries, key=lambda entry: (entry["made"], entry["content"] or ""), reverse=True)


def _compared(project: Project) -> set[str]:
    """The commits whose params are compared: each entry's and its baseline's."""
    history = project.history
    refs = (ref for ref in project.repository.refs if ref.kind == "experiment")
    commits = [history.commits[history.places[ref.commit]] for ref in refs]
    commits += history.first_with_model.values()
    baselines = {history.commits[parent].sha for commit in commits for parent in commit.parents[:1]}
    return baselines.union(commit.sha for commit in commits)


def _of_experiment(project: Project, content: str, ref: Ref, runs: list[Run]) -> Json:
    history = project.history
    commit = history.commits[history.places[ref.commit]]
    baseline = history.commits[commit.parents[0]].sha if commit.parents else None
    model = history.model(content, commit.lock)
    return _entry(project, content, runs, model.metrics, commit.time) | {
        "name": ref.name,
        "experiment": ref.name,
        **_since(project, baseline, commit.sha),
    }


def _of_commit(project: Project, content: str, runs: list[Run]) -> Json:
    """A model that a branch or tag holds, or the working tree alone."""
    history = project.history
    commit = history.first_with_model.get(content)
    before = history.commits[commit.parents[0]].sha if commit and commit.parents else None
    receipts = project.chain(project.model).names if project.model else []
    refs = [ref for ref in history.refs_with.get(content, []) if ref.kind != "experiment"]
    of_rebuilds = rebuild_prefix(project.model) if project.model else ()
    at = [ref.name for ref in refs if ref.name not in receipts and not ref.name.startswith(of_rebuilds)]
    removed = next((run.experiment for run in runs if run.experiment), None)
    metrics = answers.recorded(project, content).metrics
    return _entry(project, content, runs, metrics, commit.time if commit else 0) | {
        "name": removed or (some_of(at, 2) if at else commit.sha[:SHORT] if commit else "not committed"),
        "experiment": None,
        **_since(project, before, commit.sha if commit else None),
    }


def _of_run(project: Project, run: Run) -> Json:
    """A run of a model that Git does not know, or that made none."""
    metrics = project.store.metrics([run]).get(run.id, {})
    return _entry(project, run.content, [run], metrics, run.began / 1000) | {
        "name": run.experiment or run.name,
        "experiment": None,
        **_since(project, None, None),
    }


def _entry(
    project: Project, content: str | None, runs: list[Run], metrics: dict[str, float], time: float
) -> Json:
    """What every entry has; `run` is the one that tells of it: the training's own rather than a restored."""
    entries = answers.run_entries(project, sorted(runs, key=lambda run: run.restored))
    first: Json = entries[0] if entries else {"id": None, "status": None}
    began = min((run["began"] for run in entries), default=moment(time))
    return {
        "content": content,
        "made": began,
        "metrics": metrics,
        "run": first["id"],
        "status": first["status"],
        "how": RESTORED[first["restored"]] if entries else None,
        "runs": entries,
        "versions": answers.version_entries(project, content) if content else [],
    }


def _since(project: Project, baseline: str | None, commit: str | None) -> Json:
    both = (baseline, commit) if baseline and commit else None
    return {
        "commit": commit,
        "baseline": baseline,
        "changed": changed(project, *both) if both else {},
        "also_changed": _also_changed(project, *both) if both else [],
    }


def changed(project: Project, old: str, new: str) -> dict[str, list[Any]]:
    """{dotted name: [value before, value after]} of the params that differ between two commits; null for
    one that was not there."""
    before, after = project.params_at(old), project.params_at(new)
    return {
        name: [before.get(name), after.get(name)]
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }


def _also_changed(project: Project, old: str, new: str) -> list[str]:
    """What else differs of the inputs that both have (an experiment may have stopped before register): data,
    environment, each file of code."""
    history = project.history
    names = [name for sha in (old, new) if (name := history.commits[history.places[sha]].lock)]
    if len(names) < 2:
        return []
    before, after = (history.locks[name] for name in names)
    both = {CUSTOMERS, *before.inputs, *after.inputs} & before.md5s.keys() & after.md5s.keys()
    return sorted(path for path in both if before.md5s[path] != after.md5s[path])


def in_order(rows: list[Json], metric: str, ascending: bool) -> list[Json]:
    """Sorted by a metric, those without it last. Raises UserError for a metric that no entry has."""
    known = sorted({name for row in rows for name in row["metrics"]})
    if metric not in known and rows:
        raise UserError(f"no experiment has the metric {metric}.\nCure: one of {', '.join(known)}.")
    with_it = [row for row in rows if metric in row["metrics"]]
    with_it.sort(key=lambda row: row["metrics"][metric], reverse=not ascending)
    return with_it + [row for row in rows if metric not in row["metrics"]]
