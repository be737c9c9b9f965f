"""Does the remote hold what commits need: each object there, of its size, of its bytes?"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from predictflow.adapters.dvc_files import DVC_LOCK, DVC_YAML, LIST, parse_list
from predictflow.adapters.dvc_outputs import read_outputs
from predictflow.adapters.dvc_storage import right_file
from predictflow.adapters.remote import MD5_ETAG, Remote, RemoteObject
from predictflow.errors import CouldNotTell
from predictflow.lineage.handles import resolve
from predictflow.lineage.project import Project

Tell = Callable[[str], None]


class Held(StrEnum):
    """How a remote holds an object."""

    RIGHT = "right"
    UNPROVEN = "unproven"  # of the right size, as far as that is known; what it tells is no checksum
    MISSING = "missing"
    WRONG = "wrong"


HOLDING = (Held.RIGHT, Held.UNPROVEN)


class Read(StrEnum):
    """Which objects are read to the end."""

    DOUBTFUL = "doubtful"  # those whose ETag speaks against them
    UNPROVEN = "unproven"  # also those of which nothing speaks
    ALL = "all"


@dataclass(frozen=True)
class Need:
    """An object that something needs.

    Attributes:
        path: a place of it in the project.
        size: bytes; None where Git does not know it: of a folder's list, and of the files in a folder.
    """

    md5: str
    path: str
    size: int | None = None

    @property
    def is_list(self) -> bool:
        return self.md5.endswith(LIST)


@dataclass(frozen=True)
class Seen:
    """What is the matter with an object on the remote; `why` is empty where it is right."""

    need: Need
    held: Held
    why: str = ""


@dataclass
class Needs:
    """What is needed.

    Attributes:
        objects: by md5.
        paths: the md5 of each path; of several commits, those of the first that has it.
        inside: the files of each folder whose list was read.
        elsewhere: what is not on the default remote, each with the reason.
    """

    objects: dict[str, Need] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)

    def take(self, need: Need) -> None:
        self.objects.setdefault(need.md5, need)
        self.paths.setdefault(need.path, need.md5)

    def add(self, other: "Needs") -> None:
        """Take over what is needed elsewhere, too; folders not yet opened."""
        for need in other.objects.values():
            self.take(need)
        self.elsewhere = list(dict.fromkeys(self.elsewhere + other.elsewhere))

    @property
    def lists(self) -> list[Need]:
        return [need for need in self.objects.values() if need.is_list]


def commits_meant(project: Project, handle: str | None, everything: bool) -> list[str] | None:
    """The commits that are meant: that of a handle, or all that branches and tags name; None for the working
    tree. Raises what `resolve` raises, and CouldNotTell for a model that no commit holds."""
    if everything:
        kinds = ("branch", "tag")
        return sorted({ref.commit for ref in project.repository.refs if ref.kind in kinds})
    if handle is None:
        return None
    if commit := project.repository.commit(handle):
        return [commit]
    target = resolve(project, handle)
    first = project.history.first_with_model.get(target.model or "")
    if first is None:
        raise CouldNotTell(
            f"no commit holds {handle}, so nobody knows what it needs.\nCure: `git add --all && git commit`."
        )
    return [first.sha]


def needed(project: Project, commits: list[str] | None) -> Needs:
    """What some commits, or the working tree (None), need of the default remote; folders not yet opened."""
    needs = Needs()
    distinct = None if commits is None else _distinct(project, commits)
    try:
        outputs = list(read_outputs(project.repository.require_root(), distinct))
    except CouldNotTell:
        if commits is None:
            project.read_model()  # where params.yaml is what is wrong, this says so, with its cure
        raise
    for output in outputs:
        if output.elsewhere:
            needs.elsewhere.append(f"{output.path}: {output.elsewhere}")
        else:
            size = None if output.md5.endswith(LIST) else output.size
            needs.take(Need(output.md5, output.path, size))
    needs.elsewhere = list(dict.fromkeys(needs.elsewhere))
    return needs


def _distinct(project: Project, commits: Iterable[str]) -> list[str]:
    """One commit for each state of DVC's files: the others say the same."""
    states: dict[frozenset[str], str] = {}
    for commit in commits:
        listed = project.repository.read("ls-tree", "-r", "-z", commit).split("\0")
        names = (entry for entry in listed if entry.endswith((".dvc", DVC_LOCK, DVC_YAML)))
        states.setdefault(frozenset(names), commit)
    return list(states.values())


def open_lists(needs: Needs, read: Callable[[Need], bytes | None]) -> set[Need]:
    """Add the files of each folder whose list can be read; those that cannot: nobody knows their files."""
    closed = set()
    for need in needs.lists:
        text = read(need)
        if text is None:
            closed.add(need)
            continue
        files = parse_list(text)
        needs.inside[need.md5] = sorted(set(files.values()))
        for name, md5 in files.items():
            needs.take(Need(md5, f"{need.path}/{name}"))
    return closed


def look_through(
    project: Project, remote: Remote, needs: Needs, read: Read, tell: Tell = lambda text: None
) -> list[Seen]:
    """How the remote holds each object that is needed, the files of each folder among them.

    A list that can be read neither here nor there is wrong, whatever its ETag is: its files are not known.
    Raises RemoteError where the remote cannot be asked.
    """

    def list_of(need: Need) -> bytes | None:
        place = project.storage.place(need.md5)
        if right_file(place, need.md5):
            return place.read_bytes()
        (seen,) = examine(remote, [need], Read.ALL, tell)
        return remote.read(need.md5) if seen.held is Held.RIGHT else None

    closed = open_lists(needs, list_of)
    why = "its list of files comes from there with other bytes"
    return [
        Seen(one.need, Held.WRONG, why) if one.need in closed and one.held in HOLDING else one
        for one in examine(remote, needs.objects.values(), read, tell)
    ]


def examine(
    remote: Remote, needs: Iterable[Need], read: Read = Read.DOUBTFUL, tell: Tell = lambda text: None
) -> list[Seen]:
    """How the remote holds each object. Raises RemoteError where it cannot be asked.

    An ETag that is the md5 proves an object (S3 computes it over what it stores); one that is another is no
    proof against it (of a bucket with KMS it is no md5), so that object is read: its bytes decide.
    """
    needs = list(needs)
    tell(f"asking the remote for {len(needs)} objects")
    held = remote.look_up(need.md5 for need in needs)
    seen = {need.md5: _by_what_is_told(need, held) for need in needs}
    etags_are_md5s = True
    for at, need in enumerate(needs, 1):
        told = seen[need.md5]
        doubtful = told.held is Held.UNPROVEN and told.why != ""
        asked = {
            Read.DOUBTFUL: doubtful and etags_are_md5s,
            Read.UNPROVEN: told.held is Held.UNPROVEN,
            Read.ALL: told.held in (Held.UNPROVEN, Held.RIGHT),
        }
        if not asked[read] and not (doubtful and etags_are_md5s):
            continue
        tell(f"reading {need.path} ({at} of {len(needs)}) from the remote")
        seen[need.md5] = _by_bytes(remote, need)
        if doubtful and seen[need.md5].held is Held.RIGHT:
            etags_are_md5s = False
    return list(seen.values())


def _by_what_is_told(need: Need, held: Mapping[str, RemoteObject]) -> Seen:
    told = held.get(need.md5)
    if told is None:
        return Seen(need, Held.MISSING, "404: it is not there")
    if need.size is not None and told.size not in (None, need.size):
        return Seen(need, Held.WRONG, f"it has {told.size:,} bytes there, and not {need.size:,}")
    md5 = need.md5.removesuffix(LIST)
    if told.etag == md5:
        return Seen(need, Held.RIGHT)
    if told.etag and MD5_ETAG.fullmatch(told.etag):
        return Seen(need, Held.UNPROVEN, f"its ETag is {told.etag}")
    return Seen(need, Held.UNPROVEN)


def _by_bytes(remote: Remote, need: Need) -> Seen:
    now = remote.hash_of(need.md5)
    if now == need.md5.removesuffix(LIST):
        return Seen(need, Held.RIGHT)
    return Seen(need, Held.WRONG, f"the bytes that come from there have the md5 {now}")
