"""Where a project stands. Git, DVC and MLflow's store are only asked."""

from contextlib import nullcontext
from pathlib import Path

from predictflow.adapters.dvc_files import POINTERS, parse_record
from predictflow.adapters.dvc_status import DvcFailed, DvcQuestion, asking_dvc, changed_outputs
from predictflow.adapters.git_status import GitChanges, is_rebasing, read_changes
from predictflow.adapters.mlflow_entities import COMMIT_TAG, Version
from predictflow.adapters.mlflow_store import find_store
from predictflow.adapters.servers import STACK, servers_in
from predictflow.errors import Missing, Unreachable
from predictflow.formatting import moment
from predictflow.lineage import answers, standing
from predictflow.lineage.next_steps import DataFiles, path_of_record, pipeline_cure
from predictflow.lineage.project import Project
from predictflow.lineage.standing import ModelSummary, PipelineStatus
from stages.support import hashes
from stages.support.params import flat
from stages.support.paths import MARKER
from stages.tracking.registry import RegistryStage

Versions = list[tuple[Version, str | None]]  # each with its content


def read_status(project: Project, ask_remote: bool) -> standing.Status:
    """Where a project stands. `ask_remote` asks a remote in a network, too."""
    with asking_dvc() if project.repository.root else nullcontext() as dvc:  # the rest goes on beside it
        versions, store, silent = _read_store(project)
        is_lost = store is None and store_is_missing(project)
        could_not_tell = [] if is_lost else [*silent]
        working_tree = _working_tree(project, versions)
        experiments = _experiments(project)
        changes = read_changes(project.repository)
        git = _git(project, changes)
        storage, pipeline = None, None
        if dvc:
            with project.gaps.collecting() as gaps:
                storage, data = _storage(project, ask_remote)
            pipeline = _pipeline(project, dvc, data)
            if pipeline.error and not changes.conflicts:
                could_not_tell.append(pipeline.error)
            if ask_remote and storage.not_pushed is None:
                could_not_tell.append(gaps[0])  # why the remote does not answer
    return standing.Status(
        git=git,
        conflicts=changes.conflicts,
        uncommitted=[path for path in changes.uncommitted if path_of_record(path)],
        receipts=_promoted(project),
        store=store,
        store_is_lost=is_lost,
        working_tree=working_tree,
        experiments=experiments,
        storage=storage,
        pipeline=pipeline,
        stack=_stack(project.repository.root),
        could_not_tell=could_not_tell,
        not_looked_at=[reason for reason in project.unseen if reason not in could_not_tell],
    )


def _read_store(project: Project) -> tuple[Versions | None, standing.StoreStatus | None, list[str]]:
    """The versions of this project's registered model, what the store says besides, and why it is silent."""
    with project.gaps.collecting() as gaps:
        latest = project.store.latest()
        runs = [run for run in latest if COMMIT_TAG in run.tags]  # a server may hold others' too
        versions = _versions(project)
    has_receipts = project.model is not None and bool(project.chain(project.model).receipts)
    if gaps and (has_receipts or not store_is_missing(project)):
        return None, None, gaps  # without a store and a receipt, nothing was ever registered
    in_stage = {
        stage.alias: [
            standing.RegisteredModel(**vars(_summary(project, content)), **answers.version_entry(version))
            for version, content in versions
            if version.stage == stage or stage.alias in version.aliases
        ]
        for stage in RegistryStage
    }
    running = [moment(run.began / 1000) for run in runs if run.status == "RUNNING"]
    newest = runs[0].status if runs else None
    return versions, standing.StoreStatus(in_stage, standing.Runs(running, newest)), []


def _versions(project: Project) -> Versions:
    return [
        (version, content)
        for content, versions in project.versions_with.items()
        for version in versions
        if project.model in (None, version.model)
    ]


def _promoted(project: Project) -> dict[str, standing.PromotedModel | None]:
    """Who stands where by the receipts."""
    receipts = project.chain(project.model).standing() if project.model else {}
    stands = {
        stage: standing.PromotedModel(
            **vars(_summary(project, receipt.content)), version=receipt.version, receipt=receipt.name
        )
        for stage, receipt in receipts.items()
    }
    return {stage.alias: stands.get(stage.alias) for stage in RegistryStage}


def store_is_missing(project: Project) -> bool:
    """Whether the store is not where this project's own would be."""
    try:
        find_store()
    except Unreachable as error:
        return isinstance(error, Missing) and project.repository.root is not None
    return False


def _summary(project: Project, content: str | None) -> ModelSummary:
    if content is None:
        return ModelSummary(None, None, {}, None)
    model, first = answers.recorded(project, content), project.history.first_with_model.get(content)
    kind = flat(model.params).get("train.model")
    return ModelSummary(content, kind, model.metrics, first.sha if first else None)


def _working_tree(project: Project, versions: Versions | None) -> standing.LyingModel | None:
    history, root, head = project.history, project.repository.root, project.repository.head
    name = history.worktree if root else head and history.lock_at(head)
    content = history.locks[name].content if name else None
    if content is None:
        return None
    registered, runs = None, None
    if versions is not None:
        registered = [version.name for version, made in versions if made == content]
        runs = len(project.runs.get(content, []))
    return standing.LyingModel(
        **vars(_summary(project, content)), versions=registered, runs=runs, gate=_gate(root, content)
    )


def _gate(root: Path | None, content: str) -> standing.GateVerdict | None:
    """What register's marker says, where it is about this model."""
    marker = parse_record((root / MARKER).read_bytes()) if root and (root / MARKER).is_file() else None
    if isinstance(marker, dict) and marker.get("content") == content:
        return standing.GateVerdict(marker["passed"], marker["reasons"])
    return None


def _experiments(project: Project) -> standing.Experiments:
    history = project.history
    held = sum(ref.kind == "experiment" for ref in project.repository.refs)
    alone = (refs for content, refs in history.refs_with.items() if not history.is_on_branch(content))
    return standing.Experiments(held, sum(map(len, alone)))


def _git(project: Project, changes: GitChanges) -> standing.GitStatus:
    repository = project.repository
    branch = repository.git("symbolic-ref", "--short", "--quiet", "HEAD").stdout.decode().strip() or None
    remotes = repository.read("remote").split()
    upstream, ahead, behind = None, None, None
    if distance := changes.headers.get("branch.ab"):
        ahead, behind = (abs(int(count)) for count in distance.split())
        upstream = changes.headers.get("branch.upstream")
    elif repository.root and repository.head and (remotes or not branch):
        others = ["--remotes"] if branch else ["--branches", "--tags", "--remotes"]
        ahead = int(repository.read("rev-list", "--count", "HEAD", "--not", *others))
    return standing.GitStatus(
        branch, repository.head, upstream, remotes, ahead, behind, is_rebasing(repository)
    )


def _stack(root: Path | None) -> dict[str, standing.StackServer] | None:
    servers = servers_in(root / STACK) if root else []
    return {one.name: standing.StackServer(one.url, one.is_running) for one in servers} or None


def data_md5s(project: Project) -> dict[str, str]:
    """{path: md5} of what dvc.lock and the .dvc files of customers name and Git does not hold."""
    history = project.history
    lock = history.locks[history.worktree] if history.worktree else None
    outs = {path: md5 for path, md5 in lock.md5s.items() if path not in lock.inputs} if lock else {}
    outs |= history.worktree_customers
    if not outs:
        return {}
    listed = project.repository.read(
        *("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *outs)
    )
    in_git = {*listed.split("\0"), MARKER.as_posix()}
    return {path: md5 for path, md5 in outs.items() if path not in in_git}


def _storage(project: Project, ask_remote: bool) -> tuple[standing.StorageStatus, DataFiles]:
    md5s = data_md5s(project)
    on_remote = project.look(lambda: project.storage.on_remote(md5s.values(), ask_remote), None)
    data = DataFiles(
        set(md5s),
        {path for path, md5 in md5s.items() if _is_cached(project, md5)},
        {path for path, md5 in md5s.items() if on_remote and md5 in on_remote},
    )
    remote = project.look(lambda: project.storage.remote, None)
    if on_remote is None:
        return standing.StorageStatus(remote, None, None), data
    lacking = [path for path in md5s if path not in data.on_remote]
    not_pushed = [path for path in lacking if path in data.cached]
    nowhere = [path for path in lacking if path not in data.cached]
    return standing.StorageStatus(remote, not_pushed, nowhere), data


def _is_cached(project: Project, md5: str) -> bool:
    return project.look(lambda: project.storage.files_of(md5), None) is not None


def _is_new(project: Project, path: Path) -> bool:
    """Whether nobody has added what lies at a place."""
    md5 = hashes.md5_of(path)
    return md5 is not None and not _is_cached(project, md5)


def _pipeline(project: Project, dvc: DvcQuestion, data: DataFiles) -> PipelineStatus:
    try:
        changed = dvc.answer()
    except DvcFailed as error:
        return PipelineStatus(None, {}, str(error), error.cure)
    modified = (path for path in POINTERS if changed_outputs(changed).get(path) == "modified")
    new_customers = next((path for path in modified if _is_new(project, Path(path))), None)
    back = f"dvc checkout --force {POINTERS[new_customers]}" if new_customers in data.cached else None
    return PipelineStatus(not changed, changed, None, pipeline_cure(changed, data, new_customers), back)
