"""No fault of a remote is silent: every case, played by push and pull against a real S3 server."""

import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from predictflow.adapters.remote import Remote
from predictflow.doctor import remote
from predictflow.doctor.check import State
from predictflow.maintenance import transfer
from tests.people.project import REPOSITORY, WAIT
from tests.people.remote_faults import CASES, LATER, Case, Later, Scene, examined, said
from tests.people.s3 import S3, Answer, Forward, Request, proxy


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSES", (0, 0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_fault_is_silent(s3: S3, pushing: Path, tmp_path: Path, case: Case):
    scene = Scene.of(s3, pushing, tmp_path / "scene", case.actor)
    with ExitStack() as stack:
        case.arrange(scene, stack)
        code, told = said(scene.project, scene.env, "push" if case.actor == "owner" else "pull")
    assert code == case.code and "Traceback" not in told, told
    assert re.search(case.told, " ".join(told.split())), told
    assert scene.env.get("AWS_SECRET_ACCESS_KEY", "none") not in told
    right = scene.is_pushed if case.actor == "owner" else scene.is_pulled
    assert right == case.heals, told
    if case.actor == "clone":
        assert not scene.wrong, "what is wrong on the remote is here"
    if code:
        assert "Cure: " in told


def test_a_profile_whose_keys_are_refused_is_named(s3: S3, pushing: Path, tmp_path: Path):
    scene = Scene.of(s3, pushing, tmp_path / "scene", "owner")
    key, secret = (scene.env.pop(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    file = Path(scene.project.env["HOME"], ".aws/credentials")
    file.parent.mkdir()
    file.write_text(f"[team]\naws_access_key_id = {key}\naws_secret_access_key = {secret[::-1]}\n")
    code, told = said(scene.project, scene.env | {"AWS_PROFILE": "team"}, "push")
    assert code == 2 and "SignatureDoesNotMatch" in told
    assert f"…{key[-4:]}" in told and "~/.aws/credentials" in told and "profile team" in told
    assert secret[::-1] not in told


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_doctor_sees_it(s3: S3, pushing: Path, tmp_path: Path, case: Case):
    scene = Scene.of(s3, pushing, tmp_path / "scene", case.actor)
    with ExitStack() as stack:
        case.arrange(scene, stack)
        found = examined(scene.project, scene.env)
    bad = [check for check in found.values() if check.state is not State.OK]
    assert bool(bad) != case.unseen, found
    assert all(check.cure for check in bad if check.state is State.PROBLEM)
    assert scene.env.get("AWS_SECRET_ACCESS_KEY", "none") not in str(found)


@pytest.mark.parametrize("case", LATER[:2], ids=lambda case: case.name)  # the third is doctor's, below
def test_what_plain_dvc_kept_to_itself_is_told_afterwards(s3: S3, pushing: Path, tmp_path: Path, case: Later):
    scene = Scene.of(s3, pushing, tmp_path / "scene", case.actor)
    with ExitStack() as stack:
        case.arrange(scene, stack)
        plain = scene.project.run("dvc", *case.plain, env=scene.env, code=case.ended)
        code, told = said(scene.project, scene.env, *case.ours)
    assert "AccessDenied" not in plain.stdout and "403" not in plain.stdout, "DVC says it now: tell the page"
    assert code == case.code and "Traceback" not in told, told
    assert re.search(case.told, " ".join(told.split())), told
    assert not scene.is_pushed, "neither what should be there, nor without what should be gone"


@pytest.mark.parametrize("search", [test_no_fault_is_silent, test_doctor_sees_it])
def test_the_search_for_the_secret_key_finds_it(search, s3: S3, pushing: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Remote, "whose", lambda remote: f"The secret key is {s3.keys['nobody'][1]}.")
    (case,) = [case for case in CASES if case.name == "a user with no rights"]
    with pytest.raises(AssertionError, match=re.escape(s3.keys["nobody"][1])):
        search(s3, pushing, tmp_path, case)


def test_doctor_finds_a_healthy_remote_healthy(s3: S3, pushing: Path, tmp_path: Path):
    scene = Scene.of(s3, pushing, tmp_path / "scene", "clone")
    scene.fill()
    found = examined(scene.project, scene.env)
    assert {check.state for check in found.values()} == {State.OK}
    assert found.keys() == remote.GROUP.entries.keys()
    assert not [key for key in scene.in_bucket() if "doctor" in key], "the probe is still there"


def test_doctor_tells_who_may_not_remove_since_dvc_gc_would_not(s3: S3, pushing: Path, tmp_path: Path):
    scene = Scene.of(s3, pushing, tmp_path / "scene", "owner")
    scene.fill()
    scene.configure(user="undeleting")
    told = examined(scene.project, scene.env)["remote-probe"]
    assert told.state is State.WARNING and "s3:DeleteObject is missing" in told.message


def test_doctor_tells_an_upload_that_nobody_ended(s3: S3, pushing: Path, tmp_path: Path):
    scene = Scene.of(s3, pushing, tmp_path / "scene", "owner")
    scene.fill()
    s3.client().create_multipart_upload(Bucket=scene.bucket, Key="project/files/md5/00/0")
    told = examined(scene.project, scene.env)["remote-uploads"]
    assert told.state is State.WARNING and "never ended" in told.message


@pytest.mark.parametrize(("actor", "word", "method"), [("owner", "push", "PUT"), ("clone", "pull", "GET")])
def test_what_was_killed_goes_on_with_the_same_command(
    s3: S3, pushing: Path, tmp_path: Path, actor: str, word: str, method: str
):
    scene = Scene.of(s3, pushing, tmp_path / "scene", actor)
    if actor == "clone":
        scene.fill()
    reached, ended = threading.Event(), threading.Event()

    def stopping(request: Request, forward: Forward) -> Answer | None:
        """The third object waits until the command is dead."""
        if request.method != method or not request.object:
            return forward()
        seen.add(request.object)
        if len(seen) < 3:
            return forward()
        reached.set()
        ended.wait(WAIT)
        return None

    seen: set[str] = set()
    with proxy(s3, stopping) as url:
        scene.configure(url)
        env, null = scene.env | {"PYTHONPATH": str(REPOSITORY)}, subprocess.DEVNULL
        words = (sys.executable, "-P", "-m", "predictflow.cli", word)
        with scene.project.begun(*words, env=env, stdout=null, stderr=null):
            assert reached.wait(WAIT)
        ended.set()
    assert not (scene.is_pushed if actor == "owner" else scene.is_pulled) and not scene.wrong
    scene.configure()
    code, told = said(scene.project, scene.env, word)
    assert code == 0, told
    assert scene.is_pushed if actor == "owner" else scene.is_pulled
    assert not scene.wrong and not scene.wrong_on_remote
