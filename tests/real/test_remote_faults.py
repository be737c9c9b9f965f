"""No fault of a remote is silent: every case, played by push and pull against a real S3 server."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from predictflow.maintenance import transfer
from tests.people.remote_faults import CASES, Case, Scene, make_project, said
from tests.people.s3 import S3, s3_server


@pytest.fixture(scope="session")
def server() -> Iterator[S3]:
    with s3_server() as made:
        yield made


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("remote")
    make_project(top)
    return top


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSES", (0, 0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_fault_is_silent(server: S3, template: Path, tmp_path: Path, case: Case):
    scene = Scene.of(server, template, tmp_path / "scene", case.actor)
    with ExitStack() as stack:
        case.arrange(scene, stack)
        code, told = said(scene.project, scene.env, "push" if case.actor == "owner" else "pull", *case.words)
    assert code == case.code and "Traceback" not in told, told
    assert re.search(case.told, " ".join(told.split())), told
    assert scene.env.get("AWS_SECRET_ACCESS_KEY", "none") not in told
    right = scene.is_pushed if case.actor == "owner" else scene.is_pulled
    assert right == case.heals, told
    if case.actor == "clone":
        assert not scene.wrong, "what is wrong on the remote is here"
    if code:
        assert "Cure: " in told
