"""What a promotion is decided from: the version as the registry, Git, MLflow's files and DVC each have it.

The code that lies in a model's folder is run to score customers, but only where every file of the folder is
what provenance.json in Git says.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from predictflow import rebuilt, receipts, store
from predictflow.history import Model
from predictflow.index import Lock
from predictflow.project import Project
from predictflow.promotion import Comparison, Evidence, Settings
from predictflow.store import MD5, Run, Unreachable, Version, masked
from stages import customer_index, hashes, tracking
from stages.provenance import FOLDER, PROVENANCE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TEST = "data/prepared/test.parquet"
OF_DATA = "data/"
# What MLflow and Python put beside the files of a model that they load.
BESIDE = {"registered_model_meta"}
COMPILED = "__pycache__"


@dataclass(frozen=True)
class Doubt:
    """A place that does not say of a model what the others say.

    Attributes:
        kind: content (the version carries none), run (its run made another), commit (no branch or tag has
            it), git (what was committed), tags (its md5s in the registry), cache (other bytes there), not
            here (none in the cache), files (MLflow's), tree (the working tree's).
        told: a sentence, for people.
        path: the file or folder that is not what it should be; None where it is none.
        md5: what a file should be; None for one that should not be there, and for a folder.
    """

    kind: str
    told: str
    path: Path | None = None
    md5: str | None = None


@dataclass(frozen=True)
class Logged:
    """Where MLflow keeps the files of a run; what a version's own attributes of these names say of it."""

    name: str
    run_id: str
    source: str

    @classmethod
    def of(cls, run: Run) -> "Logged":
        return cls(f"run {run.id}", run.id, f"{run.artifacts.rstrip('/')}/model")


def gather(project: Project, version: Version, stage: str, settings: Settings) -> Evidence:
    """The evidence on a version that is to take a stage.

    Args:
        stage: production or staging. The champion is who is in Production, whichever is asked for: what
            register has put in Staging was not promoted by anybody.

    MLflow's files are looked into where they lie, or downloaded from there; where neither can be done,
    `project.unseen` says so.
    """
    model = _recorded(project, version)
    commit = _commit(project, version)
    disagreements = [doubt.told for doubt in doubts(project, version)]
    missing, remote_unseen = None, None
    if settings.remote and model:
        try:
            missing = _not_on_remote(project, model)
        except Unreachable as error:
            remote_unseen = str(error)
    elif settings.remote:
        remote_unseen = "what it was made from is not in Git"
    return Evidence(
        version.name,
        stage,
        version.content,
        commit,
        len(model.files) if model else 0,
        disagreements,
        model.metrics if model else {},
        missing,
        remote_unseen,
        _comparison(project, version, settings, bool(disagreements)),
        _rebuilt(project, version),
    )


def _rebuilt(project: Project, version: Version) -> tuple[str, float] | None:
    """The verdict of a version's last rebuild, and how many days ago; None where nobody has rebuilt it."""
    told = rebuilt.newest(project.repository, version)
    return told and (told[0], (time.time() - told[1]) / 86_400)


def doubts(project: Project, version: Version) -> list[Doubt]:
    """Where registry, Git, MLflow's files and DVC's cache do not say the same of a version."""
    return list(_disagreements(project, version, _recorded(project, version), _commit(project, version)))


def of_run(project: Project, run: Run) -> list[Doubt]:
    """Where MLflow's files of a run are not those of the model that it says it made."""
    return list(_in_mlflow(project, Logged.of(run), known(project, run.content or "")))


def in_tree(project: Project, version: Version) -> list[Doubt]:
    """Where the working tree's files are not the version that its dvc.lock holds; nothing for another one."""
    history, root = project.history, project.repository.root
    model = _recorded(project, version)
    held = history.worktree and history.locks[history.worktree].content
    if root is None or model is None or held != version.content:
        return []
    wanted = {PROVENANCE: version.content}
    if (root / FOLDER).is_dir():  # before `dvc checkout` it is not there
        wanted |= {FOLDER / name: md5 for name, md5 in model.files.items()}
        others = [path.relative_to(root) for path in _others(root / FOLDER, model)]
        wanted |= dict.fromkeys(others)
    found = []
    for path, md5 in wanted.items():
        now = hashes.md5(root / path) if (root / path).is_file() else None
        if now != md5:
            what = f"{path} of the working tree"
            found.append(
                Doubt("tree", _differ(what, md5, "its dvc.lock", now, "its own bytes"), root / path, md5)
            )
    return found


def _recorded(project: Project, version: Version) -> Model | None:
    """A version as Git has recorded it; None where its provenance.json was never committed."""
    return _of_git(project, version.content or "")


def _of_git(project: Project, content: str) -> Model | None:
    if content not in project.history.contents:
        return None
    model = project.history.model(content)
    return model if model.params else None


def known(project: Project, content: str) -> Model:
    """A model as Git has recorded it, or as the tags of its runs and versions tell it."""
    model = _of_git(project, content)
    if model is None:
        model = Model(content, Lock({}, {}, []), None, project.md5s.get(content, {}), {}, {}, {})
    return model


def _commit(project: Project, version: Version) -> str | None:
    """The first commit that holds a version's content, if a branch or a tag has it."""
    first = project.history.first_with_model.get(version.content or "")
    kinds = ("refs/heads", "refs/remotes", "refs/tags")
    if first and project.repository.read("for-each-ref", "--count=1", f"--contains={first.sha}", *kinds):
        return first.sha
    return None


def _disagreements(
    project: Project, version: Version, model: Model | None, commit: str | None
) -> Iterator[Doubt]:
    """Where the content of a version is not the same everywhere."""
    if version.content is None:
        yield Doubt(
            "content",
            f"{version.name} carries no content, so nothing says what it is: it was registered by other means"
            " (`dvc repro` registers the model of a commit)",
        )
        return
    for run in project.all_runs:
        if run.id == version.run_id and run.content != version.content:
            yield Doubt(
                "run",
                f"{version.name} is content {version.content} by its own tag, but its run {run.id} made"
                f" {run.content or 'no model'}",
            )
    if commit is None:
        yield Doubt("commit", _not_committed(project, version))
    else:
        yield from _in_git(project, version, commit)
    if model is None:  # then MLflow's files are held to its own tags, which is all there is
        yield from _in_mlflow(project, version, known(project, version.content))
        return
    for path, md5 in model.md5s.items():
        if model.lock.md5s.get(path, md5) != md5:
            yield Doubt("git", _differ(path, md5, PROVENANCE, model.lock.md5s[path], "dvc.lock"))
    tags = {tag.removeprefix(MD5): md5 for tag, md5 in version.tags.items() if tag.startswith(MD5)}
    for path in sorted(model.md5s.keys() | tags.keys()):
        if model.md5s.get(path) != tags.get(path):
            told = _differ(
                path, model.md5s.get(path), PROVENANCE, tags.get(path), f"the tags of {version.name}"
            )
            yield Doubt("tags", told, Path(path), model.md5s.get(path))
    yield from _in_cache(project, model)
    yield from _in_mlflow(project, version, model)


def _differ(path: Any, md5: str | None, by: Any, other: str | None, at: str) -> str:
    return f"{path} has {_named(md5)} by {by}, but {_named(other)} by {at}"


def _named(md5: str | None) -> str:
    return f"the md5 {md5}" if md5 else "no md5"


def _not_committed(project: Project, version: Version) -> str:
    history = project.history
    what = f"no branch and no tag has a dvc.lock with the content {version.content}"
    first = history.first_with_model.get(version.content)
    experiments = [ref.name for ref in history.refs_with.get(version.content, []) if ref.kind == "experiment"]
    if experiments:
        return f"{what}, only the experiment {experiments[0]} (`dvc exp branch {experiments[0]} BRANCH`)"
    if first:
        return f"{what}, only commit {first.sha[:10]} (`git branch BRANCH {first.sha[:10]}`)"
    if history.worktree and history.locks[history.worktree].content == version.content:
        return f"{what}, only the working tree (`git add --all && git commit`)"
    return f"{what} (make it again with the params of its run, and commit dvc.lock)"


def _in_git(project: Project, version: Version, commit: str) -> Iterator[Doubt]:
    """provenance.json, of which the content is the md5, in the commit itself."""
    for told in committed(project, [(commit, version.content or "")]).values():
        yield Doubt("git", told)


def committed(project: Project, held: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """{(commit, content): how that commit's provenance.json is another}, for those where it is."""
    ids = project.repository.ids([f"{commit}:{PROVENANCE}" for commit, _ in held])
    texts = dict(project.repository.blobs([blob for blob in ids if blob]))
    found = {}
    for (commit, content), blob in zip(held, ids, strict=True):
        where = f"commit {commit[:10]}"
        md5 = hashlib.md5(texts[blob]).hexdigest() if blob else None
        if md5 is None:
            found[commit, content] = f"{PROVENANCE} (md5 {content} by dvc.lock) is not in {where}"
        elif md5 != content:
            by = f"dvc.lock of {where}"
            found[commit, content] = _differ(PROVENANCE, content, by, md5, "its own bytes there")
    return found


def _held(project: Project, path: str, md5: str) -> Path:
    """Where DVC's cache holds exactly these bytes. Raises Unreachable where it does not."""
    doubt = _cached(project, path, md5)
    if doubt:
        raise Unreachable(doubt.told)
    return project.storage.place(md5)


def _cached(project: Project, path: str, md5: str) -> Doubt | None:
    """What is wrong with a file, or a folder's list, in DVC's cache. Raises Unreachable without a cache."""
    found = project.storage.place(md5)
    tracked = FOLDER.as_posix() if path.startswith(FOLDER.as_posix()) else path
    fetch = f"`dvc fetch --all-commits {tracked}`"
    if not found.is_file():
        return Doubt("not here", f"{path} (md5 {md5}) is not in DVC's cache ({fetch} brings it)", found, md5)
    now = hashes.md5(found)
    if now != md5.removesuffix(".dir"):
        told = f"{path} has the md5 {now} in DVC's cache, not {md5} (`rm {found}`, then {fetch})"
        return Doubt("cache", told, found, md5)
    return None


def _in_cache(project: Project, model: Model) -> Iterator[Doubt]:
    """The model's files as DVC would bring them: the list of the folder, and each file."""
    folder, files = FOLDER.as_posix(), model.files
    wanted = {f"{folder}/{name}": md5 for name, md5 in files.items()}
    if folder in model.lock.md5s:
        wanted = {folder: model.lock.md5s[folder]} | wanted
    else:
        yield Doubt("git", f"{folder} is not named by dvc.lock")
    for path, md5 in wanted.items():
        try:
            doubt = _cached(project, path, md5)
        except Unreachable as error:
            yield Doubt("not here", str(error))
            return
        if doubt:
            yield doubt
        elif path == folder:
            listed = json.loads(project.storage.place(md5).read_bytes())
            held = {entry["relpath"]: entry["md5"] for entry in listed}
            for name in sorted(held.keys() | files.keys()):
                if held.get(name) != files.get(name):
                    told = (
                        f"{folder}/{name}",
                        files.get(name),
                        PROVENANCE,
                        held.get(name),
                        "dvc.lock's folder",
                    )
                    yield Doubt("git", _differ(*told))


def _in_mlflow(project: Project, version: Version | Logged, model: Model) -> Iterator[Doubt]:
    """The model's files as MLflow would serve them."""
    address = urlsplit(version.source)
    unseen = f"MLflow's own files of {version.name}"
    if address.scheme not in ("", "file"):
        with tempfile.TemporaryDirectory() as folder:
            try:
                there = store.download(version.source, Path(folder))
            except Unreachable as error:
                project.unseen.append(f"{unseen}: {error}")
                return
            yield from _in_folder(there, masked(version.source), model)
        return
    path, folders = _path(version), in_store(version)
    if not folders and not tracking.uri().startswith(tracking.SQLITE):
        project.unseen.append(f"{unseen}: {path} is a folder of the server's, or of who registered it")
    elif not folders:
        above = path.parent if path.parent.is_dir() else _moved(path.parent, version)
        told = f"MLflow's files of {version.name} are not there: {path}"
        yield Doubt("files", told, above and above / path.name)
    for folder in folders:
        yield from _in_folder(folder, str(folder), model)


def _in_folder(folder: Path, named: str, model: Model) -> Iterator[Doubt]:
    """How the files of a folder are not the model's.

    Args:
        named: what a person is told instead, of files that were brought here to be looked at.
    """
    here = named == str(folder)
    for name, md5 in model.files.items():
        path = folder / name
        if not path.is_file():
            told = f"{named}/{name} (md5 {md5} by {PROVENANCE}) is not there"
            yield Doubt("files", told, path if here else None, md5)
        elif (now := hashes.md5(path)) != md5:
            told = _differ(f"{named}/{name}", md5, PROVENANCE, now, "its own bytes")
            yield Doubt("files", told, path if here else None, md5)
    for path in _others(folder, model):
        what = f"{named}/{path.relative_to(folder)}"
        told = _differ(what, None, PROVENANCE, hashes.md5(path), "its own bytes")
        yield Doubt("files", told, path if here else None)


def in_store(version: Version | Logged) -> list[Path]:
    """The folders on this machine in which MLflow has the files of a model."""
    if urlsplit(version.source).scheme not in ("", "file"):
        return []
    path = _path(version)
    return [folder for folder in dict.fromkeys([path, _moved(path, version)]) if folder and folder.is_dir()]


def _path(version: Version | Logged) -> Path:
    """Where the database says that MLflow has them."""
    address = urlsplit(version.source)
    return Path(unquote(address.path) if address.scheme else version.source)


def _others(folder: Path, model: Model) -> list[Path]:
    """Files in a model's folder that are none of the model's."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and COMPILED not in path.parts
        and str(path.relative_to(folder)) not in BESIDE | model.files.keys()
    ]


def _moved(path: Path, version: Version | Logged) -> Path | None:
    """Where the files of a version lie after its store was moved: the same path under the store's folder.

    MLflow's database names them by the place where the store lay when the run was made.
    """
    uri = tracking.uri()
    if version.run_id not in path.parts or not uri.startswith(tracking.SQLITE):
        return None
    folder = Path(uri.removeprefix(tracking.SQLITE)).parent
    ends = range(1, path.parts.index(version.run_id) + 1)
    return next((there for at in ends if (there := folder.joinpath(*path.parts[at:])).is_dir()), None)


def _not_on_remote(project: Project, model: Model) -> list[str]:
    """The paths of data and model that the default remote lacks. Raises Unreachable."""
    folder = FOLDER.as_posix()
    wanted = {path: md5 for path, md5 in model.md5s.items() if path.startswith((OF_DATA, folder))}
    if folder in model.lock.md5s:
        wanted[folder] = model.lock.md5s[folder]
    there = project.storage.on_remote(wanted.values(), True)
    return sorted(path for path, md5 in wanted.items() if md5 not in there)


def _comparison(project: Project, version: Version, settings: Settings, doubtful: bool) -> Comparison | None:
    """Champion against challenger, as far as they can be compared; None where there is no champion."""
    chain = project.chain(version.model)
    receipt = receipts.standing(chain.receipts).get("production")
    inside = [one for one in project.versions if one.model == version.model and one.stage == "Production"]
    names = " and ".join(one.name for one in inside) or "nobody"
    if receipt and receipt.body["content"] == version.content:
        return Comparison(version.name, same=True)
    if chain.receipts and [one.content for one in inside] != ([receipt.body["content"]] if receipt else []):
        meant = f"the receipts have version {receipt.version}" if receipt else "the receipts have nobody"
        why_not = f"MLflow has it in Production, {meant} there (`predictflow audit --fix` mends that)"
        return Comparison(names, why_not=why_not)
    if not inside:
        return None
    if len(inside) > 1:
        why_not = "Production holds one version at a time, and all of these are in it"
        return Comparison(names, why_not=why_not)
    (champion,) = inside
    if version.content is not None and champion.content == version.content:
        return Comparison(names, same=True)
    if doubtful:
        return Comparison(names, why_not=f"the content of {version.name} is in doubt, so its code is not run")
    try:
        return _compare(project, version, champion, settings)
    except Unreachable as error:
        return Comparison(names, why_not=str(error))


def _compare(project: Project, version: Version, champion: Version, settings: Settings) -> Comparison:
    """Raises Unreachable where one of them cannot score the challenger's test customers."""
    new, old = (_recorded(project, one) for one in (version, champion))
    if new is None or old is None:
        raise Unreachable(f"what {(champion if new else version).name} was made from is not in Git")
    rows = _test_customers(project, new)
    target = rows[new.params["data"]["target"]["column"]].to_numpy()
    unseen = ~_learned(project, champion, old, rows[new.params["data"]["id"]].tolist())
    rows, target = rows[unseen].reset_index(drop=True), target[unseen]
    left_out = int((~unseen).sum())
    if not 0 < target.sum() < len(target):
        raise Unreachable(
            f"{champion.name} has learned from {left_out:,} of the {len(unseen):,} test customers of"
            f" {version.name}, and among the rest there are not both who left and who stayed"
        )
    scores = [_scores(project, one, model, rows) for one, model in ((version, new), (champion, old))]

    from predictflow import challenge

    found = challenge.compare(target, *scores, settings.confidence, settings.resamples, settings.seed)
    return Comparison(
        champion.name,
        customers=len(target),
        positives=int(target.sum()),
        left_out=left_out,
        champion_roc_auc=found.champion,
        challenger_roc_auc=found.challenger,
        difference=found.difference,
        low=found.low,
        high=found.high,
    )


def _test_customers(project: Project, model: Model) -> "pd.DataFrame":
    """The customers that a model was tested on, as prepare has cleaned them."""
    import pandas as pd

    md5 = model.md5s[TEST]
    here = Path(TEST)
    if project.storage.cached(md5) is None and here.is_file() and hashes.md5(here) == md5:
        return pd.read_parquet(here)
    return pd.read_parquet(_held(project, TEST, md5))


def _learned(project: Project, champion: Version, model: Model, ids: list[str]) -> "np.ndarray":
    """Which customers the champion has learned from, bool (n,), by its own index and its own salt."""
    import numpy as np

    path = customer_index.TRAIN.as_posix()
    salt = model.params["prepare"].get("id_salt")
    if not salt or path not in model.md5s:
        raise Unreachable(f"{champion.name} was made before there was an index of whom a model learned from")
    index = _held(project, path, model.md5s[path]).read_bytes()
    size = customer_index.RECORD
    learned = {index[at : at + size] for at in range(0, len(index), size)}
    return np.array([digest in learned for digest in customer_index.digests(ids, salt)])


def _scores(project: Project, version: Version, model: Model, rows: "pd.DataFrame") -> "np.ndarray":
    """The probabilities that a version's own folder gives, float64 (n,)."""
    from predictflow import challenge

    with tempfile.TemporaryDirectory() as folder:
        for name, md5 in model.files.items():
            shutil.copyfile(_held(project, f"{FOLDER}/{name}", md5), Path(folder, name))
        try:
            return challenge.scorer(Path(folder))(rows)
        except challenge.Unscorable as error:
            raise Unreachable(f"{version.name} cannot score them: {error}") from error
