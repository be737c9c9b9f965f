"""What does not agree, as values that `audit` and `gate` share: receipts, registry, store and bytes.

Nothing is changed here. A finding that can be mended without a decision says with which steps; mend.py takes
them.
"""

import contextlib
import hashlib
import json
import re
import shlex
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from predictflow import evidence, processes, receipts
from predictflow.evidence import Doubt, Logged
from predictflow.project import Project
from predictflow.receipts import Chain, Origin, Receipt
from predictflow.show import some
from predictflow.store import MD5, Run, Unreachable, Version, masked
from predictflow.transition import NUMBER, RECEIPT, STAGES
from stages import hashes, tracking
from stages.provenance import FOLDER, PROVENANCE
from stages.tracking import CONTENT

Step = tuple[str, ...]  # the name of a function of mend.py, and what it is given

FIX = "`predictflow audit --fix`"
RESTORE = "`predictflow restore`"
FIRST_RECEIPTS = "the receipts first: they must be whole, and the same on origin"
# In the order in which they are told.
KINDS = {
    "receipt": "receipts",
    "origin": "receipts that origin and this clone do not share",
    "foreign tag": "tags that GTO and DVC believe, and that are no receipts",
    "content": "versions that say another content, or none",
    "stage": "stages",
    "alias": "aliases",
    "tag": "tags of versions",
    "version": "versions that the registry does not have",
    "run": "versions without a run",
    "model": "runs without their model",
    "running": "runs left RUNNING",
    "duplicate": "duplicates",
    "git": "what was committed",
    "cache": "files in DVC's cache",
    "files": "files in MLflow's store",
    "tree": "files of the working tree",
    "not promoted": "not promoted",
    "not committed": "not committed",
    "not here": "not on this machine",
}
# What is mended before anything else is looked at again: what receipts and contents say decides the rest.
FIRST = ("receipt", "origin"), ("content",)


@dataclass(frozen=True)
class Finding:
    """A disagreement; or a note, of what is as it may be.

    Attributes:
        kind: one of KINDS.
        about: the tag, version, run or stage.
        told: what is the matter, a sentence.
        cure: a command or what to do, for people; None where there is nothing to do.
        steps: what mends it; empty where that takes a decision.
    """

    kind: str
    about: str
    told: str
    cure: str | None
    steps: tuple[Step, ...] = ()
    note: bool = False

    @property
    def fixable(self) -> bool:
        return bool(self.steps)


def _finding(kind: str, about: str, told: str, cure: str, steps: Iterable[Step] = ()) -> Finding:
    steps = tuple(steps)
    return Finding(kind, about, told, FIX if steps else cure, steps)


def look(project: Project, model: str) -> list[Finding]:
    """All that does not agree, and the notes; what could not be looked at is in `project.unseen`."""
    chain = project.chain(model)
    found, sound = of_receipts(project, chain)
    if project.ask_store(lambda store: [store.versions()], []):
        for stage in STAGES:
            found += of_stage(project, chain, stage, sound)
        found += of_tags(project, chain, sound)
        for version in _versions(project, model):
            found += _of_version(project, chain, version)
        found += _duplicates(project, model)
        found += _of_runs(project)
    order = list(KINDS)
    return sorted(dict.fromkeys(found), key=lambda one: order.index(one.kind))


# --- Receipts -------------------------------------------------------------------------------------------


def of_receipts(project: Project, chain: Chain) -> tuple[list[Finding], bool]:
    """What is wrong with the receipts, here and on origin; and whether MLflow should follow them.

    It should not where one is in doubt, or origin may have another.
    """
    asked = project.look(lambda: [receipts.ask(project.repository, chain.model)], [])
    origin = asked[0] if asked else None
    lost = receipts.lost(project.repository, chain, origin)
    back = {name: ("bring back", name, object) for name, object in lost.items()}
    found = list(_damage(chain, back))
    if origin:
        found += _of_origin(project, chain, origin, back)
    told = {one.about for one in found} | {one.previous["tag"] for one in chain.receipts if one.previous}
    for name in sorted(back.keys() - told):
        found.append(_finding("receipt", name, f"{name} is missing", "", [back[name]]))
    held = {(one.commit, one.body["content"]): one.name for one in receipts.versions(chain.receipts).values()}
    for where, wrong in evidence.committed(project, list(held)).items():
        cure = "no cure: it was written for a commit that is not the version's"
        found.append(_finding("receipt", held[where], f"{held[where]}: {wrong}", cure))
    sound = bool(asked) and not found
    for tag in chain.foreign:
        stage = re.search(r"#([\w/-]+?)!?(#\d+)?$", tag.name)
        told = f"{tag.name} of {tag.who} is no receipt: it was made by GTO or by hand"
        known = bool(stage) and stage[1] in STAGES
        cure = f"`git tag -d {shlex.quote(tag.name)}`, here and on origin"
        found.append(Finding("foreign tag", tag.name, told, cure if known else None, note=not known))
    return found, sound


def _damage(chain: Chain, back: dict[str, Step]) -> Iterator[Finding]:
    """What the chain itself tells; what another tag's loss has done to it is mended with that tag."""
    for damage in chain.damage:
        alone = damage.kind in ("lightweight", "unreadable", "moved")
        steps = [back[damage.tag]] if damage.tag in back else [] if alone else list(back.values())
        name = shlex.quote(damage.tag)
        cure = {
            "lightweight": f"`git tag -d {name}`, here and on origin",
            "moved": f"`git tag -d {name}`; `git fetch CLONE tag {name}` from one that has it as it was",
            "fork": f"`git tag -d` the one that origin has not (`git ls-remote origin`), then {FIX}",
        }.get(damage.kind, "`git fetch CLONE 'refs/tags/*:refs/tags/*'` from a clone that has it as it was")
        yield _finding("receipt", damage.tag, f"{damage.tag}: {damage.told}", cure, steps)


def _of_origin(project: Project, chain: Chain, origin: Origin, back: dict[str, Step]) -> Iterator[Finding]:
    for damage in origin.damage:
        name = shlex.quote(damage.tag)
        cure = (
            f"where origin's is wrong: `git push --force origin refs/tags/{name}`; else `git tag -d {name}`"
        )
        steps = [back[damage.tag]] if damage.tag in back else []
        yield _finding("receipt", damage.tag, f"{damage.tag}: {damage.told}", f"{cure}, then {FIX}", steps)
    for name in origin.missing:
        yield _finding(
            "origin",
            name,
            f"{name} is on origin and not here (`git fetch --tags`)",
            "",
            [back.get(name, ("fetch",))],
        )
    known = {receipt.name: receipt.object for receipt in chain.receipts}
    if origin.head not in {None, *known.values(), *origin.tags.values()}:
        told = f"the last receipt that was pushed, {origin.head}, is gone: here, and from origin"
        here = receipts.text_of(project.repository, origin.head) is not None
        steps = list(back.values()) if here else [("fetch",)]
        cure = "`git push origin refs/tags/…` from a clone that has it"
        yield _finding("receipt", chain.model, told, cure, steps)
    settled = not (chain.damage or origin.missing or origin.damage or back)
    for name in origin.unpushed:
        if name in known:
            cure = "`git push origin` it, when the rest of the chain is whole"
            yield _finding("origin", name, f"{name} is not on origin", cure, [("push",)] if settled else [])


# --- The registry ---------------------------------------------------------------------------------------


def of_stage(project: Project, chain: Chain, stage: str, sound: bool) -> Iterator[Finding]:
    """How a stage of MLflow's, and its alias, differ from what the receipts say.

    Args:
        sound: whether MLflow should follow the receipts.
    """
    versions = _versions(project, chain.model)
    inside = [version for version in versions if version.stage == STAGES[stage]]
    aliased = [version for version in versions if stage in version.aliases]
    holder, receipt = _holders(project, chain)[stage], receipts.standing(chain.receipts).get(stage)
    said = (
        f"the receipt puts content {receipt.body['content']} in {stage}"
        if receipt
        else f"no receipt puts a version in {stage}"
    )
    promoted = holder is None or (receipt is not None and holder.content == receipt.body["content"])
    if inside != ([holder] if holder else []):
        steps = _moves(project, chain, stage, inside) if sound and chain.receipts else []
        cure = RESTORE if receipt else f"`predictflow promote {_named(inside)} --to {stage}`, or archived"
        told = f"{said}; MLflow has {_named(inside)} there"
        yield _finding("stage", f"{chain.model}@{stage}", told, cure if sound else FIRST_RECEIPTS, steps)
    if not promoted:
        told = f"{holder.name} is in {STAGES[stage]}, where register puts a new version; {said}"
        cure = f"`predictflow promote {holder.name} --to {stage}`"
        yield Finding("not promoted", holder.name, told, cure, note=True)
    if aliased != inside:
        told = f"MLflow's alias {stage} is on {_named(aliased)}, not on what its stage holds"
        steps = [_alias(stage, holder)] if sound and (holder or chain.receipts) else []
        yield _finding("alias", f"{chain.model}@{stage}", told, FIRST_RECEIPTS, steps)


def _versions(project: Project, model: str) -> list[Version]:
    return [version for version in project.versions if version.model == model]


def _named(versions: list[Version]) -> str:
    return " and ".join(version.name for version in versions) or "no version"


def _holders(project: Project, chain: Chain) -> dict[str, Version | None]:
    """{stage: the version that should be in it}.

    What the receipts say; but register puts a version that nobody has promoted yet in Staging, and there it
    stays until one is promoted.
    """
    versions = _versions(project, chain.model)
    spoken_of = {receipt.body["content"] for receipt in chain.receipts if receipt.stage}
    standing = receipts.standing(chain.receipts)
    found: dict[str, Version | None] = {}
    for stage in STAGES:
        inside = [version for version in versions if version.stage == STAGES[stage]]
        if stage in standing:
            content = standing[stage].body["content"]
            same = [version for version in versions if version.content == content]
            found[stage] = min(
                same, key=lambda version: (version not in inside, version.number), default=None
            )
        else:
            found[stage] = None
        new = [version for version in inside if version.content not in spoken_of]
        if stage == "staging" and found[stage] not in inside and new:
            aliased = [version for version in new if stage in version.aliases]
            found[stage] = max(aliased or new, key=lambda version: version.number)
    return found


def _moves(project: Project, chain: Chain, stage: str, inside: list[Version]) -> list[Step]:
    """What lets a stage hold the one version that it should."""
    holders = _holders(project, chain)
    holder = holders[stage]
    if holder:  # who was there is archived
        return [("move", str(holder.number), STAGES[stage])]
    if stage in receipts.standing(chain.receipts):
        return []  # the registry lacks it
    out = [version for version in inside if version not in holders.values()]
    return [("move", str(version.number), "Archived") for version in out]


def _alias(stage: str, holder: Version | None) -> Step:
    return ("move", str(holder.number), STAGES[stage]) if holder else ("drop alias", stage)


def of_tags(project: Project, chain: Chain, sound: bool) -> Iterator[Finding]:
    """Versions of receipts that the registry lacks, and tags of versions that name other receipts."""
    versions = _versions(project, chain.model)
    standing = {one.body["content"]: one.name for one in receipts.standing(chain.receipts).values()}
    named: dict[str, list[Receipt]] = {}
    for receipt in chain.receipts:
        named.setdefault(receipt.body["content"], []).append(receipt)
    for content, of_it in named.items():
        if not any(version.content == content for version in versions):
            told = f"no version of the registry has content {content}, of which {of_it[0].name} tells"
            yield _finding("version", f"version {of_it[0].version}", told, RESTORE)
    for version in versions if sound else ():
        of_it = named.get(version.content or "", [])
        wanted: dict[str, str | None] = {NUMBER: f"v{of_it[0].version}.0.0" if of_it else None}
        if version.content in standing:
            wanted[RECEIPT] = standing[version.content]
        elif version.tags.get(RECEIPT) not in {None, *(one.name for one in of_it)}:
            wanted[RECEIPT] = of_it[-1].name if of_it else None
        for tag, value in wanted.items():
            if version.tags.get(tag) != value:
                has, said = version.tags.get(tag) or "none", value or "none"
                told = f"the tag {tag} of {version.name} is {has}, by the receipts {said}"
                yield _finding("tag", version.name, told, "", [_tag(version, tag, value)])


def _tag(version: Version, tag: str, value: str | None) -> Step:
    number = str(version.number)
    return ("drop tag", number, tag) if value is None else ("set tag", number, tag, value)


# --- The store and the bytes ----------------------------------------------------------------------------


def of_content(project: Project, version: Version) -> list[Doubt]:
    """All doubts about what a version is: also those of the working tree, where that holds it."""
    return [*evidence.doubts(project, version), *evidence.in_tree(project, version)]


def _of_version(project: Project, chain: Chain, version: Version) -> Iterator[Finding]:
    """A version without a run, and with a content that is not the same everywhere."""
    run = next((run for run in project.all_runs if run.id == version.run_id), None)
    if run is None:
        trash = project.ask_store(lambda store: store.trash(), set())
        steps = [("restore run", version.run_id)] if version.run_id in trash else []
        where = "in MLflow's trash" if steps else "not there"
        told = f"the run of {version.name}, {version.run_id or 'which it does not name'}, is {where}"
        yield _finding("run", version.name, told, RESTORE, steps)
    doubts = of_content(project, version)
    content = _content_of_all_else(project, version, run, doubts)
    if content:
        yield content
        return
    standing = {one.body["content"] for one in receipts.standing(chain.receipts).values()}
    needed = version.content in standing or version.stage == "Production"
    promoted = any(one.body["content"] == version.content for one in chain.receipts)
    for doubt in doubts:
        if doubt.kind == "commit" and not promoted:
            yield Finding("not committed", version.name, f"{version.name}: {doubt.told}", None, note=True)
        elif doubt.kind != "not here" or needed:
            yield _of_doubt(project, version, doubt, doubts)
    absent = 0 if needed else sum(doubt.kind == "not here" for doubt in doubts)
    if absent:
        told = f"{version.name}: {absent} of its files are not in DVC's cache"
        yield Finding("not here", version.name, told, f"`dvc fetch --all-commits {FOLDER}`", note=True)


def _content_of_all_else(
    project: Project, version: Version, run: Run | None, doubts: list[Doubt]
) -> Finding | None:
    """The one finding where a version, or its run, names another content than everything else does."""
    if run is None or not {"content", "run"} & {doubt.kind for doubt in doubts}:
        return None
    step: Step | None = None
    meant = replace(version, tags=version.tags | {CONTENT: run.content or ""})
    if run.content and not evidence.doubts(project, meant):
        step = ("set tag", str(version.number), CONTENT, run.content)
    md5s = evidence.known(project, version.content or "").md5s
    of_run = project.ask_store(lambda store: store.tags([run]), {}).get(run.id, {})
    if len(doubts) == 1 and md5s and all(of_run.get(MD5 + path) == md5 for path, md5 in md5s.items()):
        step = ("set tag of run", run.id, CONTENT, version.content or "")
    return _finding("content", version.name, doubts[0].told, RESTORE, [step]) if step else None


def _of_doubt(project: Project, version: Version, doubt: Doubt, doubts: list[Doubt]) -> Finding:
    """A doubt with its cure."""
    kind = {"run": "content", "tags": "tag", "commit": "git", "not here": "cache"}.get(doubt.kind, doubt.kind)
    cure, steps = RESTORE, []
    if doubt.kind == "tags" and not {"content", "run", "commit", "git"} & {one.kind for one in doubts}:
        steps = [_tag(version, f"{MD5}{doubt.path}", doubt.md5)]
    elif doubt.kind in ("cache", "not here", "files"):
        steps = _copies(project, version, version.content, doubt)
        if doubt.kind != "files":
            cure = f"`dvc fetch --all-commits {FOLDER}`"
        elif doubt.path and not doubt.md5 and doubt.path.is_file():
            cure = f"`rm {shlex.quote(str(doubt.path))}`"
    elif doubt.kind == "tree":
        first = project.history.first_with_model.get(version.content or "")
        cure = f"`dvc checkout --force {FOLDER}`"
        if first and doubt.path and doubt.path.name == PROVENANCE.name:
            cure = f"`git checkout {first.sha[:10]} -- {PROVENANCE}`"
    elif doubt.kind in ("git", "commit"):
        cure = "commit dvc.lock and models/provenance.json as they were when it was registered"
    return _finding(kind, version.name, f"{version.name}: {doubt.told}", cure, steps)


def _copies(project: Project, where: Version | Logged, content: str | None, doubt: Doubt) -> list[Step]:
    """What brings the right bytes to where a doubt misses them, from where they are: all or nothing."""
    path, model = doubt.path, evidence.known(project, content or "")
    if path is None:
        return []
    if doubt.md5 and doubt.md5.endswith(".dir"):
        listed = _list(model.files)
        if hashlib.md5(listed.encode()).hexdigest() == doubt.md5.removesuffix(".dir"):
            return [("write", str(path), listed)]
    wanted = {path: doubt.md5} if doubt.md5 else {}
    if not doubt.md5 and not path.exists():  # the whole folder
        wanted = {path / name: md5 for name, md5 in model.files.items()}
    steps = []
    for path, md5 in wanted.items():
        source = _source(project, where, md5, [name for name, of_it in model.files.items() if of_it == md5])
        if source:
            steps.append(("copy", str(source), str(path), md5))
        elif doubt.kind != "files" and _may_be_on_remote(project, md5):
            steps.append(("download", md5))
    return steps if len(steps) == len(wanted) else []


def _list(files: dict[str, str]) -> str:
    """The list of a folder's files as DVC writes it."""
    return json.dumps([{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())], sort_keys=True)


def _source(project: Project, where: Version | Logged, md5: str, names: list[str]) -> Path | None:
    """Where these bytes are on this machine: DVC's cache, MLflow's store, the working tree."""
    folders = [*evidence.in_store(where), (project.repository.root or Path()) / FOLDER]
    places = [folder / name for folder in folders for name in names]
    with contextlib.suppress(Unreachable):  # there is no cache
        places.insert(0, project.storage.place(md5))
    return next((place for place in places if place.is_file() and hashes.md5(place) == md5), None)


def _may_be_on_remote(project: Project, md5: str) -> bool:
    """Whether the default remote has it; one in a network is asked when it is mended."""
    try:
        return md5 in project.storage.on_remote([md5], False)
    except Unreachable:
        return "://" in project.storage.remote_url


def _duplicates(project: Project, model: str) -> Iterator[Finding]:
    """Several versions of one content; several runs that made it are told, for training may be repeated."""
    same: dict[str, list[Version]] = {}
    for version in _versions(project, model):
        same.setdefault(version.content or version.name, []).append(version)
    for content, versions in same.items():
        if len(versions) > 1:
            told = f"content {content} is registered more than once: {_named(versions)}"
            where = masked(tracking.uri())
            cure = f"delete all but one in `mlflow ui --backend-store-uri {where}`, then {FIX}"
            yield _finding("duplicate", _named(versions), told, cure)
    made: dict[tuple[str, str | None], list[Run]] = {}
    for run in project.all_runs:
        if run.content and run.status == "FINISHED":
            made.setdefault((run.content, run.experiment), []).append(run)
    for (content, _), runs in made.items():
        if len(runs) > 1:
            told = f"content {content} was made by {len(runs)} runs: {some([run.id for run in runs])}"
            yield Finding("duplicate", runs[0].id, told, None, note=True)


def _of_runs(project: Project) -> Iterator[Finding]:
    """Runs left RUNNING, and runs that have not the model that they say they made."""
    for run in project.all_runs:
        if run.status != "RUNNING":
            continue
        host = run.tags.get(tracking.HOST)
        if host != socket.gethostname():
            told = f"run {run.id} is RUNNING on {host or 'a host that it does not name'}"
            yield Finding("running", run.id, told, None, note=True)
        elif processes.gone(run.tags):
            told = f"run {run.id} says RUNNING, and its process is gone"
            yield _finding("running", run.id, told, "", [("end", run.id)])
    of_versions = {version.run_id for version in project.versions}
    for run in project.all_runs:
        if run.content and run.status == "FINISHED" and run.id not in of_versions:
            for doubt in evidence.of_run(project, run):
                steps = _copies(project, Logged.of(run), run.content, doubt)
                if run.restored and doubt.md5 is None and not steps:  # of which Git alone knew
                    told = f"run {run.id} was restored without its files, which are not in DVC's cache"
                    cure = f"`dvc fetch --all-commits`, then {RESTORE}"
                    yield Finding("not here", run.id, told, cure, note=True)
                    continue
                cure = "`dvc repro --force register` at its commit, or delete the run"
                yield _finding("model", run.id, f"run {run.id}: {doubt.told}", cure, steps)
