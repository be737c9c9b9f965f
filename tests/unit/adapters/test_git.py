"""Git's objects are believed as far as their ids prove them."""

import hashlib
import os
import subprocess
import zlib
from pathlib import Path

import pytest

from predictflow.adapters.git import Repository
from predictflow.errors import CouldNotTell
from predictflow.ledger.tags import read_tags


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two commits, each with a file and a tag; the first is the parent of the second."""
    git(tmp_path, "init", "--quiet")
    for number in (1, 2):
        (tmp_path / "file").write_text(f"{number}\n")
        git(tmp_path, "add", "file")
        git(tmp_path, "commit", "--quiet", "-m", "words", GIT_COMMITTER_DATE=f"{number}000000000 +0000")
        git(tmp_path, "tag", "-a", "-m", f"number {number}", f"v{number}")
    return tmp_path


def git(folder: Path, *words: str, **env: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | env,
    )
    return done.stdout.strip()


def forge(folder: Path, name: str, old: bytes, new: bytes) -> None:
    """Write other bytes under an object's id."""
    id = git(folder, "rev-parse", name)
    path = folder / ".git/objects" / id[:2] / id[2:]
    text = zlib.decompress(path.read_bytes())
    assert old in text and len(old) == len(new)
    path.chmod(0o644)
    path.write_bytes(zlib.compress(text.replace(old, new)))


def test_a_blob_with_other_bytes_than_its_id_says_is_not_believed(folder: Path):
    repository = Repository(folder)
    ids = [id for id in repository.ids(["v1:file", "v2:file"]) if id]
    assert dict(repository.blobs(ids)) == dict(zip(ids, [b"1\n", b"2\n"], strict=True))
    assert repository.broken == []
    forge(folder, "v1:file", b"1\n", b"7\n")
    assert git(folder, "cat-file", "blob", ids[0]) == "7", "Git itself believes it"
    with pytest.raises(CouldNotTell, match=f"blob {ids[0]} holds other bytes"):
        list(repository.blobs(ids))
    assert any("hash-path mismatch" in line for line in repository.broken)


def test_a_tag_with_other_words_than_its_id_says_is_not_believed(folder: Path):
    repository = Repository(folder)
    assert [fields["contents"] for fields in read_tags(repository, "refs/tags/v*")] == [
        "number 1\n",
        "number 2\n",
    ]
    forge(folder, "v1", b"number 1", b"number 7")
    with pytest.raises(CouldNotTell, match=r"tag [0-9a-f]{40} holds other bytes"):
        list(read_tags(repository, "refs/tags/v*"))


def test_the_cache_of_commits_is_not_believed(folder: Path):
    words = ("rev-list", "--timestamp", "HEAD")
    before = Repository(folder).read(*words)
    git(folder, "commit-graph", "write", "--reachable")
    path = folder / ".git/objects/info/commit-graph"
    text = path.read_bytes()[:-20].replace(
        (2_000_000_000).to_bytes(4, "big"), (1_500_000_000).to_bytes(4, "big")
    )
    path.chmod(0o644)
    path.write_bytes(text + hashlib.sha1(text).digest())
    assert git(folder, *words) != before.strip(), "Git itself believes it"
    assert Repository(folder).read(*words) == before


def test_what_is_not_there_is_passed_over(folder: Path):
    (there,) = Repository(folder).ids(["v1:file"])
    assert there and dict(Repository(folder).blobs(["0" * 40, there])) == {there: b"1\n"}
