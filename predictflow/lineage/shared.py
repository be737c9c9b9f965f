"""Several models with the same bytes: what all of them have in common, and in what they differ.

The same model file comes out of the pipeline again when something else has changed and makes another content:
a file beside it, an index, the environment. docs/reference/json.md says what each key means.
"""

from collections.abc import Iterable
from typing import TypeVar

from predictflow.adapters.dvc_files import REQUIREMENTS, customers_in
from predictflow.formatting import Json
from predictflow.lineage import answers
from predictflow.lineage.project import Project
from stages.support.params import flat
from stages.tracking.registry import STAGES

Value = TypeVar("Value")


def shared_sources(project: Project, contents: list[str], ask_remote: bool) -> Json:
    """What models were made from, as far as it is the same, and each of them: who stands in Production
    first, then in Staging, then the registered ones, the newest first."""
    answers.confirm_models(project, contents)
    recorded = {content: answers.recorded(project, content) for content in contents}
    params = {content: flat(model.params) for content, model in recorded.items()}
    md5s = {content: model.md5s for content, model in recorded.items()}
    of_all, same_params = _common(md5s.values()), _common(params.values())
    entries = []
    for content in recorded:
        entry = answers.model_entry(project, content)
        of_runs = {run.experiment for run in project.runs.get(content, []) if run.experiment}
        entry["experiments"] = sorted(of_runs.union(entry["experiments"]))
        entry["differs"] = _own(md5s[content], of_all) | _own(params[content], same_params)
        entries.append(entry)
    entries.sort(key=lambda entry: (entry["made"], entry["content"]), reverse=True)
    entries.sort(key=lambda entry: _standing(project, entry))
    first = recorded[entries[0]["content"]]
    # A param that there was not yet is no other choice: no model was made with another value of it.
    values = {(name, str(value)) for of_one in params.values() for name, value in of_one.items()}
    same_choices = bool(same_params) and len(values) == len({name for name, _ in values})
    names_alike = all(entry["experiments"] == entries[0]["experiments"] for entry in entries)
    return {
        "models": entries,
        "store_answers": project.registry_answers,
        "same": {"experiment": same_choices and names_alike, "data": customers_in(of_all) is not None},
        "metrics": _common(model.metrics for model in recorded.values()),
        "params": same_params,
        "environment": {"path": REQUIREMENTS, "md5": md5} if (md5 := of_all.get(REQUIREMENTS)) else None,
        "prepared": answers.prepared_entries(project, first, of_all),
        "data": answers.customers_entry(project, md5, ask_remote) if (md5 := customers_in(of_all)) else None,
    }


def _common(tables: Iterable[dict[str, Value]]) -> dict[str, Value]:
    """What all tables say alike."""
    first, *others = tables
    return {
        name: value
        for name, value in first.items()
        if all(name in other and str(other[name]) == str(value) for other in others)  # a run has texts
    }


def _own(table: Json, common: Json) -> Json:
    return {name: value for name, value in table.items() if name not in common}


def _standing(project: Project, entry: Json) -> int:
    """The place of a model in the list, by MLflow's registry or, where that is lost, by the receipts."""
    stages = {version["stage"] for version in entry["versions"]}
    if project.model:
        chain = project.chain(project.model)
        stages |= {"registered" for receipt in chain.receipts if receipt.content == entry["content"]}
        standing = chain.standing().items()
        stages |= {STAGES[stage] for stage, receipt in standing if receipt.content == entry["content"]}
    return [*(stage in stages for stage in STAGES.values()), bool(stages), True].index(True)
