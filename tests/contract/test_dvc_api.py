"""What predictflow/adapters uses of DVC and s3fs beside their documented ways.

An upgrade that changes it fails here, and not before a bucket.
"""

import contextlib
import hashlib
import inspect
from pathlib import Path

import pytest
from dvc.config_schema import REMOTE_SCHEMAS
from dvc.repo import Repo
from dvc.repo.brancher import brancher
from dvc_data.hashfile.db import HashFileDB
from s3fs import S3FileSystem

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own, of its graph
GOOD, BAD = b"right\n", b"wrong\n"
MD5 = hashlib.md5(GOOD).hexdigest()


def parameters(function) -> set[str]:
    return set(inspect.signature(function).parameters)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A project with a file in DVC, and a remote that is a folder."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    repo = Repo.init(str(project), no_scm=True)
    (project / "file").write_bytes(GOOD)
    with repo.config.edit("repo") as config:
        config["remote"]["beside"] = {"url": str(tmp_path / "remote")}
        config["core"]["remote"] = "beside"
    repo.close()
    repo = Repo(str(project))
    repo.add("file")
    yield repo
    repo.close()


def test_the_transfer_takes_what_it_is_given():
    wanted = {"path", "fs", "oid", "check_exists", "on_error", "callback"}
    assert wanted <= parameters(HashFileDB.add)
    assert {"revs", "workspace", "sha_only"} <= parameters(brancher)


def test_s3_takes_deadlines_and_can_be_asked_directly():
    assert {"connect_timeout", "read_timeout", "verify"} <= {str(key) for key in REMOTE_SCHEMAS["s3"]}
    assert isinstance(S3FileSystem.retries, int)
    files = S3FileSystem(anon=True, skip_instance_cache=True)
    assert callable(files.call_s3) and hasattr(files, "loop") and hasattr(files, "session")
    assert files.split_path("bucket/a/b")[:2] == ("bucket", "a/b")


def test_an_output_tells_what_is_needed_of_it(repo: Repo):
    assert list(repo.brancher()) == [""]
    (out,) = repo.index.outs
    told = (out.use_cache, out.hash_info.name, out.hash_info.value, out.meta.size, out.can_push, out.remote)
    assert told == (True, "md5", MD5, len(GOOD), True, None)
    assert not out.stage.is_repo_import
    assert out.fs.relpath(out.fs_path, out.repo.root_dir) == "file"


def test_a_remote_has_its_place_its_files_and_its_objects(repo: Repo):
    remote = repo.cloud.get_remote("beside", "push")
    assert (remote.fs.protocol, Path(remote.path).name) == ("local", "remote")
    assert not remote.worktree and not remote.fs.version_aware
    assert remote.odb.oid_to_path(MD5) == f"{remote.path}/files/md5/{MD5[:2]}/{MD5[2:]}"
    assert remote.fs.unstrip_protocol(remote.path) == remote.path
    assert Path(repo.tmp_dir).is_dir()


def test_what_comes_and_is_another_does_not_stay_in_the_cache(repo: Repo):
    remote, cache = repo.cloud.get_remote("beside", "pull").odb, repo.cache.local
    place, kept = Path(remote.oid_to_path(MD5)), Path(cache.oid_to_path(MD5))
    place.parent.mkdir(parents=True)
    told: list[str] = []

    def bring(text: bytes) -> bool:
        kept.unlink(missing_ok=True)
        place.write_bytes(text)
        words = {"check_exists": False, "verify": True, "on_error": lambda md5, error: told.append(md5)}
        cache.add([str(place)], remote.fs, [MD5], **words)
        return kept.is_file()

    assert bring(GOOD) and kept.stat().st_mode & 0o222 == 0
    assert not bring(BAD)
    place.unlink()
    kept.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):  # of a single one DVC would put in place what did not come
        cache.add([str(place)], remote.fs, [MD5], verify=True, on_error=lambda md5, error: told.append(md5))
    assert told == [MD5]
