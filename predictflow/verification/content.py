"""Is what lies here the content that is meant? Registry, Git, MLflow's files and DVC's cache, compared."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from predictflow.adapters.dvc_files import Lockfile
from predictflow.adapters.mlflow_client import download
from predictflow.adapters.mlflow_entities import Run, Version
from predictflow.errors import Unreachable, masked
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from stages.support import hashes
from stages.support.paths import MODEL_FOLDER, PROVENANCE
from stages.tracking.store import MD5_PREFIX, SQLITE, tracking_uri

# What MLflow and Python put beside the files of a model that they load.
BESIDE = {"registered_model_meta"}
COMPILED = "__pycache__"


@dataclass(frozen=True)
class Mismatch:
    """A place that does not say of a model what the others say.

    Attributes:
        kind: content (the version carries none), run (its run made another), commit (no branch or tag has
            it), git (what was committed), tags (its md5s in the registry), cache (other bytes there), not
            here (none in the cache), files (MLflow's), tree (the working tree's).
        told: a sentence, for people.
        path: the file or folder that is not what it should be; None where it is none.
        md5: what a file should be; None for one that should not be there, and for a folder.
    """

    kind: str
    told: str
    path: Path | None = None
    md5: str | None = None


@dataclass(frozen=True)
class RunArtifacts:
    """Where MLflow keeps the files of a run; what a version's own attributes of these names say of it."""

    name: str
    run_id: str
    source: str

    @classmethod
    def of(cls, run: Run) -> "RunArtifacts":
        return cls(f"run {run.id}", run.id, f"{run.artifacts.rstrip('/')}/model")


def mismatches_of(project: Project, version: Version) -> list[Mismatch]:
    """Where registry, Git, MLflow's files and DVC's cache do not say the same of a version."""
    return list(
        _disagreements(project, version, recorded_version(project, version), commit_of(project, version))
    )


def run_mismatches(project: Project, run: Run) -> list[Mismatch]:
    """Where MLflow's files of a run are not those of the model that it says it made."""
    return list(_in_mlflow(project, RunArtifacts.of(run), known_model(project, run.content or "")))


def tree_mismatches(project: Project, version: Version) -> list[Mismatch]:
    """Where the working tree's files are not the version that its dvc.lock holds; nothing for another one."""
    history, root = project.history, project.repository.root
    model = recorded_version(project, version)
    held = history.worktree and history.locks[history.worktree].content
    if root is None or model is None or held != version.content:
        return []
    wanted = {PROVENANCE: version.content}
    if (root / MODEL_FOLDER).is_dir():  # before `dvc checkout` it is not there
        wanted |= {MODEL_FOLDER / name: md5 for name, md5 in model.files.items()}
        others = [path.relative_to(root) for path in _others(root / MODEL_FOLDER, model)]
        wanted |= dict.fromkeys(others)
    found = []
    for path, md5 in wanted.items():
        now = hashes.md5(root / path) if (root / path).is_file() else None
        if now != md5:
            what = f"{path} of the working tree"
            found.append(
                Mismatch("tree", _differ(what, md5, "its dvc.lock", now, "its own bytes"), root / path, md5)
            )
    return found


def recorded_version(project: Project, version: Version) -> Model | None:
    """A version as Git has recorded it; None where its provenance.json was never committed."""
    return _of_git(project, version.content or "")


def _of_git(project: Project, content: str) -> Model | None:
    if content not in project.history.contents:
        return None
    model = project.history.model(content)
    return model if model.params else None


def known_model(project: Project, content: str) -> Model:
    """A model as Git has recorded it, or as the tags of its runs and versions tell it."""
    model = _of_git(project, content)
    if model is None:
        model = Model(content, Lockfile({}, {}, []), None, project.md5s.get(content, {}), {}, {}, {})
    return model


def commit_of(project: Project, version: Version) -> str | None:
    """The first commit that holds a version's content, if a branch or a tag has it."""
    first = project.history.first_with_model.get(version.content or "")
    kinds = ("refs/heads", "refs/remotes", "refs/tags")
    if first and project.repository.read("for-each-ref", "--count=1", f"--contains={first.sha}", *kinds):
        return first.sha
    return None


def _disagreements(
    project: Project, version: Version, model: Model | None, commit: str | None
) -> Iterator[Mismatch]:
    """Where the content of a version is not the same everywhere."""
    if version.content is None:
        yield Mismatch(
            "content",
            f"{version.name} carries no content, so nothing says what it is: it was registered by other means"
            " (`dvc repro` registers the model of a commit)",
        )
        return
    for run in project.all_runs:
        if run.id == version.run_id and run.content != version.content:
            yield Mismatch(
                "run",
                f"{version.name} is content {version.content} by its own tag, but its run {run.id} made"
                f" {run.content or 'no model'}",
            )
    if commit is None:
        yield Mismatch("commit", _not_committed(project, version))
    else:
        yield from _in_git(project, version, commit)
    if model is None:  # then MLflow's files are held to its own tags, which is all there is
        yield from _in_mlflow(project, version, known_model(project, version.content))
        return
    for path, md5 in model.md5s.items():
        if model.lock.md5s.get(path, md5) != md5:
            yield Mismatch("git", _differ(path, md5, PROVENANCE, model.lock.md5s[path], "dvc.lock"))
    tags = {
        tag.removeprefix(MD5_PREFIX): md5 for tag, md5 in version.tags.items() if tag.startswith(MD5_PREFIX)
    }
    for path in sorted(model.md5s.keys() | tags.keys()):
        if model.md5s.get(path) != tags.get(path):
            told = _differ(
                path, model.md5s.get(path), PROVENANCE, tags.get(path), f"the tags of {version.name}"
            )
            yield Mismatch("tags", told, Path(path), model.md5s.get(path))
    yield from _in_cache(project, model)
    yield from _in_mlflow(project, version, model)


def _differ(path: Any, md5: str | None, by: Any, other: str | None, at: str) -> str:
    return f"{path} has {_named(md5)} by {by}, but {_named(other)} by {at}"


def _named(md5: str | None) -> str:
    return f"the md5 {md5}" if md5 else "no md5"


def _not_committed(project: Project, version: Version) -> str:
    history = project.history
    what = f"no branch and no tag has a dvc.lock with the content {version.content}"
    first = history.first_with_model.get(version.content)
    experiments = [ref.name for ref in history.refs_with.get(version.content, []) if ref.kind == "experiment"]
    if experiments:
        return f"{what}, only the experiment {experiments[0]} (`dvc exp branch {experiments[0]} BRANCH`)"
    if first:
        return f"{what}, only commit {first.sha[:10]} (`git branch BRANCH {first.sha[:10]}`)"
    if history.worktree and history.locks[history.worktree].content == version.content:
        return f"{what}, only the working tree (`git add --all && git commit`)"
    return f"{what} (make it again with the params of its run, and commit dvc.lock)"


def _in_git(project: Project, version: Version, commit: str) -> Iterator[Mismatch]:
    """provenance.json, of which the content is the md5, in the commit itself."""
    for told in other_provenance(project, [(commit, version.content or "")]).values():
        yield Mismatch("git", told)


def other_provenance(project: Project, held: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """{(commit, content): how that commit's provenance.json is another}, for those where it is."""
    ids = project.repository.ids([f"{commit}:{PROVENANCE}" for commit, _ in held])
    texts = dict(project.repository.blobs([blob for blob in ids if blob]))
    found = {}
    for (commit, content), blob in zip(held, ids, strict=True):
        where = f"commit {commit[:10]}"
        md5 = hashlib.md5(texts[blob]).hexdigest() if blob else None
        if md5 is None:
            found[commit, content] = f"{PROVENANCE} (md5 {content} by dvc.lock) is not in {where}"
        elif md5 != content:
            by = f"dvc.lock of {where}"
            found[commit, content] = _differ(PROVENANCE, content, by, md5, "its own bytes there")
    return found


def held_in_cache(project: Project, path: str, md5: str) -> Path:
    """Where DVC's cache holds exactly these bytes. Raises Unreachable where it does not."""
    doubt = _cached(project, path, md5)
    if doubt:
        raise Unreachable(doubt.told)
    return project.storage.place(md5)


def _cached(project: Project, path: str, md5: str) -> Mismatch | None:
    """What is wrong with a file, or a folder's list, in DVC's cache. Raises Unreachable without a cache."""
    found = project.storage.place(md5)
    tracked = MODEL_FOLDER.as_posix() if path.startswith(MODEL_FOLDER.as_posix()) else path
    fetch = f"`dvc fetch --all-commits {tracked}`"
    if not found.is_file():
        return Mismatch(
            "not here", f"{path} (md5 {md5}) is not in DVC's cache ({fetch} brings it)", found, md5
        )
    now = hashes.md5(found)
    if now != md5.removesuffix(".dir"):
        told = f"{path} has the md5 {now} in DVC's cache, not {md5} (`rm {found}`, then {fetch})"
        return Mismatch("cache", told, found, md5)
    return None


def _in_cache(project: Project, model: Model) -> Iterator[Mismatch]:
    """The model's files as DVC would bring them: the list of the folder, and each file."""
    folder, files = MODEL_FOLDER.as_posix(), model.files
    wanted = {f"{folder}/{name}": md5 for name, md5 in files.items()}
    if folder in model.lock.md5s:
        wanted = {folder: model.lock.md5s[folder]} | wanted
    else:
        yield Mismatch("git", f"{folder} is not named by dvc.lock")
    for path, md5 in wanted.items():
        try:
            doubt = _cached(project, path, md5)
        except Unreachable as error:
            yield Mismatch("not here", str(error))
            return
        if doubt:
            yield doubt
        elif path == folder:
            listed = json.loads(project.storage.place(md5).read_bytes())
            held = {entry["relpath"]: entry["md5"] for entry in listed}
            for name in sorted(held.keys() | files.keys()):
                if held.get(name) != files.get(name):
                    told = (
                        f"{folder}/{name}",
                        files.get(name),
                        PROVENANCE,
                        held.get(name),
                        "dvc.lock's folder",
                    )
                    yield Mismatch("git", _differ(*told))


def _in_mlflow(project: Project, version: Version | RunArtifacts, model: Model) -> Iterator[Mismatch]:
    """The model's files as MLflow would serve them."""
    address = urlsplit(version.source)
    unseen = f"MLflow's own files of {version.name}"
    if address.scheme not in ("", "file"):
        with tempfile.TemporaryDirectory() as folder:
            try:
                there = download(version.source, Path(folder))
            except Unreachable as error:
                project.unseen.append(f"{unseen}: {error}")
                return
            yield from _in_folder(there, masked(version.source), model)
        return
    path, folders = _path(version), folders_in_store(version)
    if not folders and not tracking_uri().startswith(SQLITE):
        project.unseen.append(f"{unseen}: {path} is a folder of the server's, or of who registered it")
    elif not folders:
        above = path.parent if path.parent.is_dir() else _moved(path.parent, version)
        told = f"MLflow's files of {version.name} are not there: {path}"
        yield Mismatch("files", told, above and above / path.name)
    for folder in folders:
        yield from _in_folder(folder, str(folder), model)


def _in_folder(folder: Path, named: str, model: Model) -> Iterator[Mismatch]:
    """How the files of a folder are not the model's.

    Args:
        named: what a person is told instead, of files that were brought here to be looked at.
    """
    here = named == str(folder)
    for name, md5 in model.files.items():
        path = folder / name
        if not path.is_file():
            told = f"{named}/{name} (md5 {md5} by {PROVENANCE}) is not there"
            yield Mismatch("files", told, path if here else None, md5)
        elif (now := hashes.md5(path)) != md5:
            told = _differ(f"{named}/{name}", md5, PROVENANCE, now, "its own bytes")
            yield Mismatch("files", told, path if here else None, md5)
    for path in _others(folder, model):
        what = f"{named}/{path.relative_to(folder)}"
        told = _differ(what, None, PROVENANCE, hashes.md5(path), "its own bytes")
        yield Mismatch("files", told, path if here else None)


def folders_in_store(version: Version | RunArtifacts) -> list[Path]:
    """The folders on this machine in which MLflow has the files of a model."""
    if urlsplit(version.source).scheme not in ("", "file"):
        return []
    path = _path(version)
    return [folder for folder in dict.fromkeys([path, _moved(path, version)]) if folder and folder.is_dir()]


def _path(version: Version | RunArtifacts) -> Path:
    """Where the database says that MLflow has them."""
    address = urlsplit(version.source)
    return Path(unquote(address.path) if address.scheme else version.source)


def _others(folder: Path, model: Model) -> list[Path]:
    """Files in a model's folder that are none of the model's."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and COMPILED not in path.parts
        and str(path.relative_to(folder)) not in BESIDE | model.files.keys()
    ]


def _moved(path: Path, version: Version | RunArtifacts) -> Path | None:
    """Where the files of a version lie after its store was moved: the same path under the store's folder.

    MLflow's database names them by the place where the store lay when the run was made.
    """
    uri = tracking_uri()
    if version.run_id not in path.parts or not uri.startswith(SQLITE):
        return None
    folder = Path(uri.removeprefix(SQLITE)).parent
    ends = range(1, path.parts.index(version.run_id) + 1)
    return next((there for at in ends if (there := folder.joinpath(*path.parts[at:])).is_dir()), None)
