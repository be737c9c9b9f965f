"""What the index of Git's history says, held against Git's own objects."""

import hashlib
import re
from collections.abc import Iterable

from predictflow.adapters import dvc_files
from predictflow.adapters.dvc_files import POINTERS, RECORDS, customers_path
from predictflow.adapters.git import Repository
from predictflow.errors import CouldNotTell
from predictflow.lineage.index import TRACKED, Index, location

COMMITTED = re.compile(rb"^committer .* (\d+) [+-]\d{4}$", re.MULTILINE)


class Confirmation:
    """Holds the few objects that an answer names against Git, each once."""

    def __init__(self, repository: Repository, index: Index) -> None:
        self._repository, self._index = repository, index
        self._commits = {commit.sha: commit for commit in index.commits}
        self._held: set[str] = set()

    def hold(self, locks: Iterable[str], commits: Iterable[str]) -> None:
        """Raises CouldNotTell where Git says otherwise than the index: somebody has edited that."""
        index = self._index
        shas = [sha for sha in dict.fromkeys(commits) if sha in self._commits and sha not in self._held]
        names = [name for name in dict.fromkeys(locks) if name not in self._held]
        pointers = {blob for sha in shas for blob in self._commits[sha].pointers} - self._held
        md5s = {index.locks[name].md5s.get(path, "") for name in names for path in RECORDS} - self._held
        blobs = {md5: index.records[md5][0] for md5 in md5s & index.records.keys()}
        if not (shas or names):
            return
        self._held.update(shas, names, pointers, blobs)

        asked = [self._repository.ids([f"{sha}:{path}" for sha in shas]) for path in TRACKED]
        texts = dict(self._repository.blobs([*shas, *names, *pointers, *blobs.values()]))
        right = {
            **{
                f"commit {sha}": self._commits[sha].blobs == held and self._time(sha, texts.get(sha, b""))
                for sha, held in zip(shas, zip(*asked, strict=True), strict=True)
            },
            **{
                f"dvc.lock {name}": name in texts and dvc_files.parse_lock(texts[name]) == index.locks[name]
                for name in names
            },
            **{
                f"{POINTERS[customers_path(index.pointers[name])]} {name}": name in texts
                and dvc_files.parse_pointer(texts[name]) == index.pointers[name]
                for name in pointers
            },
            **{f"record {md5}": self._is_record(md5, texts.get(blob, b"")) for md5, blob in blobs.items()},
        }
        for what, as_git in right.items():
            if not as_git:
                raise self.edited(what)

    def edited(self, what: str) -> CouldNotTell:
        """The mistake of believing an index that says otherwise than Git."""
        path = location(self._repository)
        return CouldNotTell(
            f"the index of Git's history, {path}, says of {what} what Git does not: somebody has edited it.\n"
            f"Cure: `predictflow audit` tells all of it; after `rm {path}` it is made anew."
        )

    def _time(self, sha: str, text: bytes) -> bool:
        committed = COMMITTED.search(text)
        return committed is not None and int(committed[1]) == self._commits[sha].time

    def _is_record(self, md5: str, text: bytes) -> bool:
        is_it = hashlib.md5(text).hexdigest() == md5
        return is_it and dvc_files.parse_record(text) == self._index.records[md5][1]
