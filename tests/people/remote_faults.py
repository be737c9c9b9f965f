"""What can go wrong between a project and its remote, each case once, for the tests and for the benchmark.

A scene is a tiny project, its bucket, and who acts in it: the owner, whose cache holds all, or a clone, whose
cache is empty. A case spoils something, and says what `predictflow` must answer.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest import mock

from s3fs import S3FileSystem

from predictflow import cli
from predictflow.doctor import remote
from predictflow.doctor.check import Asked, Check
from predictflow.doctor.doctor import guarded
from predictflow.lineage.project import Project as OurProject
from tests.people import s3
from tests.people.project import Project
from tests.people.s3 import S3, Answer, Forward, Request

FILE, FOLDER = "data/raw.csv", "data/parts"
CONTENTS = {
    FILE: b"id,churn\n" + b"7,1\n" * 500,
    **{f"{FOLDER}/p{number}.csv": b"part %d\n" % number * 200 for number in range(3)},
}


def md5(text: bytes) -> str:
    return hashlib.md5(text).hexdigest()


def make_project(top: Path, hurry: bool = True) -> Project:
    """A project with a file and a folder in DVC, and nothing else."""
    project = _project(top, hurry)
    for path, text in CONTENTS.items():
        (project.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / path).write_bytes(text)
    (top / "home").mkdir()
    (project.folder / "params.yaml").write_text("tracking:\n  model: churn-predictor\n")
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.run("dvc", "init", "--quiet")
    project.run("dvc", "add", "--quiet", FILE, FOLDER)
    project.run("dvc", "remote", "add", "--quiet", "--default", "far", "s3://bucket/project")
    project.run("dvc", "remote", "modify", "--quiet", "far", "verify", "true")
    project.commit("the data")
    return project


def _project(top: Path, hurry: bool) -> Project:
    project = Project(top / "project", top / "home")
    return project.hurry() if hurry else project


@dataclass
class Scene:
    """A project before its bucket.

    Attributes:
        objects: what belongs on the remote: {md5: bytes}.
        env: what is set for each command.
    """

    server: S3
    project: Project
    bucket: str
    objects: dict[str, bytes]
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, server: S3, template: Path, folder: Path, actor: str, hurry: bool = True) -> "Scene":
        """A copy of a project that was made, for `owner` or `clone`, and a bucket of its own."""
        shutil.copytree(template, folder, symlinks=True)
        project = _project(folder, hurry)
        cache = project.folder / ".dvc/cache/files/md5"
        objects = {
            place.parent.name + place.name: place.read_bytes()
            for place in cache.rglob("*")
            if place.is_file()
        }
        scene = cls(server, project, server.bucket(), objects)
        if actor == "clone":
            shutil.rmtree(project.folder / ".dvc/cache")
            shutil.rmtree(project.folder / ".dvc/tmp")
            (project.folder / FILE).unlink()
            shutil.rmtree(project.folder / FOLDER)
        scene.configure()
        return scene

    @property
    def folder_list(self) -> str:
        return next(name for name in self.objects if name.endswith(".dir"))

    def configure(self, url: str | None = None, user: str = "owner", more: str = "") -> None:
        """Which address is asked, and as whom."""
        (self.project.folder / ".dvc/config.local").write_text(
            f"['remote \"far\"']\n    url = s3://{self.bucket}/project\n"
            f"    endpointurl = {url or self.server.url}\n    region = us-east-1\n"
            f"    connect_timeout = 5\n    read_timeout = 20\n{more}"
        )
        key, secret = self.server.keys[user]
        self.env |= {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}

    # --- the bucket, as nobody's rights hide it ---------------------------------------------------------

    def key(self, name: str) -> str:
        return f"project/files/md5/{name[:2]}/{name[2:]}"

    def put(self, name: str, text: bytes) -> None:
        self.server.client().put_object(Bucket=self.bucket, Key=self.key(name), Body=text)

    def remove(self, name: str) -> None:
        self.server.client().delete_object(Bucket=self.bucket, Key=self.key(name))

    def fill(self) -> None:
        """As after a good push."""
        for name, text in self.objects.items():
            self.put(name, text)

    def in_bucket(self) -> list[str]:
        """All that lies in the bucket."""
        return [entry["Key"] for entry in self._entries("")]

    def _entries(self, prefix: str) -> list[dict]:
        return self.server.client().list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])

    def on_remote(self) -> dict[str, bytes]:
        client = self.server.client()
        held = {}
        for entry in self._entries("project/files/"):
            name = "".join(entry["Key"].rsplit("/", 2)[1:])
            held[name] = client.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].read()
        return held

    # --- what is true afterwards -------------------------------------------------------------------------

    @property
    def is_pushed(self) -> bool:
        return self.on_remote() == self.objects

    @property
    def is_pulled(self) -> bool:
        files = {path: self.project.folder / path for path in CONTENTS}
        return all(file.is_file() and file.read_bytes() == CONTENTS[path] for path, file in files.items())

    @property
    def wrong_on_remote(self) -> list[str]:
        """The objects of the bucket that have other bytes than their names say."""
        return [name for name, text in self.on_remote().items() if md5(text) != name.removesuffix(".dir")]

    @property
    def wrong(self) -> list[str]:
        """The files of the working tree, and the objects of the cache, with other bytes than meant."""
        folder = self.project.folder
        files = [folder / path for path in CONTENTS]
        others = [
            file for file in files if file.is_file() and file.read_bytes() != CONTENTS[_name(folder, file)]
        ]
        cache = [place for place in (folder / ".dvc/cache/files/md5").rglob("*") if place.is_file()]
        for place in cache:
            if md5(place.read_bytes()) != (place.parent.name + place.name).removesuffix(".dir"):
                others.append(place)
        return [_name(folder, other) for other in others]


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


# --- The cases -------------------------------------------------------------------------------------------

Arrange = Callable[[Scene, ExitStack], None]


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong.

    Attributes:
        name: in words, for the table.
        actor: `owner`, who pushes, or `clone`, which pulls.
        code: that the command must end with.
        told: what it must say (a regular expression).
        heals: whether all is right afterwards, since it was put right.
        unseen: whether `predictflow doctor` has nothing to find, for it passes by, or harms nobody.
    """

    name: str
    actor: str
    arrange: Arrange
    code: int
    told: str
    heals: bool = False
    unseen: bool = False


def as_user(user: str, scene: Scene, stack: ExitStack) -> None:
    scene.configure(user=user)


def filled(arrange: Arrange) -> Arrange:
    def after_a_good_push(scene: Scene, stack: ExitStack) -> None:
        scene.fill()
        arrange(scene, stack)

    return after_a_good_push


def behind(fault: s3.Fault, more: str = "") -> Arrange:
    """A proxy that fails."""

    def arrange(scene: Scene, stack: ExitStack) -> None:
        scene.configure(stack.enter_context(s3.proxy(scene.server, fault)), more=more)

    return arrange


def wrong_secret(scene: Scene, stack: ExitStack) -> None:
    scene.env["AWS_SECRET_ACCESS_KEY"] = "x" * 40


def unknown_key(scene: Scene, stack: ExitStack) -> None:
    scene.env["AWS_ACCESS_KEY_ID"] = "AKIAIOSFODNN7EXAMPLE"


def no_credentials(scene: Scene, stack: ExitStack) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del scene.env[name]


def no_bucket(scene: Scene, stack: ExitStack) -> None:
    local = scene.project.folder / ".dvc/config.local"
    local.write_text(local.read_text().replace(scene.bucket, "never-made"))


def nobody_there(scene: Scene, stack: ExitStack) -> None:
    scene.configure(stack.enter_context(s3.refusing_address()))
    scene.env["AWS_MAX_ATTEMPTS"] = "1"


def silent(scene: Scene, stack: ExitStack) -> None:
    scene.configure(stack.enter_context(s3.silent_server()))
    local = scene.project.folder / ".dvc/config.local"
    local.write_text(local.read_text().replace("read_timeout = 20", "read_timeout = 1"))
    scene.env["AWS_MAX_ATTEMPTS"] = "1"


def refusing(status: int, code: str) -> s3.Fault:
    return lambda request, forward: s3.error(status, code, request.method)


def busy(request: Request, forward: Forward) -> Answer:
    return s3.error(503, "SlowDown", request.method)


def busy_at_first(request: Request, forward: Forward) -> Answer:
    return busy(request, forward) if request.count == 0 else forward()


def expiring(request: Request, forward: Forward) -> Answer:
    """The token expires after two objects."""
    if request.method == "PUT" and request.count < 2:
        return forward()
    return s3.error(400, "ExpiredToken", request.method) if request.method == "PUT" else forward()


def a_page(status: int) -> s3.Fault:
    return lambda request, forward: s3.page(status, request)


def a_page_for_objects(request: Request, forward: Forward) -> Answer:
    """A proxy that sends its page in place of each file."""
    return s3.page(200, request) if reads_a_file(request) else forward()


def reads_a_file(request: Request) -> bool:
    return request.method == "GET" and request.object != "" and not request.object.endswith(".dir")


def forgetful(request: Request, forward: Forward) -> Answer:
    if request.method != "PUT":
        return forward()
    return Answer(200, {"ETag": f'"{md5(request.body)}"'}, b"")


def without_checksums(answer: Answer) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if "checksum" not in name.lower() and name.lower() != "content-length"
    }


def shortening(request: Request, forward: Forward) -> Answer:
    """Half of each file, with a length that agrees."""
    answer = forward()
    if not reads_a_file(request):
        return answer
    return Answer(answer.status, without_checksums(answer), answer.body[: len(answer.body) // 2])


def cutting(request: Request, forward: Forward) -> Answer:
    """The connection ends in the middle of each object."""
    answer = forward()
    if request.method != "GET" or not request.object:
        return answer
    headers = without_checksums(answer) | {"Content-Length": str(len(answer.body))}
    return Answer(answer.status, headers, answer.body[: len(answer.body) // 2])


def cutting_once(request: Request, forward: Forward) -> Answer:
    return cutting(request, forward) if request.count < 3 else forward()


def other_etags(request: Request, forward: Forward) -> Answer:
    """A store that lists ETags which are no md5s, as with KMS."""
    answer = forward()
    body = re.sub(rb"(?<=<ETag>)[^<]*", lambda found: another(found[0].decode()).encode(), answer.body)
    headers = dict(answer.headers)
    if body != answer.body:
        del headers["Content-Length"]
    return Answer(answer.status, headers, body)


def another(etag: str) -> str:
    return md5(etag.replace("&quot;", "").strip('"').encode())


def lacking(choose: Callable[[Scene], str], scene: Scene, stack: ExitStack) -> None:
    scene.remove(choose(scene))


def spoiled(
    choose: Callable[[Scene], str], spoil: Callable[[bytes], bytes], scene: Scene, _: ExitStack
) -> None:
    name = choose(scene)
    scene.put(name, spoil(scene.objects[name]))


def the_file(scene: Scene) -> str:
    return md5(CONTENTS[FILE])


def a_child(scene: Scene) -> str:
    return md5(CONTENTS[f"{FOLDER}/p1.csv"])


def the_list(scene: Scene) -> str:
    return scene.folder_list


def flipped(text: bytes) -> bytes:
    return text[:9] + bytes([text[9] ^ 1]) + text[10:]


def shorter(text: bytes) -> bytes:
    return text[: len(text) // 2]


def another_list(text: bytes) -> bytes:
    return json.dumps(json.loads(text)[:1]).encode()


def lost_everywhere(scene: Scene, stack: ExitStack) -> None:
    scene.remove(the_file(scene))
    place = the_file(scene)
    (scene.project.folder / ".dvc/cache/files/md5" / place[:2] / place[2:]).unlink()


def rotten_cache(scene: Scene, stack: ExitStack) -> None:
    """An object of the cache has other bytes, and DVC, which has set it read-only, believes it."""
    rot(scene.project, the_file(scene))


def rot(project: Project, name: str) -> None:
    place = project.folder / ".dvc/cache/files/md5" / name[:2] / name[2:]
    text = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(flipped(text))
    place.chmod(0o444)


def full_cache_and_bad_keys(scene: Scene, stack: ExitStack) -> None:
    """All is here; only the working tree lacks it."""
    for name, text in scene.objects.items():
        place = scene.project.folder / ".dvc/cache/files/md5" / name[:2] / name[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text)
        place.chmod(0o444)
    wrong_secret(scene, stack)


LIST = "s3:ListBucket is missing"
CASES = [
    Case(
        "a wrong secret key", "owner", wrong_secret, 2, r"403 SignatureDoesNotMatch.*secret key.*AWS_ACCESS"
    ),
    Case("an unknown access key", "owner", unknown_key, 2, r"403 InvalidAccessKeyId.*…MPLE"),
    Case("a user with no rights", "owner", partial(as_user, "nobody"), 2, rf"403 AccessDenied.*{LIST}"),
    Case(
        "the clock is off",
        "owner",
        behind(refusing(403, "RequestTimeTooSkewed")),
        2,
        r"403 RequestTimeTooSkewed.*clock",
    ),
    Case("no credentials", "owner", no_credentials, 2, r"no credentials for s3://"),
    Case("may only list", "clone", filled(partial(as_user, "lister")), 2, r"403.*s3:GetObject is missing"),
    Case(
        "may list and read, not write",
        "owner",
        partial(as_user, "reader"),
        1,
        r"403 AccessDenied.*s3:PutObject is missing",
    ),
    Case(
        "may list and write, not read",
        "clone",
        filled(partial(as_user, "writer")),
        2,
        r"403.*s3:GetObject is missing",
    ),
    Case(
        "may read and write, not list",
        "owner",
        partial(as_user, "unlisting"),
        2,
        rf"403 AccessDenied.*{LIST}",
    ),
    Case("no such bucket", "owner", no_bucket, 2, r"404 NoSuchBucket.*never-made"),
    Case("nothing listens there", "owner", nobody_there, 2, r"nothing answers"),
    Case("the server takes the call and is silent", "owner", silent, 2, r"no answer in time"),
    Case("503 SlowDown to everything", "owner", behind(busy), 2, r"503 SlowDown.*busy"),
    Case("503 SlowDown at first", "owner", behind(busy_at_first), 0, r"5 of 5 objects", heals=True),
    Case("an expired token", "owner", behind(refusing(400, "ExpiredToken")), 2, r"400 ExpiredToken.*expired"),
    Case("the token expires in the middle", "owner", behind(expiring), 1, r"400 ExpiredToken.*expired"),
    Case(
        "another region",
        "owner",
        behind(refusing(400, "AuthorizationHeaderMalformed")),
        2,
        r"400.*another region",
    ),
    Case("404 and a web page to everything", "clone", behind(a_page(404)), 2, r"no S3 server"),
    Case("200 and a web page to everything", "clone", behind(a_page(200)), 2, r"no S3 server"),
    Case(
        "200 and a web page for each file",
        "clone",
        filled(behind(a_page_for_objects)),
        1,
        r"other bytes came",
    ),
    Case(
        "a PUT is acknowledged, and not stored", "owner", behind(forgetful), 1, r"server took it.*not there"
    ),
    Case(
        "ETags are no md5s",
        "owner",
        filled(behind(other_etags)),
        0,
        r"objects by their sizes alone",
        heals=True,
        unseen=True,
    ),
    Case(
        "the remote lacks a file",
        "clone",
        filled(partial(lacking, the_file)),
        1,
        r"raw\.csv: 404: the remote does not have it",
    ),
    Case(
        "the remote lacks a file of a folder",
        "clone",
        filled(partial(lacking, a_child)),
        1,
        r"p1\.csv: 404: the remote does not have it",
    ),
    Case(
        "the remote lacks a file of a folder, its owner pushes",
        "owner",
        filled(partial(lacking, a_child)),
        0,
        r"pushed: data/parts/p1\.csv",
        heals=True,
    ),
    Case(
        "the remote lacks the list of a folder",
        "clone",
        filled(partial(lacking, the_list)),
        1,
        r"data/parts: 404: the remote does not have it",
    ),
    Case(
        "an object is neither here nor there",
        "owner",
        filled(lost_everywhere),
        1,
        r"raw\.csv: 404.*nor is it in DVC's cache here",
    ),
    Case(
        "a bit of an object is flipped on the remote",
        "clone",
        filled(partial(spoiled, the_file, flipped)),
        1,
        r"raw\.csv: other bytes came",
    ),
    Case(
        "an object is truncated on the remote",
        "clone",
        filled(partial(spoiled, the_file, shorter)),
        1,
        r"raw\.csv: it has 1,004 bytes there, and not 2,009",
    ),
    Case(
        "an object is empty on the remote",
        "clone",
        filled(partial(spoiled, a_child, lambda text: b"")),
        1,
        r"p1\.csv: other bytes came",
    ),
    Case(
        "a bit is flipped on the remote, its owner pushes",
        "owner",
        filled(partial(spoiled, the_file, flipped)),
        0,
        r"put right, for other bytes were there: data/raw\.csv",
        heals=True,
    ),
    Case(
        "the list of a folder is truncated on the remote",
        "clone",
        filled(partial(spoiled, the_list, shorter)),
        1,
        r"data/parts: other bytes came",
    ),
    Case(
        "the list of a folder is another one on the remote",
        "clone",
        filled(partial(spoiled, the_list, another_list)),
        1,
        r"data/parts: other bytes came",
    ),
    Case("a proxy shortens what comes", "clone", filled(behind(shortening)), 1, r"other bytes came"),
    Case("the connection is cut each time", "clone", filled(behind(cutting)), 1, r"the connection was cut"),
    Case(
        "the connection is cut three times",
        "clone",
        filled(behind(cutting_once)),
        0,
        r"5 of 5",
        heals=True,
        unseen=True,
    ),
    Case(
        "an object of one's own cache is spoiled",
        "owner",
        rotten_cache,
        1,
        r"raw\.csv: 404.*holds other bytes than that name says, which were not pushed",
    ),
    Case(
        "all is here, and the keys are wrong",
        "clone",
        filled(full_cache_and_bad_keys),
        0,
        r"5 of 5 objects are here",
        heals=True,
    ),
]


@dataclass(frozen=True)
class Later(Case):
    """What plain DVC does not say when it happens, and `predictflow` says when it is asked afterwards.

    Attributes:
        plain: the words of DVC.
        ended: the exit code of DVC.
        ours: the words of `predictflow`.
    """

    plain: tuple[str, ...] = ()
    ended: int = 0
    ours: tuple[str, ...] = ("push",)


def with_experiments_that_are_pushed(scene: Scene, stack: ExitStack) -> None:
    """By DVC itself, after each `dvc exp run`, with keys that may not write."""
    project = scene.project
    stage = "stages:\n  count:\n    cmd: wc -l < data/raw.csv > count.txt\n"
    (project.folder / "dvc.yaml").write_text(f"{stage}    deps: [data/raw.csv]\n    outs: [count.txt]\n")
    with (project.folder / ".dvc/config").open("a") as config:
        config.write("[exp]\n    auto_push = true\n    git_remote = origin\n")
    project.run("git", "init", "--quiet", "--bare", "../origin.git")
    project.run("git", "remote", "add", "origin", "../origin.git")
    project.commit("a stage")
    as_user("reader", scene, stack)


def with_an_old_object(scene: Scene, stack: ExitStack) -> None:
    """That nothing needs, and that the keys may not remove."""
    scene.put(md5(b"old"), b"old")
    as_user("undeleting", scene, stack)


LATER = [
    Later(
        "may not write, and DVC was told to be quiet",
        "owner",
        partial(as_user, "reader"),
        1,
        r"403 AccessDenied.*s3:PutObject is missing",
        plain=("push", "--quiet"),
        ended=1,
    ),
    Later(
        "may not write, and DVC is to push each experiment by itself",
        "owner",
        with_experiments_that_are_pushed,
        1,
        r"count\.txt: 403 AccessDenied.*s3:PutObject is missing",
        plain=("exp", "run"),
    ),
    Later(
        "may not remove, and DVC is to remove what nothing needs",
        "owner",
        filled(with_an_old_object),
        1,  # for the tiny project has neither lock files nor a model
        r"remote-probe warning all but removing is allowed; `dvc gc -c` would remove nothing, and not say so:"
        r".*s3:DeleteObject is missing",
        plain=("gc", "--workspace", "--cloud", "--force"),
        ours=("doctor", "--remote"),
    ),
]


def said(project: Project, env: dict[str, str], *words: str) -> tuple[int, str]:
    """The exit code of `predictflow`, and all that it says."""
    out = io.StringIO()
    with acting(project, env), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        return cli.run([*words]), out.getvalue()


def examined(project: Project, env: dict[str, str]) -> dict[str, Check]:
    """What `predictflow doctor --deep --remote` finds of the remote."""
    with acting(project, env):
        found = guarded(
            remote.GROUP, remote.checks, OurProject.enter(project.folder), Asked(deep=True, remote=True)
        )
        return {check.name: check for check in found}


@contextlib.contextmanager
def acting(project: Project, env: dict[str, str]) -> Iterator[None]:
    """In a project, as its owner, who logs in anew."""
    with (
        contextlib.chdir(project.folder),
        mock.patch.dict(os.environ, project.env | env, clear=True),
        mock.patch.object(sys, "executable", project.python),
    ):
        S3FileSystem.clear_instance_cache()
        yield
