"""The remote: whose credentials ask, what they may do there, and whether all that is needed is there."""

from collections.abc import Iterator

from predictflow.adapters.remote import Remote
from predictflow.adapters.remote_errors import RemoteError
from predictflow.adapters.remote_transfer import probe
from predictflow.adapters.servers import STACK, STACK_REMOTE, STACK_S3, servers_in
from predictflow.doctor.check import Asked, Check, Group
from predictflow.formatting import some_of
from predictflow.lineage.project import Project
from predictflow.verification.remote_content import (
    HOLDING,
    Held,
    Needs,
    Read,
    Seen,
    commits_meant,
    look_through,
    needed,
)
from stages.tracking.registry import RegistryStage

GROUP = Group(
    "remote",
    {
        "remote-address": None,
        "remote-keys": "the-remote-says-403",
        "remote-list": "the-remote",
        "remote-absent": "the-remote",
        "remote-probe": "the-remote-says-403",
        "remote-needed": "an-object-is-gone-from-the-bucket",
        "remote-history": "an-object-is-gone-from-the-bucket",
        "remote-uploads": None,
    },
)
NAMED = 3  # objects that are told
ADD = "`dvc remote add --default NAME s3://BUCKET` (docs/remote.md)"
OF_S3 = ("remote-keys", "remote-uploads")


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    root = project.repository.require_root()
    if project.storage.remote is None:
        message = "there is no default remote: data and models are on this machine alone"
        yield GROUP.warning("remote-address", message, ADD)
        return
    remote = Remote(root)
    unasked = remote.folder is None and not asked.remote
    yield GROUP.ok("remote-address", f"{remote.url}{', which --remote asks' if unasked else ''}")
    if unasked:
        return
    left = [
        name for name in GROUP.entries if name != "remote-address" and (remote.is_s3 or name not in OF_S3)
    ]
    try:
        for check in _asked(project, remote, asked):
            left.remove(check.name)
            yield check
    except RemoteError as error:
        # What was refused is told once; what comes after it cannot be known.
        yield GROUP.problem(left.pop(0), str(error), _ended_stack(project) or error.cure)
        for name in left if asked.remote else ():
            yield GROUP.unknown(name, "not asked, for the remote refuses what comes before")


def _ended_stack(project: Project) -> str | None:
    """The cure where the remote is the one of `make stack`, whose server has ended; else None."""
    servers = servers_in(project.repository.require_root() / STACK)
    ended = any(server.name == STACK_S3 and not server.is_running for server in servers)
    return "`make stack` starts it again" if project.storage.remote == STACK_REMOTE and ended else None


def _asked(project: Project, remote: Remote, asked: Asked) -> Iterator[Check]:
    if remote.is_s3:
        whose = remote.whose()
        none = whose.startswith("No keys")
        cure = "set AWS_PROFILE, or `dvc remote modify --local NAME profile PROFILE` (docs/remote.md)"
        yield GROUP.problem("remote-keys", whose, cure) if none else GROUP.ok("remote-keys", whose)
    remote.ask()
    yield GROUP.ok("remote-list", "it answers")
    if wrong := remote.ask_for_nothing():
        raise RemoteError(wrong, "correct its address (`dvc remote list`)")
    yield GROUP.ok("remote-absent", "an object that is not there is said not to be")
    if asked.remote:
        yield _probe(remote)
    yield _needed(project, remote, asked)
    if asked.remote:
        commits = commits_meant(project, None, everything=True)
        needs = needed(project, commits)
        yield _told("remote-history", needs, _seen(project, remote, needs, asked), "branches and tags need")
    if remote.is_s3:
        yield GROUP.look("remote-uploads", lambda: _uploads(remote))


def _probe(remote: Remote) -> Check:
    done: list[str] = []
    try:
        for step, wrong in probe(remote):
            if wrong:
                cure = "ask whoever runs it: it does not keep what it has taken"
                return GROUP.problem("remote-probe", wrong, cure)
            done.append(step)
    except RemoteError as error:
        if "get" in done:  # pushing and pulling work; `dvc gc` would say that it has removed what it has not
            message = (
                f"all but removing is allowed; `dvc gc -c` would remove nothing, and not say so: {error}"
            )
            return GROUP.warning("remote-probe", message, error.cure)
        return GROUP.problem("remote-probe", str(error), error.cure)
    return GROUP.ok("remote-probe", "an object was put, found, read back and removed")


def _needed(project: Project, remote: Remote, asked: Asked) -> Check:
    """What the commit checked out and the version in Production need."""
    commits = [project.repository.head] if project.repository.head else []
    standing = project.chain(project.model).standing() if project.model else {}
    production = standing.get(RegistryStage.PRODUCTION.alias)
    commits += [production.commit] if production else []
    needs = needed(project, commits)
    seen = _seen(project, remote, needs, asked)
    return _told("remote-needed", needs, seen, "HEAD and Production need" if production else "HEAD needs")


def _seen(project: Project, remote: Remote, needs: Needs, asked: Asked) -> list[Seen]:
    return look_through(project, remote, needs, Read.ALL if asked.deep else Read.DOUBTFUL)


def _told(name: str, needs: Needs, seen: list[Seen], what: str) -> Check:
    bad = [one for one in seen if one.held not in HOLDING]
    if bad:
        named = some_of([f"{one.need.path} ({one.why})" for one in bad], NAMED)
        message = f"{len(bad)} of {len(seen)} objects that {what} are not right there: {named}"
        if name == "remote-needed":
            return GROUP.problem(name, message, "`predictflow push`, from a clone that has them")
        return GROUP.warning(name, message, "`predictflow push --all`, from a clone that has them")
    if not seen:
        return GROUP.unknown(name, f"nothing that {what} is kept by DVC, so nothing was looked for")
    unproven = sum(one.held is Held.UNPROVEN for one in seen)
    how = f", {unproven} of them by their sizes alone (--deep reads them)" if unproven else ""
    return GROUP.ok(name, f"all {len(seen)} objects that {what} are there{how}")


def _uploads(remote: Remote) -> Check:
    if count := remote.unfinished_uploads():
        message = f"uploads in parts that were begun and never ended, and are paid for: {count}"
        return GROUP.warning(
            "remote-uploads", message, "a lifecycle rule (docs/remote.md#a-bucket-of-ones-own)"
        )
    return GROUP.ok("remote-uploads", "no upload was left unfinished")
