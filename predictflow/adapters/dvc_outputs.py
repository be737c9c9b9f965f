"""What DVC keeps of a commit: each output with its md5, as DVC reads dvc.yaml, dvc.lock and .dvc files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictflow.errors import CouldNotTell


@dataclass(frozen=True)
class Output:
    """A file or a folder (`….dir`) that DVC keeps.

    Attributes:
        path: in the project, as dvc.lock writes it.
        size: bytes; of a folder, of all its files; None where it is not told.
        elsewhere: why it is not looked for on the default remote, where that is so.
    """

    path: str
    md5: str
    size: int | None
    elsewhere: str | None = None


def read_outputs(root: Path, commits: Iterable[str] | None) -> Iterator[Output]:
    """What some commits, or the working tree (None), keep with DVC.

    Raises CouldNotTell where DVC cannot read its files there.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    repo = Repo(str(root))
    default = repo.config["core"].get("remote")
    revisions = {} if commits is None else {"revs": list(commits), "workspace": False, "sha_only": True}
    if commits is not None and not revisions["revs"]:
        return
    revision = ""
    try:
        for revision in repo.brancher(**revisions):  # noqa: B007 (the error tells it)
            for out in repo.index.outs:
                if out.use_cache:
                    yield _output(out, default)
    except DvcException as error:
        where = f"of commit {revision[:10]}" if revision else "here"
        raise CouldNotTell(
            f"DVC cannot read its files {where}, so nobody knows what they need: {error}\n"
            "Cure: correct what it says (`git status` shows a conflict); an old commit goes with its branch."
        ) from error


def _output(out: Any, default: str | None) -> Output:
    path = out.fs.relpath(out.fs_path, out.repo.root_dir).replace("\\", "/")
    elsewhere = None
    if out.stage.is_repo_import:
        elsewhere = "it was imported from another project (`dvc update` brings it)"
    elif not out.can_push:
        elsewhere = "dvc.yaml says `push: false` of it"
    elif out.remote and out.remote != default:
        elsewhere = f"its remote is {out.remote}"
    elif not out.hash_info:
        elsewhere = "no md5 of it is recorded (`dvc repro` makes it)"
    elif out.hash_info.name != "md5":
        elsewhere = "it was added by DVC 2, in another format"
    return Output(path, out.hash_info.value or "", out.meta.size, elsewhere)
