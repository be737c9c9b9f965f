"""Every run of the store, looked at once and a page at a time: a server may hold a hundred thousand."""

from collections.abc import Iterator

from predictflow.adapters.mlflow_entities import Run, md5s_of
from predictflow.audit.bytes import check_run_files
from predictflow.audit.finding import Finding
from predictflow.audit.told import (
    Recorded,
    ToldOfRun,
    check_descriptions,
    check_told_of_run,
    told_by_receipt,
)
from predictflow.formatting import some_of
from predictflow.ledger.chain import Chain
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from predictflow.verification.content import recorded_model, told_model
from stages.tracking.store import own_artifacts


def check_runs(project: Project, chain: Chain, ledger_is_whole: bool) -> Iterator[Finding]:
    """What every run says, and holds, where that is not what is recorded; and how versions are described.

    At a server the files of a run are brought here where Git, the registry or a receipt knows its model: of
    others', which only their own tags describe, the number is told.

    Args:
        ledger_is_whole: whether the receipts are believed.
    """
    believed = chain.believed() if ledger_is_whole else []
    receipts = {(receipt.run or {}).get("id"): told_by_receipt(receipt.run or {}) for receipt in believed}
    of_versions = {version.run_id for version in project.versions}
    recorded, own = Recorded(project), own_artifacts() is not None
    ours = {*chain.by_content, *project.versions_with}
    made: dict[tuple[str, str | None], list[str]] = {}
    of_others = 0
    for page in project.runs.pages():
        tags, params = project.store.tags(page), project.store.params(page)
        metrics = project.store.metrics(page)
        for run in page:
            of_run = tags.get(run.id, {})
            model = None
            if run.content and run.status == "FINISHED":
                made.setdefault((run.content, run.experiment), []).append(run.id)
                if run.id not in of_versions:
                    model = _model(project, run, of_run, own or run.content in ours)
                    of_others += model is None
            yield from check_run_files(project, run, model)
            if run.status != "RUNNING":
                told = ToldOfRun(
                    run,
                    tags=of_run,
                    params=params.get(run.id, {}),
                    metrics=metrics.get(run.id, {}),
                    receipt=receipts.get(run.id, {}),
                )
                yield from check_told_of_run(recorded, told)
    if of_others:
        message = (
            f"{of_others:,} runs at the server made models that neither Git nor the registry knows: their"
            " files were not brought here"
        )
        yield Finding("not here", "runs of others", message, None, note=True)
    for (content, _), runs in made.items():
        if len(runs) > 1:
            message = f"content {content} was made by {len(runs)} runs: {some_of(runs)}"
            yield Finding("duplicate", runs[0], message, None, note=True)
    yield from check_descriptions(project, chain, believed)


def _model(project: Project, run: Run, tags: dict[str, str], is_ours: bool) -> Model | None:
    """The model that a run says it made; None for one of others, which its own tags alone describe."""
    content = run.content or ""
    if model := recorded_model(project, content):
        return model
    if not is_ours and content not in project.history.contents:
        return None
    return told_model(content, md5s_of(tags) or project.md5s_of(content))
