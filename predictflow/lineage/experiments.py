"""DVC's experiments, committed models and MLflow's runs, joined by content: plain values for JSON."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from predictflow.adapters.dvc_files import POINTERS
from predictflow.adapters.git import Ref
from predictflow.adapters.mlflow_entities import PAGE_SIZE, Run
from predictflow.formatting import SHORT, Json, moment, some_of
from predictflow.ledger.rebuilds import rebuild_prefix
from predictflow.lineage import answers
from predictflow.lineage.history import History
from predictflow.lineage.project import Project
from stages.support.errors import UserError

RESTORED = {True: "restored", False: "run"}


@dataclass(frozen=True)
class Order:
    """By a metric: the highest first, or the lowest."""

    metric: str
    ascending: bool


@dataclass(frozen=True)
class Entries:
    """Experiments and runs.

    Attributes:
        rows: docs/reference/json.md says what each key means.
        entries: how many there are in all; None where the store was not read to its end.
        without_run: the experiments of DVC's that have none, also those that are not among the rows.
    """

    rows: list[Json]
    entries: int | None
    without_run: list[str]


def list_entries(project: Project, limit: int, order: Order | None = None) -> Entries:
    """One entry an experiment, a committed model without one, or a run that neither knows.

    Args:
        limit: the most entries, the newest or the first in the order; 0 for all.

    Raises UserError for a metric that no entry has.
    """
    history = _read_history(project)
    runs: dict[str, list[Run]] = {}  # of the models that Git knows
    others = _Others(limit, order)
    is_whole = True
    for page in project.runs.pages():
        for run in page:
            if run.content in history.contents:
                runs.setdefault(run.content or "", []).append(run)
        others.add([run for run in page if run.content not in history.contents], project)
        if others.suffice and len(page) == PAGE_SIZE:
            is_whole = False
            break
    if is_whole:
        contents = list(history.contents)
    else:  # a model may have older runs than those that were read
        contents = [
            content for content in history.contents if _since_when(history, content, runs) >= others.oldest
        ]
        runs = {content: project.runs.get(content, []) for content in contents}
    rows = [entry for content in contents for entry in _of_content(project, content, runs.get(content, []))]
    count = len(rows) + others.count
    names = {name for row in rows for name in row["metrics"]} | others.names
    rows += [_of_run(project, run, metrics) for run, metrics in others.kept]
    rows = _newest_first(rows)
    if order and count:
        rows = in_order(rows, order, names)
    known = runs if is_whole else project.runs
    return Entries(rows[: limit or None], count if is_whole else None, _without_run(history, known))


def entries_of(project: Project, contents: Iterable[str], order: Order | None = None) -> Entries:
    """The entries of some models alone."""
    history = _read_history(project)
    rows: list[Json] = []
    for content in dict.fromkeys(contents):
        runs = project.runs.get(content, [])
        if content in history.contents:
            rows += _of_content(project, content, runs)
        else:
            metrics = project.store.metrics(runs)
            rows += [_of_run(project, run, metrics.get(run.id, {})) for run in runs]
    rows = _newest_first(rows)
    if order:
        rows = in_order(rows, order, {name for row in rows for name in row["metrics"]})
    return Entries(
        rows, len(rows), [row["experiment"] for row in rows if row["experiment"] and not row["run"]]
    )


class _Others:
    """Runs of models that Git does not know, or of none: of all that are added those that come first.

    Attributes:
        kept: they and their metrics.
        count: how many were added.
        names: of all metrics that one of them has.
    """

    def __init__(self, limit: int, order: Order | None) -> None:
        self._limit, self._order = limit, order
        self.kept: list[tuple[Run, dict[str, float]]] = []
        self.count = 0
        self.names: set[str] = set()

    @property
    def suffice(self) -> bool:
        """Whether no older run can be among those that come first."""
        return bool(self._limit) and self._order is None and self.count >= self._limit

    @property
    def oldest(self) -> float:
        """When the last of them began, in seconds since 1970."""
        return self.kept[-1][0].began // 1000 if self.kept else 0

    def add(self, runs: list[Run], project: Project) -> None:
        """Args: `runs`, of which none is newer than one that was added before."""
        metrics = project.store.metrics(runs)
        self.kept += [(run, metrics.get(run.id, {})) for run in runs]
        self.count += len(runs)
        self.names.update(name for values in metrics.values() for name in values)
        if self._limit and (order := self._order):
            self.kept.sort(key=lambda one: _place(one[1], order))
        if self._limit:
            del self.kept[self._limit :]


def _read_history(project: Project) -> History:
    history = project.history
    history.confirm(history.locks)
    project.read_params(_compared(project))
    return history


def _experiments_of(history: History, content: str) -> list[Ref]:
    """The experiments of DVC's that hold a model."""
    return [ref for ref in history.refs_with.get(content, []) if ref.kind == "experiment"]


def _newest_first(rows: list[Json]) -> list[Json]:
    return sorted(rows, key=lambda entry: (entry["made"], entry["content"] or ""), reverse=True)


def _since_when(history: History, content: str, runs: dict[str, list[Run]]) -> float:
    """The latest time at which a model may have been made, in seconds since 1970."""
    times = [history.commits[history.places[ref.commit]].time for ref in _experiments_of(history, content)]
    first = history.first_with_model.get(content)
    times += [first.time] if first else []
    return max([*times, *(run.began // 1000 for run in runs.get(content, []))], default=0)


def _without_run(history: History, runs: Mapping[str, list[Run]]) -> list[str]:
    """Every experiment of DVC's whose model has no run of its name."""
    return [
        ref.name
        for content in history.contents
        for ref in _experiments_of(history, content)
        if ref.name not in {run.experiment for run in runs.get(content, [])}
    ]


def _of_content(project: Project, content: str, runs: list[Run]) -> Iterator[Json]:
    """The entries of a model that Git knows."""
    history = project.history
    experiments = _experiments_of(history, content)
    names = {ref.name for ref in experiments}
    for ref in experiments:
        yield _of_experiment(project, content, ref, [run for run in runs if run.experiment == ref.name])
    others = [run for run in runs if run.experiment not in names]
    is_on_branch = content in history.first_with_model and history.is_on_branch(content)
    if others or (is_on_branch and not experiments):
        yield _of_commit(project, content, others)


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


def _of_run(project: Project, run: Run, metrics: dict[str, float]) -> Json:
    """A run of a model that Git does not know, or that made none."""
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
    both = {*POINTERS, *before.inputs, *after.inputs} & before.md5s.keys() & after.md5s.keys()
    return sorted(path for path in both if before.md5s[path] != after.md5s[path])


def in_order(rows: list[Json], order: Order, known: set[str]) -> list[Json]:
    """Sorted by a metric, those without it last. Raises UserError for one that is not among the known."""
    if order.metric not in known and rows:
        raise UserError(
            f"no experiment has the metric {order.metric}.\nCure: one of {', '.join(sorted(known))}."
        )
    return sorted(rows, key=lambda row: _place(row["metrics"], order))


def _place(metrics: Mapping[str, float], order: Order) -> tuple[bool, float]:
    value = metrics.get(order.metric)
    if value is None:
        return True, 0
    return False, value if order.ascending else -value
