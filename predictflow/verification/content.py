"""Is what lies here the content that is meant? Registry, Git, MLflow's files and DVC's cache, compared."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from predictflow.adapters.dvc_files import LIST, Lockfile, parse_list
from predictflow.adapters.mlflow_entities import Version, md5s_of
from predictflow.errors import Unreachable
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from predictflow.verification import mlflow_files
from predictflow.verification.mlflow_files import Artifacts, Mismatch, differ
from stages.support import hashes
from stages.support.paths import MODEL_FOLDER, PROVENANCE


@dataclass(frozen=True)
class ContentCheck:
    """Do registry, Git, MLflow's files and DVC's cache say the same of a version?"""

    project: Project
    version: Version

    @cached_property
    def model(self) -> Model | None:
        return recorded_model(self.project, self._content)

    @cached_property
    def commit(self) -> str | None:
        return commit_of(self.project, self.version)

    @property
    def _content(self) -> str:
        return self.version.content or ""

    def mismatches(self) -> list[Mismatch]:
        """Where they do not."""
        version = self.version
        if version.content is None:
            message = (
                f"{version.name} carries no content, so nothing says what it is: it was registered by other"
                " means (`dvc repro` registers the model of a commit)"
            )
            return [Mismatch("content", message)]
        of_run = list(self._of_run())
        mismatches = [*of_run, *self._of_commit()]
        if self.model:
            for check in (self._of_lock, self._of_tags, self._of_cache):
                mismatches += check(self.model)
        # Where Git does not know it, MLflow's files are held to its own tags, which is all there is.
        model = self.model or known_model(self.project, version.content)
        if not model.files:
            message = f"nothing names a file of {version.name}, so there is none to compare"
            mismatches.append(Mismatch("git", message))
        artifacts = Artifacts.of_version(self.project, version)
        if of_run:  # its run's folder is another's
            return mismatches
        return [*mismatches, *mlflow_files.artifact_mismatches(self.project, artifacts, model)]

    def tree_mismatches(self) -> list[Mismatch]:
        """Where the working tree's files are not the version that its dvc.lock holds; none for another."""
        history, root, model = self.project.history, self.project.repository.root, self.model
        held = history.worktree and history.locks[history.worktree].content
        if root is None or model is None or held != self._content:
            return []
        wanted: dict[Path, str | None] = {PROVENANCE: self._content}
        if (root / MODEL_FOLDER).is_dir():  # before `dvc checkout` it is not there
            wanted |= {MODEL_FOLDER / name: md5 for name, md5 in model.files.items()}
            others = mlflow_files.other_files(root / MODEL_FOLDER, model)
            wanted |= {path.relative_to(root): None for path in others}
        mismatches = []
        for path, md5 in wanted.items():
            now = hashes.md5(root / path) if (root / path).is_file() else None
            if now != md5:
                message = differ(f"{path} of the working tree", md5, "its dvc.lock", now, "its own bytes")
                mismatches.append(Mismatch("tree", message, root / path, md5))
        return mismatches

    def _of_run(self) -> Iterator[Mismatch]:
        version = self.version
        run = self.project.runs.with_id(version.run_id)
        if run and run.content != version.content:
            by_tag = f"{version.name} is content {version.content} by its own tag"
            yield Mismatch("run", f"{by_tag}, but its run {run.id} made {run.content or 'no model'}")

    def _of_commit(self) -> Iterator[Mismatch]:
        """provenance.json, of which the content is the md5, in the commit itself."""
        if self.commit is None:
            yield Mismatch("commit", self._not_committed())
            return
        for message in other_provenance(self.project, [(self.commit, self._content)]).values():
            yield Mismatch("git", message)

    def _not_committed(self) -> str:
        history, content = self.project.history, self._content
        what = f"no branch and no tag has a dvc.lock with the content {content}"
        first = history.first_with_model.get(content)
        experiments = [ref.name for ref in history.refs_with.get(content, []) if ref.kind == "experiment"]
        if experiments:
            return f"{what}, only the experiment {experiments[0]} (`dvc exp branch {experiments[0]} BRANCH`)"
        if first:
            return f"{what}, only commit {first.sha[:10]} (`git branch BRANCH {first.sha[:10]}`)"
        if history.worktree and history.locks[history.worktree].content == content:
            return f"{what}, only the working tree (`git add --all && git commit`)"
        return f"{what} (make it again with the params of its run, and commit dvc.lock)"

    def _of_lock(self, model: Model) -> Iterator[Mismatch]:
        for path, md5 in model.md5s.items():
            locked = model.lock.md5s.get(path, md5)
            if locked != md5:
                yield Mismatch("git", differ(path, md5, PROVENANCE, locked, "dvc.lock"))

    def _of_tags(self, model: Model) -> Iterator[Mismatch]:
        tags = md5s_of(self.version.tags)
        for path in sorted(model.md5s.keys() | tags.keys()):
            md5, tagged = model.md5s.get(path), tags.get(path)
            if md5 != tagged:
                message = differ(path, md5, PROVENANCE, tagged, f"the tags of {self.version.name}")
                yield Mismatch("tags", message, Path(path), md5)

    def _of_cache(self, model: Model) -> Iterator[Mismatch]:
        """The model's files as DVC would bring them: the list of the folder, and each file."""
        folder = MODEL_FOLDER.as_posix()
        wanted = {f"{folder}/{name}": md5 for name, md5 in model.files.items()}
        if folder in model.lock.md5s:
            wanted = {folder: model.lock.md5s[folder]} | wanted
        else:
            yield Mismatch("git", f"{folder} is not named by dvc.lock")
        for path, md5 in wanted.items():
            try:
                mismatch = cache_mismatch(self.project, path, md5)
            except Unreachable as error:
                yield Mismatch("not here", str(error))
                return
            if mismatch:
                yield mismatch
            elif path == folder:
                yield from self._of_list(model, md5)

    def _of_list(self, model: Model, md5: str) -> Iterator[Mismatch]:
        """The folder's files as DVC's list names them."""
        listed = parse_list(self.project.storage.place(md5).read_bytes())
        for name in sorted(listed.keys() | model.files.keys()):
            recorded, by_list = model.files.get(name), listed.get(name)
            if recorded != by_list:
                path = f"{MODEL_FOLDER.as_posix()}/{name}"
                yield Mismatch("git", differ(path, recorded, PROVENANCE, by_list, "dvc.lock's folder"))


def recorded_model(project: Project, content: str) -> Model | None:
    """A model as Git has recorded it; None where its provenance.json was never committed."""
    if content not in project.history.contents:
        return None
    model = project.history.model(content)
    return model if model.params else None


def known_model(project: Project, content: str) -> Model:
    """A model as Git has recorded it, or as the tags of its runs and versions tell it."""
    return recorded_model(project, content) or told_model(content, project.md5s_of(content))


def told_model(content: str, md5s: dict[str, str]) -> Model:
    """A model of which nothing is known but these md5s."""
    return Model(content, Lockfile({}, {}, []), None, md5s, {}, {}, {})


def contents_by_md5s(project: Project) -> dict[frozenset[tuple[str, str]], str]:
    """{the (path, md5) of all that Git has recorded of a model: its content}."""
    contents: dict[frozenset[tuple[str, str]], str] = {}
    for content in project.history.contents:
        if (model := recorded_model(project, content)) and model.md5s:
            contents.setdefault(frozenset(model.md5s.items()), content)
    return contents


def content_of(contents: Mapping[frozenset[tuple[str, str]], str], tags: Mapping[str, str]) -> str | None:
    """The one of `contents_by_md5s` with just the md5s that these tags of a run or a version tell."""
    return contents.get(frozenset(md5s_of(tags).items()))


def commit_of(project: Project, version: Version) -> str | None:
    """The first commit that holds a version's content, if a branch or a tag has it."""
    first = project.history.first_with_model.get(version.content or "")
    kinds = ("refs/heads", "refs/remotes", "refs/tags")
    if first and project.repository.read("for-each-ref", "--count=1", f"--contains={first.sha}", *kinds):
        return first.sha
    return None


def other_provenance(project: Project, held: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """{(commit, content): how that commit's provenance.json is another}, for those where it is."""
    ids = project.repository.ids([f"{commit}:{PROVENANCE}" for commit, _ in held])
    texts = dict(project.repository.blobs([blob for blob in ids if blob]))
    others = {}
    for (commit, content), blob in zip(held, ids, strict=True):
        where = f"commit {commit[:10]}"
        md5 = hashlib.md5(texts[blob]).hexdigest() if blob else None
        if md5 is None:
            others[commit, content] = f"{PROVENANCE} (md5 {content} by dvc.lock) is not in {where}"
        elif md5 != content:
            by = f"dvc.lock of {where}"
            others[commit, content] = differ(PROVENANCE, content, by, md5, "its own bytes there")
    return others


def held_in_cache(project: Project, path: str, md5: str) -> Path:
    """Where DVC's cache holds exactly these bytes. Raises Unreachable where it does not."""
    if mismatch := cache_mismatch(project, path, md5):
        raise Unreachable(mismatch.message)
    return project.storage.place(md5)


def copy_from_cache(project: Project, model: Model, folder: Path) -> None:
    """Copy a model's files into a folder. Raises Unreachable where DVC's cache does not hold their bytes."""
    for name, md5 in model.files.items():
        shutil.copyfile(held_in_cache(project, f"{MODEL_FOLDER}/{name}", md5), folder / name)


def cache_mismatch(project: Project, path: str, md5: str) -> Mismatch | None:
    """What is wrong with a file, or a folder's list, in DVC's cache. Raises Unreachable without a cache."""
    place = project.storage.place(md5)
    tracked = MODEL_FOLDER.as_posix() if path.startswith(MODEL_FOLDER.as_posix()) else path
    fetch = f"`dvc fetch --all-commits {tracked}`"
    if not place.is_file():
        message = f"{path} (md5 {md5}) is not in DVC's cache ({fetch} brings it)"
        return Mismatch("not here", message, place, md5)
    now = hashes.md5(place)
    if now != md5.removesuffix(LIST):
        message = f"{path} has the md5 {now} in DVC's cache, not {md5} (`rm {place}`, then {fetch})"
        return Mismatch("cache", message, place, md5)
    return None
