"""Which models are to be made again, and what the verdict on each is about."""

from dataclasses import dataclass

from predictflow.adapters.mlflow_entities import Version
from predictflow.formatting import SHORT
from predictflow.lineage.handles import resolve
from predictflow.lineage.project import Project
from stages.support.errors import UserError


@dataclass(frozen=True)
class RebuildRequest:
    """A model that is to be made again.

    Attributes:
        named: what was asked for, or a version's name.
        commit: where it is made; None where no commit holds it.
        versions: registered versions that the verdict is about; empty where it is about another commit.
        recorded: whether the verdict becomes a receipt; not likewise, nor where an experiment alone holds it.
    """

    named: str
    content: str
    commit: str | None
    versions: list[Version]
    recorded: bool


def select_models(
    project: Project, handle: str | None, every: bool, since: str | None
) -> list[RebuildRequest]:
    """Raises what `resolve` raises, and UserError or CouldNotTell where there is nothing to make."""
    if every:
        return _versions(project)
    if since is not None:
        return _since(project, since)
    target = resolve(project, handle)
    if target.model is None:
        raise UserError(
            f"{handle} ({target.named}) is no model.\n"
            f"Cure: `predictflow lineage {handle}` lists the models made from it; rebuild one of those."
        )
    commit = project.repository.commit(handle) if handle else project.repository.head
    if commit is None or target.lock is None or project.history.lock_at(commit) != target.lock:
        commit = None  # not a commit by itself: the first one that holds the model
    return [_request(project, handle or "the working tree", target.model, commit)]


def _versions(project: Project) -> list[RebuildRequest]:
    """Each content once, under the name of its newest version."""
    project.require_versions("Cure: set MLFLOW_TRACKING_URI.")
    requests = [
        _request(project, own[0].name, content or "", None)
        for content, versions in project.versions_with.items()
        if (own := [version for version in versions if version.model == project.model])
    ]
    if not requests:
        raise UserError(f"{project.model} has no registered version.\nCure: `dvc repro` registers one.")
    return sorted(requests, key=lambda request: int(request.named.rpartition("/")[2]))


def _since(project: Project, since: str) -> list[RebuildRequest]:
    start = project.repository.commit(since)
    if start is None:
        raise UserError(f"{since} is no branch, tag or commit.\nCure: `git log --oneline` lists commits.")
    shas = set(project.repository.read("rev-list", f"{start}..HEAD").split())
    firsts = project.history.first_with_model.items()
    made = sorted((first.time, first.sha, content) for content, first in firsts if first.sha in shas)
    if not made:
        raise UserError(f"no commit since {since} holds a new model.\nCure: an earlier revision.")
    return [_request(project, sha[:SHORT], content, sha) for _, sha, content in made]


def _request(project: Project, named: str, content: str, commit: str | None) -> RebuildRequest:
    first = project.history.first_with_model.get(content)
    chain = project.chain(project.model) if project.model else None
    registered_by = chain.registrations.values() if chain else ()
    registered = next((receipt for receipt in registered_by if receipt.content == content), None)
    holder = registered.commit if registered else first.sha if first else None
    commit = commit or holder
    if commit != holder:  # the verdict on another commit with this model is no word about the version
        return RebuildRequest(named, content, commit, [], recorded=False)
    versions = project.versions_with.get(content, [])
    own = [version for version in versions if version.model == project.model]
    # A tag on an experiment's commit would make it one that a tag holds.
    recorded = bool(registered or (own and first and project.history.is_on_branch(content)))
    return RebuildRequest(named, content, commit, own, recorded)
