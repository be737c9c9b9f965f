"""DVC's cache and remote, looked into: what is there, and why what could not be looked at was not."""

import hashlib
import http.server
import socket
import threading
from pathlib import Path

import pytest

from predictflow.adapters import dvc_storage
from predictflow.adapters.dvc_storage import Storage
from predictflow.errors import Unreachable
from tests.people.project import Project

KEPT, ALONE = b"pushed", b"in the cache alone"
AWS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def md5(text: bytes) -> str:
    return hashlib.md5(text).hexdigest()


@pytest.fixture(scope="session")
def pushed_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one file pushed to a folder beside it, and one that is not."""
    top = tmp_path_factory.mktemp("pushed")
    for name in ("project", "home"):
        (top / name).mkdir()
    project = Project(top / "project", top / "home").hurry()
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    for name, text in {"kept": KEPT, "alone": ALONE}.items():
        (project.folder / name).write_bytes(text)
    project.run("dvc", "add", "--quiet", "kept", "alone")
    project.run("dvc", "remote", "add", "--quiet", "--default", "beside", "../remote folder")
    project.run("dvc", "push", "--quiet", "kept.dvc")
    return top


@pytest.fixture
def project(pushed_template: Path) -> Project:
    """The project; its local settings are the test's own."""
    local = pushed_template / "project/.dvc/config.local"
    local.unlink(missing_ok=True)
    yield Project(pushed_template / "project", pushed_template / "home").hurry()
    local.unlink(missing_ok=True)


def configure(project: Project, settings: str) -> Storage:
    (project.folder / ".dvc/config.local").write_text(settings)
    return Storage(project.folder)


def test_a_remote_that_is_a_folder_is_looked_into_unasked(project: Project):
    held = Storage(project.folder)
    wanted = [md5(KEPT), md5(ALONE), md5(b"never seen")]
    assert held.remote == "beside"
    assert held.on_remote(wanted, ask=False) == held.on_remote(wanted, ask=True) == {md5(KEPT)}
    assert [held.cached(digest) is not None for digest in wanted] == [True, True, False]
    assert held.cached(md5(ALONE)).read_bytes() == ALONE


def test_a_folder_that_nothing_was_ever_pushed_to_holds_nothing(project: Project):
    held = configure(project, "['remote \"beside\"']\n    url = ../../nowhere\n")
    assert held.on_remote([md5(KEPT)], ask=False) == set()
    assert not (project.folder.parent / "nowhere").exists()


def test_a_cache_elsewhere_is_found(project: Project, tmp_path):
    held = configure(project, f"[cache]\n    dir = {tmp_path}/cache\n")
    assert held.cached(md5(KEPT)) is None
    there = tmp_path / "cache/files/md5" / md5(KEPT)[:2] / md5(KEPT)[2:]
    there.parent.mkdir(parents=True)
    there.write_bytes(KEPT)
    assert held.cached(md5(KEPT)) == there


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("[core]\n    remote = other\n", "the default remote other has no address"),
        ("][", "DVC's settings cannot be read: "),
    ],
)
def test_settings_that_name_no_remote_are_told(project: Project, settings, reason):
    with pytest.raises(Unreachable, match=reason):
        configure(project, settings).on_remote([md5(KEPT)], ask=True)


def test_a_project_without_a_remote_and_a_bare_clone_say_so(tmp_path):
    (tmp_path / ".dvc").mkdir()
    for root in (tmp_path, None):
        with pytest.raises(Unreachable, match="no default remote is set"):
            Storage(root).on_remote([md5(KEPT)], ask=True)
    with pytest.raises(Unreachable, match="bare"):
        Storage(None).cached(md5(KEPT))


def in_network(project: Project, url: str, more: str = "") -> Storage:
    return configure(project, f"[core]\n    remote = far\n['remote \"far\"']\n    url = {url}\n    {more}\n")


def test_a_remote_in_a_network_is_not_asked_unless_told_to(project: Project):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://ada:secret@127.0.0.1:{listening.getsockname()[1]}/data"
        with pytest.raises(Unreachable) as told:
            in_network(project, url).on_remote([md5(KEPT)], ask=False)
        assert "the remote far, http://…@127.0.0.1:" in str(told.value)
        assert "--remote asks it" in str(told.value)
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("s3://somewhere/data", "endpointurl = http://127.0.0.1:9"),
        ("http://ada:secret@127.0.0.1:9/data", ""),
    ],
    ids=["s3", "http"],
)
def test_a_remote_that_cannot_be_reached_is_told_and_not_taken_for_empty(
    project: Project, url, more, monkeypatch
):
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unreachable, match=r"does not answer: .*onnect") as told:
        in_network(project, url, more).on_remote([md5(KEPT)], ask=True)
    assert "secret" not in str(told.value)


def test_a_remote_without_credentials_is_told_and_not_taken_for_empty(project: Project, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(project.folder.parent / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    far = in_network(project, "s3://somewhere/data", "endpointurl = http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="Unable to locate credentials"):
        far.on_remote([md5(KEPT)], ask=True)


def test_a_remote_that_never_answers_is_told_within_its_deadline(project: Project, monkeypatch):
    monkeypatch.setattr(dvc_storage, "REMOTE_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        far = in_network(project, f"http://127.0.0.1:{listening.getsockname()[1]}/data")
        with pytest.raises(Unreachable, match=r"no answer in 0\.5 seconds"):
            far.on_remote([md5(KEPT)], ask=True)


def test_a_remote_in_a_network_tells_what_it_holds(project: Project):
    class Folder(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words) -> None:
            super().__init__(*words, directory=project.folder.parent / "remote folder")

        def log_message(self, *_) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            far = in_network(project, f"http://127.0.0.1:{server.server_port}")
            assert far.on_remote([md5(KEPT), md5(ALONE)], ask=True) == {md5(KEPT)}
        finally:
            server.shutdown()
