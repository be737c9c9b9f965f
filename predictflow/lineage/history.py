"""What Git's history, with the working tree at its end, says of models and data."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from predictflow.adapters import dvc_files
from predictflow.adapters.dvc_files import DVC_LOCK, POINTERS, Lockfile, customers_in, customers_path
from predictflow.adapters.git import Ref, Repository
from predictflow.lineage.confirmation import Confirmation
from predictflow.lineage.index import Index, IndexedCommit, Progress, disagreements, read_git, read_index
from stages.support.paths import MODEL_FOLDER

WORKTREE = "the working tree"  # the name of the dvc.lock that lies on the disk


@dataclass(frozen=True)
class Commit:
    """A commit of the history.

    Attributes:
        time: seconds since 1970.
        parents: their places in the history.
        content: the model that its dvc.lock holds.
        lock: the name of its dvc.lock.
        customers: {path: md5} of the customers that it names, whether or not a model is made from them.
    """

    sha: str
    time: int
    parents: list[int]
    content: str | None
    lock: str | None
    customers: dict[str, str]


@dataclass(frozen=True)
class Model:
    """A model as Git has recorded it.

    Attributes:
        lock: the dvc.lock that the rest is taken from.
        commit: the first one with that dvc.lock; None where it was never committed.
        md5s: {path: md5} of the model's files, the data, and the environment's lock.
        params: as params.yaml nests them.
        metrics: empty where they were not committed.
        prepared: the rows and positives of each side of the split; empty likewise.
    """

    content: str
    lock: Lockfile
    commit: Commit | None
    md5s: dict[str, str]
    params: dict[str, Any]
    metrics: dict[str, float]
    prepared: dict[str, Any]

    @property
    def customers(self) -> str | None:
        """The md5 of the customers that it was made from."""
        return customers_in(self.md5s)

    @property
    def files(self) -> dict[str, str]:
        return in_folder(self.md5s)


def in_folder(md5s: dict[str, str]) -> dict[str, str]:
    """{name: md5} of the files in a model's folder."""
    return {Path(path).name: md5 for path, md5 in md5s.items() if Path(path).parent == MODEL_FOLDER}


class History:
    """Every model and every state of the data that any commit has recorded.

    Attributes:
        commits: every parent before its children.
        locks: each dvc.lock by its name: Git's id of it, or WORKTREE for one that no commit has.
    """

    def __init__(
        self,
        repository: Repository,
        track: Progress = lambda things, total: things,
        by_index: bool = False,
        keep: bool = True,
    ) -> None:
        """`by_index` finds by the index of the history, else Git's objects alone are read; `keep` writes the
        index for the next call."""
        self.repository = repository
        self.index = read_index(repository, track, keep) if by_index else read_git(repository, track)
        self._confirmation = Confirmation(repository, self.index) if by_index else None
        self._track = track
        self.locks = dict(self.index.locks)
        self._records = {md5: record for md5, (_, record) in self.index.records.items()}
        self.commits = [_commit(self.index, commit) for commit in self.index.commits]
        self._read_worktree()

    def _read_worktree(self) -> None:
        root = self.repository.root
        self.worktree: str | None = None
        self.worktree_customers: dict[str, str] = {}  # {path: md5} that the files of DVC's there name
        if root is None:
            return
        paths = (DVC_LOCK, *POINTERS.values(), *dvc_files.RECORDS)
        texts = {path: (root / path).read_bytes() for path in paths if (root / path).is_file()}
        for path, pointer in POINTERS.items():
            if md5 := dvc_files.parse_pointer(texts.pop(pointer, b"")):
                self.worktree_customers[path] = md5
        if DVC_LOCK not in texts:
            return
        lock = dvc_files.parse_lock(texts.pop(DVC_LOCK))
        self.worktree = next((name for name, known in self.locks.items() if known == lock), WORKTREE)
        if self.worktree is WORKTREE:
            self.locks[WORKTREE] = lock
            if head := self.repository.head:  # of which the index may say what it likes
                self.confirm(filter(None, [self.commits[self.places[head]].lock]), [head])
        for text in texts.values():
            self._records.setdefault(hashlib.md5(text).hexdigest(), dvc_files.parse_record(text))

    @cached_property
    def places(self) -> dict[str, int]:
        """{commit's id: its place in `commits`}."""
        return {commit.sha: place for place, commit in enumerate(self.commits)}

    @cached_property
    def _children(self) -> list[list[int]]:
        children: list[list[int]] = [[] for _ in self.commits]
        for place, commit in enumerate(self.commits):
            for parent in commit.parents:
                children[parent].append(place)
        return children

    @cached_property
    def _named(self) -> set[int]:
        """The places of what a branch, a tag or the checkout reaches: the rest is an experiment's alone."""
        tips = [ref.commit for ref in self.repository.refs if ref.kind != "experiment"]
        places = {self.places[tip] for tip in [*tips, self.repository.head] if tip}
        return self._reach(places, lambda place: self.commits[place].parents)

    def _reach(self, places: set[int], step: Callable[[int], list[int]]) -> set[int]:
        waiting, seen = list(places), set(places)
        while waiting:
            new = set(step(waiting.pop())) - seen
            seen |= new
            waiting += new
        return seen

    def _began(self, of: Callable[[Commit], str | None]) -> dict[str, Commit]:
        """{value: the commit at which it came to be}: the oldest of those that have it while no parent has;
        an experiment's only where no branch or tag has it."""
        began: dict[str, tuple[bool, int, int]] = {}
        for place, commit in enumerate(self.commits):
            value = of(commit)
            if value and all(of(self.commits[parent]) != value for parent in commit.parents):
                key = (place not in self._named, commit.time, place)
                began[value] = min(began.get(value, key), key)
        return {value: self.commits[place] for value, (_, _, place) in began.items()}

    @cached_property
    def first_with_model(self) -> dict[str, Commit]:
        """{content: the first commit whose dvc.lock holds it}."""
        return self._began(lambda commit: commit.content)

    @cached_property
    def first_with_lock(self) -> dict[str, Commit]:
        """{name of a dvc.lock: the first commit that has it}."""
        return self._began(lambda commit: commit.lock)

    @cached_property
    def first_with_customers(self) -> dict[str, Commit]:
        """{md5 of customers: the first commit that names it}."""
        return {
            md5: commit
            for path in POINTERS
            for md5, commit in self._began(partial(_customers_at, path)).items()
        }

    def confirm(self, locks: Iterable[str], commits: Iterable[str] = ()) -> None:
        """Hold what the index says of dvc.locks, of the records that they name, of the commits where they
        began, and of some other commits against Git's objects; once each.

        Raises CouldNotTell where Git says otherwise.
        """
        if self._confirmation:
            names = [name for name in locks if name in self.index.locks]
            began = (self.first_with_lock[name].sha for name in names if name in self.first_with_lock)
            self._confirmation.hold(names, [*began, *commits])

    def confirm_all(self) -> None:
        """The same of the whole index: before it is said that something is not there."""
        if self._confirmation and (
            wrong := disagreements(self.index, read_git(self.repository, self._track))
        ):
            raise self._confirmation.edited(wrong[0])

    def lock_at(self, sha: str) -> str | None:
        """The name of a commit's dvc.lock; the commit may be one that no ref reaches any more."""
        (name,) = self.repository.ids([f"{sha}:{DVC_LOCK}"])
        if name and name not in self.locks:
            ((_, text),) = self.repository.blobs([name])
            self.locks[name] = dvc_files.parse_lock(text)
        return name

    @cached_property
    def refs_with(self) -> dict[str, list[Ref]]:
        """{content: the branches, tags and experiments that hold it}."""
        refs: dict[str, list[Ref]] = {}
        for ref in self.repository.refs:
            if content := self.commits[self.places[ref.commit]].content:
                refs.setdefault(content, []).append(ref)
        return refs

    def is_on_branch(self, content: str) -> bool:
        """Whether a branch, a tag or the checkout holds or held a model; else it is an experiment's alone."""
        return self.places[self.first_with_model[content].sha] in self._named

    def refs_after(self, content: str) -> list[Ref]:
        """The branches and tags that once held a model and have gone on to another."""
        holders = {place for place, commit in enumerate(self.commits) if commit.content == content}
        since = self._reach(holders, lambda place: self._children[place]) - holders
        named = (ref for ref in self.repository.refs if ref.kind != "experiment")
        return [ref for ref in named if self.places[ref.commit] in since]

    def made_at(self, content: str) -> set[str]:
        """The commits that hold a model, and those right before: it was made at one of them."""
        holders = [commit for commit in self.commits if commit.content == content]
        before = {self.commits[parent].sha for commit in holders for parent in commit.parents}
        return before.union(commit.sha for commit in holders)

    @cached_property
    def contents(self) -> dict[str, list[str]]:
        """{content: the names of the dvc.locks that hold it}, each in the order of the history."""
        names: dict[str, list[str]] = {}
        for name in dict.fromkeys([*(commit.lock for commit in self.commits), self.worktree]):
            if name and (content := self.locks[name].content):
                names.setdefault(content, []).append(name)
        return names

    def model(self, content: str, name: str | None = None) -> Model:
        """A model, with the numbers and code of one of its dvc.locks: by default of the first."""
        if name is None:
            first = self.first_with_model.get(content)
            name = first.lock if first and first.lock else self.contents[content][0]
        self.confirm([name])
        lock = self.locks[name]
        *_, last = self._records.get(content) or [{}]
        return Model(
            content,
            lock,
            self.first_with_lock.get(name),
            self.found_md5s(content, name),
            last.get("params", {}),
            self._records.get(lock.md5s.get(dvc_files.MEASURED, "")) or {},
            self.prepared(lock),
        )

    def found_md5s(self, content: str, name: str | None = None) -> dict[str, str]:
        """{path: md5} of a model, to find it by: as the index says."""
        *files, _ = self._records.get(content) or [{}]
        lock = self.locks[name or self.contents[content][0]]
        return {entry["path"]: entry["md5"] for entry in files} or lock.md5s

    def prepared(self, lock: Lockfile) -> dict[str, Any]:
        """The rows and positives of each side of the split; empty where they were not committed."""
        return self._records.get(lock.md5s.get(dvc_files.PREPARED, "")) or {}

    @cached_property
    def named_by(self) -> dict[str, dict[str, set[str]]]:
        """{md5: {path: the models that it belongs to or was there for}} of all that was ever recorded;
        an md5 of data that no model was made from stands with no model."""
        named_by: dict[str, dict[str, set[str]]] = {}
        for content, names in self.contents.items():
            *files, _ = self._records.get(content) or [{}]
            entries = {(entry["md5"], entry["path"]) for entry in files}
            entries |= {(md5, path) for name in names for path, md5 in self.locks[name].md5s.items()}
            for md5, path in entries:
                named_by.setdefault(md5, {}).setdefault(path, set()).add(content)
        for md5 in [*self.first_with_customers, *self.worktree_customers.values()]:
            named_by.setdefault(md5, {}).setdefault(customers_path(md5), set())
        return named_by


def _commit(index: Index, commit: IndexedCommit) -> Commit:
    lock = index.locks[commit.lock] if commit.lock else None
    named = {path: lock.md5s[path] for path in POINTERS if path in lock.md5s} if lock else {}
    for path, blob in zip(POINTERS, (commit.file, commit.folder), strict=True):
        if blob:
            named[path] = index.pointers[blob]
    customers = {path: md5 for path, md5 in named.items() if md5}
    content = lock.content if lock else None
    return Commit(commit.sha, commit.time, commit.parents, content, commit.lock, customers)


def _customers_at(path: str, commit: Commit) -> str | None:
    return commit.customers.get(path)
