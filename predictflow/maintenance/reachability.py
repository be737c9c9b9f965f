"""What something still refers to: runs, and objects of DVC's cache.

Nothing is fetched and no remote is asked. It is more than `dvc gc -w --all-branches --all-tags
--all-experiments` keeps: also what registered versions and receipts name, whether or not they were committed,
what lies in stashes, in DVC's queue and in other worktrees, and every state of the customers that any commit
names, for no stage can make those again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from predictflow.adapters.dvc_files import DVC_LOCK, LIST, parse_list
from predictflow.adapters.git import EXPERIMENT_REF
from predictflow.adapters.mlflow_entities import Run, Version
from predictflow.errors import CouldNotTell
from predictflow.lineage.project import Project
from stages.support import hashes
from stages.support.paths import PROVENANCE
from stages.tracking.store import HOST_TAG, MD5_PREFIX

POINTERS = ".dvc"  # how the names of DVC's files end


@dataclass(frozen=True)
class Needed:
    """What must stay.

    Attributes:
        contents: models that a commit, a stash, a working tree, a version or a receipt holds.
        runs: ids that a version or a receipt names.
        md5s: objects of DVC's cache; the files of a folder (`….dir`) are among them.
    """

    contents: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    md5s: set[str] = field(default_factory=set)

    def run(self, run: Run) -> bool:
        """Whether a run must stay. One that carries no mark of the stages is somebody else's."""
        ours = run.content or HOST_TAG in run.tags
        return not ours or run.id in self.runs or run.content in self.contents


def needed(project: Project, versions: Iterable[Version]) -> Needed:
    """What must stay, as Git, the working trees, the receipts and all `versions` say."""
    history, need = project.history, Needed()
    loose = [*_stashed(project), *filter(project.repository.commit, _of_worktrees(project, "HEAD "))]
    commits = {ref.commit for ref in project.repository.refs} | set(loose)
    need.contents.update(history.contents)
    for sha in loose:
        if lock := history.lock_at(sha):
            need.contents.add(history.locks[lock].content or "")
    registered = _add_registered(project, versions, need)
    for content in registered & history.contents.keys():
        firsts = (history.first_with_lock.get(name) for name in history.contents[content])
        commits.update(first.sha for first in firsts if first)
    need.md5s.update(need.contents)  # provenance.json, for DVC's run cache
    need.md5s.update(history.first_with_customers)
    need.md5s.update(lock.customers for lock in history.locks.values() if lock.customers)
    need.md5s.update(_named_by_commits(project, commits))
    for folder in filter(Path.is_dir, map(Path, _of_worktrees(project, "worktree "))):
        need.md5s.update(_named_by_files(project, folder))
        if (folder / PROVENANCE).is_file():  # also of a stage that has failed since
            need.contents.add(hashes.md5(folder / PROVENANCE))
    need.md5s.update(_inside(project, need.md5s))
    return need


def _add_registered(project: Project, versions: Iterable[Version], need: Needed) -> set[str]:
    """Add what versions and receipts name; their contents."""
    contents = set()
    for version in versions:
        contents.add(version.content or "")
        need.runs.add(version.run_id or "")
        need.md5s.update(value for tag, value in version.tags.items() if tag.startswith(MD5_PREFIX))
    for receipt in project.chain(project.model).receipts if project.model else ():
        contents.add(receipt.content)
        need.runs.add((receipt.run or {}).get("id") or "")
        need.md5s.update(receipt.md5s.values())
    need.contents.update(contents)
    return contents


def _stashed(project: Project) -> Iterator[str]:
    """What lies in Git's stash, in DVC's queue, and what DVC puts aside while it works."""
    read = project.repository.read
    for ref in read("for-each-ref", "--format=%(refname)", "refs/exps", "refs/stash").splitlines():
        if EXPERIMENT_REF.fullmatch(ref) is None:
            yield from filter(None, [project.repository.commit(ref)])
            yield from read("log", "--walk-reflogs", "--format=%H", ref, "--").splitlines()


def _of_worktrees(project: Project, key: str) -> list[str]:
    """What Git tells of its working trees: their folders (`worktree `) or commits (`HEAD `)."""
    lines = project.repository.read("worktree", "list", "--porcelain").splitlines()
    return [line.removeprefix(key) for line in lines if line.startswith(key)]


def _named_by_commits(project: Project, commits: Iterable[str]) -> set[str]:
    """The md5s in every dvc.lock and .dvc file of some commits."""
    blobs = set()
    for sha in commits:
        for entry in project.repository.read("ls-tree", "-r", "-z", sha).split("\0"):
            about, _, path = entry.partition("\t")
            if path == DVC_LOCK or path.endswith((POINTERS, f"/{DVC_LOCK}")):
                blobs.add(about.split()[2])
    return {md5 for _, text in project.repository.blobs(sorted(blobs)) for md5 in _md5s(_yaml(text))}


def _named_by_files(project: Project, folder: Path) -> set[str]:
    """The same of a working tree, whether Git knows the file or not."""
    patterns = (f":(glob)**/*{POINTERS}", f":(glob)**/{DVC_LOCK}")
    words = ("-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--")
    listed = project.repository.read(*words, *patterns)
    files = (folder / name for name in listed.split("\0") if name)
    return {md5 for file in files if file.is_file() for md5 in _md5s(_yaml(file.read_bytes()))}


def _inside(project: Project, md5s: Iterable[str]) -> set[str]:
    """The files of those folders whose lists the cache holds."""
    lists = (project.storage.cached(md5) for md5 in md5s if md5.endswith(LIST))
    try:
        return {md5 for listed in lists if listed for md5 in parse_list(listed.read_bytes()).values()}
    except ValueError as error:
        raise CouldNotTell(
            f"a list of files in DVC's cache is none any more, so nobody knows what it needs: {error}\n"
            "Cure: `predictflow audit` names it."
        ) from error


def _md5s(tree: Any) -> Iterator[str]:
    """Every md5 that a file of DVC's names, wherever it stands."""
    if isinstance(tree, list):
        for item in tree:
            yield from _md5s(item)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key == "md5" and isinstance(value, str):
                yield value
            else:
                yield from _md5s(value)


def _yaml(text: bytes) -> Any:
    """Raises CouldNotTell for a file that cannot be read: what it names is not known."""
    import yaml

    try:
        return yaml.load(text, yaml.CBaseLoader)
    except yaml.YAMLError as error:
        raise CouldNotTell(
            f"a dvc.lock or .dvc file cannot be read, so nobody knows what it needs: {error}\n"
            "Cure: resolve its conflict (`git status`); one in an old commit goes with its branch or tag."
        ) from error
