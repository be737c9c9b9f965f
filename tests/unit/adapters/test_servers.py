"""Servers in the background: found again, healed, ended, and never taken for another's."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from predictflow.adapters import servers
from predictflow.adapters.processes import working_in
from predictflow.adapters.servers import Launch, Server, servers_in
from stages.support.errors import UserError
from tests.people.processes import begun

pytestmark = pytest.mark.real
WEB = Launch([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}"], "/")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path / "stack/web")
    yield one
    one.stop()


def pids(server: Server) -> set[int]:
    return {process.pid for process in working_in(server.folder)}


def test_it_answers_and_a_second_time_it_is_the_same_one(server):
    assert server.ensure(WEB)
    url, before = server.url, pids(server)
    assert requests.get(url, timeout=30).ok
    assert not server.ensure(WEB)
    assert (server.url, pids(server)) == (url, before)
    assert servers_in(server.folder.parent) == [server]


def test_a_killed_one_comes_back_where_it_was(server):
    server.ensure(WEB)
    url = server.url
    for pid in pids(server):
        psutil.Process(pid).kill()
    psutil.wait_procs(working_in(server.folder), timeout=30)
    assert not server.is_running
    assert server.ensure(WEB)
    assert server.url == url
    assert requests.get(url, timeout=30).ok


def test_where_somebody_else_listens_it_takes_another_port(server):
    server.ensure(WEB)
    url = server.url
    server.stop()
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):
        server.ensure(WEB)
        assert server.url != url
        assert requests.get(server.url, timeout=30).ok


def test_a_port_that_is_taken_between_the_look_and_the_start_is_left_for_another(server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        real, looks = servers._free_port, []

        def look(wished: int) -> int:
            looks.append(wished)
            return other.getsockname()[1] if len(looks) == 1 else real(0)

        monkeypatch.setattr(servers, "_free_port", look)
        assert server.ensure(WEB)
    assert len(looks) == 2
    assert requests.get(server.url, timeout=30).ok


def test_what_is_to_be_served_otherwise_is_started_anew(server):
    server.ensure(WEB)
    before = pids(server)
    assert server.ensure(Launch(WEB.words, "/", serves="another database"))
    assert server.is_running
    assert not pids(server) & before


def test_ended_it_is_gone_with_all_that_it_has_started(server):
    words = ["sh", "-c", f"sleep 600 & exec {sys.executable} -m http.server --bind 127.0.0.1 $0", "{port}"]
    server.ensure(Launch(words, "/"))
    assert len(pids(server)) == 2
    server.remove()
    assert not server.is_running
    assert not server.folder.exists()


def test_a_copy_of_the_project_is_not_in_charge_of_its_servers(server, tmp_path):
    server.ensure(WEB)
    shutil.copytree(tmp_path / "stack", tmp_path / "copy")
    copy = Server(tmp_path / "copy/web")
    assert copy.url == server.url
    assert not copy.is_running
    copy.stop()
    assert server.is_running


def test_a_project_that_was_moved_still_is(server, tmp_path):
    server.ensure(WEB)
    (tmp_path / "stack").rename(tmp_path / "moved")
    moved = Server(tmp_path / "moved/web")
    assert moved.is_running
    moved.stop()
    assert not moved.is_running


def test_one_that_ends_at_once_is_told_with_the_end_of_its_log(server):
    words = [sys.executable, "-c", "raise SystemExit('no such option')"]
    with pytest.raises(
        UserError, match=r"web ended as soon as it was started(.|\n)*\| no such option(.|\n)*Cure: correct"
    ):
        server.ensure(Launch(words, "/"))
    assert not server.is_running


def test_a_full_disk_is_told_as_such(server):
    words = [sys.executable, "-c", "raise SystemExit('write cache: No space left on device')"]
    with pytest.raises(UserError, match="Cure: make room on the disk"):
        server.ensure(Launch(words, "/"))


def test_one_that_never_answers_is_ended(server, monkeypatch):
    monkeypatch.setattr(servers, "START_SECONDS", 0.5)
    with pytest.raises(UserError, match=r"web has not answered in 0\.5 seconds"):
        server.ensure(Launch(["sleep", "600"], "/"))
    assert not server.is_running


def test_what_a_power_cut_left_of_the_record_is_no_record(server):
    server.folder.mkdir(parents=True)
    (server.folder / "server.json").write_bytes(b"\0\0\0")
    assert server.ensure(WEB)


def test_a_process_elsewhere_is_nobody_s(server, tmp_path):
    server.ensure(WEB)
    with begun(["sleep", "600"], tmp_path, os.environ) as other:
        server.stop()
        assert other.poll() is None
