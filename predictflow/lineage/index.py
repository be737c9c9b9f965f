"""The index of Git's history: what every commit's dvc.lock says, read once.

It lies beside DVC's own temporary files (in a bare repository: in the repository itself) and holds
nothing that Git does not. It is written whole, checked when it is read, brought up to date by the new
commits alone, and made anew where it is missing, damaged, or of another layout.

Anybody with the working tree can edit it, so it only finds: what decides or writes reads Git's objects and
no index, and `History.confirm` holds what an answer names against them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from predictflow.adapters import dvc_files
from predictflow.adapters.dvc_files import DVC_LOCK, POINTERS, RECORDS, Lockfile, customers_path
from predictflow.adapters.git import Repository
from stages.support import files

INDEX_LAYOUT = 3
TRACKED = (DVC_LOCK, *POINTERS.values())  # of which a commit names the blobs, in this order
SHALLOW = "^"  # before a commit that a shallow clone ends at

# Goes through so many things and shows how far it is.
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


class IndexedCommit(NamedTuple):
    """A commit of the index.

    Attributes:
        time: seconds since 1970.
        parents: their places in the index.
        lock, file, folder: the blobs of TRACKED: dvc.lock, and what names the customers, a CSV or a folder of
            parts; None where it has none.
    """

    sha: str
    time: int
    parents: list[int]
    lock: str | None
    file: str | None
    folder: str | None

    @property
    def blobs(self) -> tuple[str | None, ...]:
        """Those of TRACKED."""
        return self.lock, self.file, self.folder

    @property
    def pointers(self) -> set[str]:
        """The blobs that name customers."""
        return {blob for blob in (self.file, self.folder) if blob}


@dataclass
class Index:
    """What the commits of a repository hold.

    Attributes:
        tips: what it is up to date with: the commits that refs point to, and where a shallow clone ends.
        commits: every parent before its children.
        locks: each dvc.lock by its blob.
        pointers: the md5 of the customers by the blob that names it.
        records: by md5, the blob and the JSON of those of RECORDS that some dvc.lock names.
    """

    tips: list[str] = field(default_factory=list)
    commits: list[IndexedCommit] = field(default_factory=list)
    locks: dict[str, Lockfile] = field(default_factory=dict)
    pointers: dict[str, str] = field(default_factory=dict)
    records: dict[str, tuple[str, Any]] = field(default_factory=dict)


def read_index(
    repository: Repository, track: Progress = lambda things, total: things, keep: bool = True
) -> Index:
    """The index, up to date; `keep` writes it for the next call."""
    path = location(repository)
    index = load_index(repository)
    tips = _tips(repository)
    if index.tips != tips:
        index = _update(repository, index, tips, track)
        if keep:
            _save(path, index)
    return index


def read_git(repository: Repository, track: Progress = lambda things, total: things) -> Index:
    """The same from Git's objects alone; nothing is written."""
    return _update(repository, Index(), _tips(repository), track)


def disagreements(kept: Index, git: Index) -> list[str]:
    """What a kept index says otherwise than Git, in words; it may be of an older day."""
    of_kept, of_git = _comparable(kept), _comparable(git)
    wrong = [what for what, value in of_kept.items() if what in of_git and of_git[what] != value]
    if kept.tips == git.tips:
        wrong += of_kept.keys() ^ of_git.keys()
    return sorted(wrong)


def _comparable(index: Index) -> dict[str, Any]:
    """{a thing of the index, in words: what it says of it}."""
    shas = [commit.sha for commit in index.commits]
    return {
        **{
            f"commit {commit.sha}": (commit.time, [shas[at] for at in commit.parents], *commit.blobs)
            for commit in index.commits
        },
        **{f"dvc.lock {blob}": lock for blob, lock in index.locks.items()},
        **{f"{POINTERS[customers_path(md5)]} {blob}": md5 for blob, md5 in index.pointers.items()},
        **{f"record {md5}": record for md5, record in index.records.items()},
    }


def location(repository: Repository) -> Path:
    if repository.root and (repository.root / ".dvc").is_dir():
        return repository.root / ".dvc/tmp/predictflow/history"
    return repository.git_folder / "predictflow/history"


def _tips(repository: Repository) -> list[str]:
    tips = {ref.commit for ref in repository.refs}
    if repository.head:
        tips.add(repository.head)
    if repository.shallow:
        tips |= {SHALLOW + commit for commit in (repository.git_folder / "shallow").read_text().split()}
    return sorted(tips)


def load_index(repository: Repository) -> Index:
    """The index as it was kept; an empty one where it is missing, damaged, or of another layout."""
    try:
        digest, text = location(repository).read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return Index()
    if hashlib.md5(text).hexdigest().encode() != digest:
        return Index()
    try:
        held = json.loads(text)
        if held.pop("layout") != INDEX_LAYOUT:
            return Index()
        held["commits"] = [IndexedCommit(*commit) for commit in held["commits"]]
        held["locks"] = {blob: Lockfile(**lock) for blob, lock in held["locks"].items()}
        held["records"] = {md5: (blob, record) for md5, (blob, record) in held["records"].items()}
        index = Index(**held)
        locks = {commit.lock for commit in index.commits if commit.lock}
        pointers = {blob for commit in index.commits for blob in commit.pointers}
        return index if locks <= index.locks.keys() and pointers <= index.pointers.keys() else Index()
    except (AttributeError, KeyError, TypeError, ValueError):
        return Index()  # somebody has edited it


def _save(path: Path, index: Index) -> None:
    text = json.dumps({"layout": INDEX_LAYOUT} | vars(index), default=vars, separators=(",", ":")).encode()
    try:
        with files.atomic_write(path) as temporary:
            temporary.write_bytes(hashlib.md5(text).hexdigest().encode() + b"\n" + text)
    except OSError:
        pass  # a repository that may only be read: the next call reads it all again


def _update(repository: Repository, old: Index, tips: list[str], track: Progress) -> Index:
    """Read what the commits that `old` lacks hold; leave out what no commit holds any more."""
    commits, new_records = _list_commits(repository, old, tips)
    locks = {commit.lock for commit in commits}
    pointers = {blob for commit in commits for blob in commit.pointers}
    index = Index(
        tips,
        commits,
        {blob: lock for blob, lock in old.locks.items() if blob in locks},
        {blob: md5 for blob, md5 in old.pointers.items() if blob in pointers},
        dict(old.records),
    )
    _read_blobs(repository, index, new_records, track)
    named = {lock.md5s.get(path) for lock in index.locks.values() for path in RECORDS}
    return replace(index, records={md5: record for md5, record in index.records.items() if md5 in named})


def _list_commits(
    repository: Repository, old: Index, tips: list[str]
) -> tuple[list[IndexedCommit], set[str]]:
    """Every commit that the tips reach, and the blobs of RECORDS that those hold which `old` lacks."""
    listed = repository.read(
        *("rev-list", "--topo-order", "--reverse", "--parents", "--timestamp", "--stdin"),
        given="\n".join(tip for tip in tips if not tip.startswith(SHALLOW)),
    )
    lines = [line.split() for line in listed.splitlines()]
    blobs = {commit.sha: commit.blobs for commit in old.commits}
    added = [sha for _, sha, *_ in lines if sha not in blobs]
    ids = {path: repository.ids([f"{sha}:{path}" for sha in added]) for path in (*TRACKED, *RECORDS)}
    blobs |= zip(added, zip(*(ids[path] for path in TRACKED), strict=True), strict=True)
    places = {sha: place for place, (_, sha, *_) in enumerate(lines)}
    commits = [
        IndexedCommit(sha, int(time), [places[parent] for parent in parents], *blobs[sha])
        for time, sha, *parents in lines
    ]
    return commits, {blob for path in RECORDS for blob in ids[path] if blob}


def _read_blobs(repository: Repository, index: Index, new_records: set[str], track: Progress) -> None:
    """Add to the index what is not known yet of its commits' files."""
    locks = {commit.lock for commit in index.commits if commit.lock} - index.locks.keys()
    pointers = {blob for commit in index.commits for blob in commit.pointers} - index.pointers.keys()
    wanted = sorted(locks | pointers | new_records)
    for blob, text in track(repository.blobs(wanted), len(wanted)):
        if blob in locks:
            index.locks[blob] = dvc_files.parse_lock(text)
        elif blob in pointers:
            index.pointers[blob] = dvc_files.parse_pointer(text)
        else:
            index.records[hashlib.md5(text).hexdigest()] = blob, dvc_files.parse_record(text)
