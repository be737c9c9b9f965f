"""Git: who commits here, how much of the history is here, and whether files are the bytes that it holds."""

import re
from collections.abc import Iterator
from pathlib import Path

from predictflow.adapters.dvc_files import DVC_LOCK, parse_lock
from predictflow.adapters.dvc_files import POINTERS as OF_CUSTOMERS
from predictflow.adapters.git import Repository
from predictflow.doctor.check import Asked, Check, Group
from predictflow.formatting import SHORT, some_of
from predictflow.lineage.project import Project
from stages.support.git import INPUTS

GROUP = Group(
    "git",
    {
        "identity": None,
        "history": None,
        "branch": "a-head-on-no-branch",
        "origin": None,
        "line-ends": None,
        "pointers": "a-pointer-where-data-should-be",
    },
)
NAMED = 3  # files that are told
POINTER_SIZE = 1024  # bytes: Git LFS promises that a pointer is smaller
POINTERS = {b"version https://git-lfs": "Git LFS", b"outs:\n- md5: ": "DVC"}  # by what one begins with
CHANGED_ENDS = ("w/crlf", "w/mixed")  # in `git ls-files --eol`
KEEPS_ENDS = re.compile(r"eol=lf|-text")  # there, of a file that core.autocrlf does not reach


def checks(project: Project, asked: Asked) -> Iterator[Check]:
    repository = project.repository
    yield GROUP.look("identity", lambda: _identity(repository))
    yield _history(repository)
    yield GROUP.look("branch", lambda: _branch(repository))
    yield GROUP.look("origin", lambda: _origin(repository))
    root = repository.require_root()
    yield GROUP.look("line-ends", lambda: _line_ends(repository))
    yield GROUP.look("pointers", lambda: _pointers(root))


def _identity(repository: Repository) -> Check:
    asked = repository.git("var", "GIT_COMMITTER_IDENT")
    if asked.returncode:
        cure = '`git config user.name "…" && git config user.email "…"`'
        return GROUP.warning("identity", "Git knows no name and address for you: no commit, no receipt", cure)
    name = asked.stdout.decode(errors="replace").rpartition(">")[0]
    return GROUP.ok("identity", f"commits and receipts are by {name}>")


def _history(repository: Repository) -> Check:
    if repository.shallow:
        message = "this clone is shallow: lineage and receipts before its first commit cannot be seen"
        return GROUP.problem("history", message, "`git fetch --unshallow`")
    return GROUP.ok("history", "all commits are here")


def _branch(repository: Repository) -> Check:
    branch = repository.git("symbolic-ref", "--short", "--quiet", "HEAD").stdout.decode().strip()
    if branch:
        return GROUP.ok("branch", f"on {branch}")
    message = (
        f"{(repository.head or 'no commit')[:SHORT]} is checked out, and no branch: new commits are on none"
    )
    return GROUP.warning(
        "branch", message, "`git switch main`, or `git switch --create NAME` to go on from here"
    )


def _origin(repository: Repository) -> Check:
    if "origin" in repository.read("remote").split():
        return GROUP.ok("origin", "there is one, for commits and receipts")
    message = "there is none: commits and receipts stay on this machine"
    return GROUP.warning("origin", message, "`git remote add origin ADDRESS`")


def _line_ends(repository: Repository) -> Check:
    """Of what decides a model's bytes: DVC hashes files as they lie on the disk."""
    changed, reached = [], []
    for line in repository.read("ls-files", "--eol", "--", *INPUTS).splitlines():
        about, _, path = line.partition("\t")
        index, tree = about.split()[:2]
        if tree in CHANGED_ENDS and index != tree.replace("w/", "i/"):
            changed.append(path)
        if not KEEPS_ENDS.search(about):
            reached.append(path)
    if changed:
        message = f"with other line ends than Git holds, and so another md5: {some_of(changed, NAMED)}"
        cure = "`git config core.autocrlf false`, and for each of them `rm FILE && git checkout -- FILE`"
        return GROUP.problem("line-ends", message, cure)
    setting = repository.git("config", "core.autocrlf").stdout.decode().strip() or "false"
    if setting != "false" and reached:
        message = (
            f"core.autocrlf is {setting}, and .gitattributes does not keep it from {some_of(reached, NAMED)}"
        )
        return GROUP.warning("line-ends", message, "`git config core.autocrlf false`")
    return GROUP.ok("line-ends", "code, params and data have the bytes that Git holds")


def _pointers(root: Path) -> Check:
    """Files that only name what should lie in their place."""
    lock = root / DVC_LOCK
    paths = {*OF_CUSTOMERS, *(parse_lock(lock.read_bytes()).md5s if lock.is_file() else ())}
    files = [file for path in sorted(paths) for file in (root / path, *sorted((root / path).glob("**/*")))]
    found = [(str(file.relative_to(root)), whose) for file in files if (whose := pointer_of(file))]
    if not found:
        return GROUP.ok("pointers", "no file is a mere pointer to its data")
    names = some_of([f"{path} ({whose})" for path, whose in found], NAMED)
    path = found[0][0]
    message = f"a pointer lies where data should be: {names}"
    return GROUP.problem("pointers", message, f"`rm {path} && dvc checkout {path}`")


def pointer_of(path: Path) -> str | None:
    """Whose pointer a file is, Git LFS's or DVC's; None for any other, and where no file is."""
    if not path.is_file() or path.stat().st_size >= POINTER_SIZE:
        return None
    text = path.read_bytes()
    return next((whose for beginning, whose in POINTERS.items() if text.startswith(beginning)), None)
