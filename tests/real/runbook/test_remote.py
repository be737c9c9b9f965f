"""Accidents of a remote on S3, from the symptom to health as docs/runbook.md has them."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.people import remote_faults
from tests.people.remote_faults import Arrange, Scene, a_child, behind, refusing
from tests.people.runbook import Person
from tests.people.s3 import S3

Play = Callable[[str, Arrange], None]


@pytest.fixture
def play(s3: S3, pushing: Path, tmp_path: Path) -> Play:
    """Let something be wrong around a project's remote. When the symptom was seen, whoever owns the network,
    the bucket, the keys or the clock does their part; then the project is cured as the entry says."""

    def play(anchor: str, arrange: Arrange) -> None:
        scene = Scene.of(s3, pushing, tmp_path / "scene", "owner")
        with ExitStack() as stack:
            arrange(scene, stack)
            look(scene, anchor).sees()
        scene.configure()
        look(scene, anchor).is_cured()
        assert scene.is_pushed

    return play


def look(scene: Scene, anchor: str) -> Person:
    """A person in a scene, with the keys that it has now."""
    person = Person(scene.project, anchor)
    person.env |= scene.env
    return person


def test_the_remote_does_not_answer(play: Play):
    play("the-remote-does-not-answer", remote_faults.nobody_there)


def test_the_remote_says_403(play: Play):
    play("the-remote-says-403", partial(remote_faults.as_user, "reader"))


def test_the_remote_says_404(play: Play):
    play("the-remote-says-404", remote_faults.no_bucket)


def test_the_bucket_is_in_another_region(play: Play):
    play("the-bucket-is-in-another-region", behind(refusing(400, "AuthorizationHeaderMalformed")))


def test_the_token_has_expired(play: Play):
    play("the-token-has-expired", behind(remote_faults.expiring))


def test_the_clock_is_wrong(play: Play):
    play("the-clock-is-wrong", behind(refusing(403, "RequestTimeTooSkewed")))


def test_an_object_is_gone_from_the_bucket(s3: S3, pushing: Path, tmp_path: Path):
    scene = Scene.of(s3, pushing, tmp_path / "scene", "clone")
    versioning = {"Status": "Enabled"}
    s3.client().put_bucket_versioning(Bucket=scene.bucket, VersioningConfiguration=versioning)
    scene.fill()
    scene.remove(a_child(scene))
    scene.env |= {"AWS_ENDPOINT_URL": s3.url, "AWS_REGION": "us-east-1"}
    person = look(scene, "an-object-is-gone-from-the-bucket")
    person.sees()
    person.is_cured()
    assert scene.is_pushed and scene.is_pulled
