"""What a handle means: any name that a person has for a model or for data."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from predictflow.adapters.dvc_files import parse_pointer
from predictflow.adapters.mlflow_entities import RUN_ID
from predictflow.errors import CouldNotTell
from predictflow.formatting import some_of, stage_and_aliases
from predictflow.lineage.hashing import md5_of_file, md5_of_folder
from predictflow.lineage.history import in_folder
from predictflow.lineage.names import nearest_names, what_there_is
from predictflow.lineage.project import Project
from predictflow.lineage.scored import ScoredFile, find_named, find_scored
from stages.support import hashes
from stages.support.errors import UserError
from stages.support.paths import MODEL_FOLDER, PROVENANCE
from stages.tracking.registry import RegistryStage

MD5_HANDLE = re.compile(r"[0-9a-f]{4,32}(\.dir)?")
TOO_SHORT = re.compile(r"[0-9a-f]{1,3}")
RUN_HANDLE = re.compile(r"[0-9a-f]{4,32}")
VERSION_HANDLE = re.compile(r"(?:models:/)?(?P<model>[^/@:]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")
# What train and evaluate write names the model; every other file is something that models are made from.
OF_A_MODEL = (MODEL_FOLDER.as_posix(), PROVENANCE.as_posix(), "metrics/train/", "metrics/evaluate/")
LISTED_TARGETS = 20


@dataclass(frozen=True)
class Target:
    """What a handle stands for: a model, or a file that models are made from."""

    named: str  # what the handle is, in words
    model: str | None = None  # its content
    file: str | None = None  # its md5
    lock: str | None = None  # the dvc.lock that the handle points at, where it points at one
    bytes: str = ""  # what of its files the handle was known by: other models may have the same
    scored: ScoredFile | None = None  # the scores that the handle is, where it is such a file


def resolve(project: Project, handle: str | None) -> Target:
    """The one thing that a handle names; by default the model of the working tree.

    Raises CouldNotTell for a handle that names several things, and what `find_targets` raises.
    """
    targets = find_targets(project, handle)
    if len(targets) > 1:
        raise ambiguous(project, handle or "", targets)
    return targets[0]


def find_targets(project: Project, handle: str | None) -> list[Target]:
    """All that a handle may name; by default the model of the working tree.

    Raises UserError for one that names nothing, and CouldNotTell for nothing as far as could be looked.
    """
    if handle is None:
        return [_of_the_checkout(project)]
    looked: list[str] = []
    targets: dict[tuple[str | None, str | None], Target] = {}
    for source in (_paths, _revisions, _experiments, _md5s, _versions, _runs):
        if targets and source is _runs and not RUN_HANDLE.fullmatch(handle):
            break  # an experiment's own commit says more than its run
        for target in source(project, handle, looked):
            targets.setdefault((target.model, target.file), target)
    if not targets:
        project.history.confirm_all()
        raise _unknown(project, handle, looked)
    return list(targets.values())


def _of_the_checkout(project: Project) -> Target:
    history, head = project.history, project.repository.head
    name = history.worktree or (history.lock_at(head) if head else None)
    if name is None or history.locks[name].content is None:
        raise UserError("there is no model here yet: no dvc.lock, or none with a model.\nCure: `dvc repro`.")
    where = "the working tree" if history.worktree else "HEAD"
    return Target(f"the model of {where}", model=history.locks[name].content, lock=name)


def _paths(project: Project, handle: str, looked: list[str]) -> Iterator[Target]:
    path = project.start / handle
    if path.is_dir():
        targets, own = list(_folder(project, path, looked)), _beside(project, path)
        if not targets and next(path.glob("*.parquet"), None):  # parts of customers
            targets = list(_of_md5(project, md5_of_folder(path)))
        yield from [target for target in targets if target.model == own] or targets
    elif path.is_file():
        digest = parse_pointer(path.read_bytes()) if path.suffix == ".dvc" else md5_of_file(path)
        inside = _inside(project, path)
        targets = list(_of_md5(project, digest, inside))
        if not targets and (scored := find_scored(path, digest, looked)):
            targets = list(_of_scored(project, scored, looked))
        if not targets:
            edit = f"; `dvc add {handle}` records an edit" if Path(f"{path}.dvc").is_file() else ""
            looked.append(f"{handle} is a file, md5 {digest}, which no dvc.lock and no run names{edit}")
        yield from targets
    else:
        head = project.repository.head and project.history.lock_at(project.repository.head)
        recorded = project.history.locks[head].md5s.get(handle) if head else None
        if recorded is None:
            looked.append(f"no file or folder {handle}, neither on the disk nor in HEAD's dvc.lock")
        else:
            yield from _of_md5(project, recorded, handle)


def _beside(project: Project, folder: Path) -> str | None:
    """The content that the provenance beside the project's own model folder has: other params, such as those
    of the learning curve, may give the same files."""
    provenance = folder.parent / PROVENANCE.name
    own = _inside(project, folder) == MODEL_FOLDER.as_posix() and provenance.is_file()
    return hashes.md5(provenance) if own else None


def _inside(project: Project, path: Path) -> str | None:
    """The path as dvc.lock writes it; None for one outside the project."""
    root = project.repository.root
    path = path.absolute()
    return path.relative_to(root).as_posix() if root and path.is_relative_to(root) else None


def _folder(project: Project, folder: Path, looked: list[str]) -> Iterator[Target]:
    """The models of which every file is in a folder; files that MLflow puts beside them do not count."""
    history = project.history
    models = {content: in_folder(history.found_md5s(content)) for content in history.contents}
    names = {name for files in models.values() for name in files}
    held = {name: hashes.md5(folder / name) for name in names if (folder / name).is_file()}
    nearest, differing = "", list(names)
    for content, files in models.items():
        wrong = sorted(name for name, digest in files.items() if held.get(name) != digest)
        if files and not wrong:
            yield Target("a folder with every file of a model", model=content, bytes=folder.name)
        elif len(wrong) < min(len(files), len(differing)):
            nearest, differing = content, wrong
    no_model = f"{folder.name} is no recorded model: of {nearest} it differs in {', '.join(differing)}"
    without = f"{folder.name} is a folder without the files of any recorded model"
    looked.append(no_model if nearest else without)


def _of_md5(project: Project, digest: str, inside: str | None = None) -> Iterator[Target]:
    """The models or the file that an md5 belongs to; `inside` tells two paths with the same bytes apart."""
    named = project.history.named_by.get(digest) or project.in_store(digest).get(digest, {})
    for path in sorted(named.keys() & {inside} or named):
        if path.startswith(OF_A_MODEL):
            for content in sorted(named[path]):
                yield Target(f"{path}, md5 {digest}", model=content, bytes=digest)
        else:
            yield Target(f"{path}, md5 {digest}", file=digest)


def _of_scored(project: Project, scored: ScoredFile, looked: list[str]) -> Iterator[Target]:
    """The model that a scored file says that it is of, if there is one."""
    content = scored.claim.model
    if content in project.history.contents or content in project.runs:
        yield Target(f"{scored.name}, by what it says of itself", model=content, scored=scored)
    else:
        looked.append(f"{scored.name} says that the model {content} scored it, which nothing here knows")


def _md5s(project: Project, handle: str, looked: list[str]) -> Iterator[Target]:
    if not MD5_HANDLE.fullmatch(handle):
        if TOO_SHORT.fullmatch(handle):
            looked.append(f"{handle} is too short for the beginning of an md5: give four characters or more")
        return
    digests = [digest for digest in project.history.named_by if digest.startswith(handle)]
    if not digests and RUN_ID.fullmatch(handle) and project.runs.with_id(handle):
        return  # the whole id of a run: to look for an md5 all runs would be read
    digests = digests or list(project.in_store(handle))
    for digest in digests:
        yield from _of_md5(project, digest)
    for scored in [] if digests else find_named(project.start, handle):
        yield from _of_scored(project, scored, looked)
    if not digests:
        looked.append(f"no md5 of a model, of data or of code begins with {handle}")


def _versions(project: Project, handle: str, looked: list[str]) -> Iterator[Target]:
    asked = VERSION_HANDLE.fullmatch(handle)
    if not asked or (project.start / handle).exists():
        return
    named = [version for version in project.versions if version.model == asked["model"]]
    wanted = asked["version"] or ""
    if wanted == "latest":
        named = named[:1]  # the newest comes first
    elif wanted.isdigit():
        named = [version for version in named if version.number == int(wanted)]
    elif wanted:
        named = [version for version in named if version.stage.lower() == wanted.lower()]
    else:
        named = [version for version in named if asked["alias"] in version.aliases]
    for content, versions in project.versions_with.items():
        for version in versions:
            if version in named and content:
                yield Target(
                    f"{version.name}, {stage_and_aliases(version.stage, version.aliases)}", model=content
                )
            elif version in named:
                looked.append(f"{version.name} was registered by other means: it carries no content")
    if not named:
        looked.append(f"no registered version {handle}")
    yield from _receipts(project, asked["model"], wanted or asked["alias"], bool(named), looked)


def _receipts(
    project: Project, model: str, wanted: str, in_store: bool, looked: list[str]
) -> Iterator[Target]:
    """What the receipts say of a version's number or of a stage.

    `register` puts every version in Staging without a receipt: there the store alone is asked, if it knows.
    """
    stage = wanted.lower()
    if in_store and stage == RegistryStage.STAGING.alias:
        return
    chain = project.chain(model)
    receipt = chain.registrations.get(int(wanted)) if wanted.isdigit() else chain.standing().get(stage)
    if receipt is None:
        return
    name = f"{model}/{receipt.version}, {receipt.action} by the receipt {receipt.name}"
    name += "" if in_store else ": MLflow's store names none"
    name += "; the chain of receipts is broken" if chain.damage else ""
    targets = list(_of_commit(project, receipt.commit, name))
    if not targets:
        looked.append(f"the receipt {receipt.name} is at a commit without a model")
    yield from targets


def _of_commit(project: Project, sha: str, named: str) -> Iterator[Target]:
    """The model of a commit's dvc.lock, if it has one."""
    lock = project.history.lock_at(sha)
    project.history.confirm([lock] if lock else [], [sha])
    content = project.history.locks[lock].content if lock else None
    if content:
        yield Target(named, model=content, lock=lock)


def _revisions(project: Project, handle: str, looked: list[str]) -> Iterator[Target]:
    sha = project.repository.commit(handle)
    if sha is None:
        looked.append(f"no branch, tag or commit {handle}")
        return
    targets = list(_of_commit(project, sha, f"the model of commit {sha[:10]}"))
    if not targets:
        looked.append(f"commit {sha[:10]} has no dvc.lock with a model")
    yield from targets


def _experiments(project: Project, handle: str, looked: list[str]) -> Iterator[Target]:
    named = [ref for ref in project.repository.refs if (ref.kind, ref.name) == ("experiment", handle)]
    for ref in named:
        yield from _of_commit(project, ref.commit, f"experiment {handle}, commit {ref.commit[:10]}")
    if not named:
        looked.append(f"no experiment {handle} of DVC's")


def _runs(project: Project, handle: str, looked: list[str]) -> Iterator[Target]:
    """A run by its id, or by the name of an experiment that DVC has forgotten."""
    named = project.store.named(handle, handle if RUN_HANDLE.fullmatch(handle) else None)
    for run in named:
        if run.content:
            yield Target(f"run {run.id}", model=run.content)
        else:
            looked.append(f"run {run.id} is {run.status} and made no model")
    if not named:
        looked.append(f"no run {handle}")


def _unknown(project: Project, handle: str, looked: list[str]) -> UserError:
    near = some_of(nearest_names(project, handle))
    lines = [f"{handle} is not known here{f'. Did you mean {near}?' if near else ':'}"]
    lines += [f"  {line}" for line in dict.fromkeys(looked)]
    lines += [f"  not looked at: {line}" for line in project.unseen]
    lines += what_there_is(project)
    lines.append(
        "Cure: `git fetch --all --tags` and `dvc exp pull origin --all-commits` bring what others have"
        " pushed; `predictflow status` tells what is here."
    )
    return (CouldNotTell if project.unseen else UserError)("\n".join(lines))


def ambiguous(project: Project, handle: str, targets: list[Target]) -> UserError:
    lines = [f"{handle} may be any of {len(targets)}:"]
    for target in targets[:LISTED_TARGETS]:
        kind = "model" if target.model else "file"
        first = project.history.first_with_model.get(target.model or "")
        since = f", since commit {first.sha[:10]}" if first else ""
        lines.append(f"  {target.model or target.file}  {kind}: {target.named}{since}")
    if len(targets) > LISTED_TARGETS:
        lines.append(f"  and {len(targets) - LISTED_TARGETS} more")
    lines.append("Cure: name one of them by its md5.")
    return CouldNotTell("\n".join(lines))
