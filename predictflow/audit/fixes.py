"""What `audit --fix` does: the steps that a finding names, each told in a sentence."""

import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from predictflow.audit.audit import find_all
from predictflow.audit.finding import FINDING_KINDS, FIRST, Finding, Step
from predictflow.audit.registry import check_stage, check_tags

# IMPORTS
from predictflow.errors import Unreachable, masked
from predictflow.formatting import some_of
from predictflow.ledger.chain import Chain
from predictflow.ledger.origin import bring_back, fetch_last, fetch_receipts, push_receipts

# IMPORTS
from predictflow.lineage.project import Project
from stages.support import files, hashes, params
from stages.support.errors import UserError
from stages.tracking import registry
from stages.tracking.registry import STAGES
from stages.tracking.store import TrackingStore, open_store

READ_ONLY = 0o444  # as DVC keeps the files of its cache


def mend(project: Project, model: str) -> tuple[Project, list[Finding], list[str], list[str]]:
    """Mend what can be mended without a decision, and look again.

    Returns the project as it is then, what is left, what was mended, and what could not be, each with its
    reason.
    """
    root = project.repository.root
    if root is None:
        raise UserError(
            "a bare repository has nothing to mend.\nCure: `predictflow audit --fix` in a clone with files."
        )
    found = find_all(project, model)
    tried: set[Step] = set()
    mended: list[str] = []
    failed: list[str] = []
    while steps := _next(found, tried):
        mender = Mender(project, model)
        for step in steps:
            tried.add(step)
            try:
                mended.append(mender.take(step))
            except (UserError, Unreachable, OSError) as error:
                failed.append(f"{' '.join(step[:3])}: {error}")
        project = Project.enter(root)
        found = find_all(project, model)
    return project, found, mended, failed


def _next(found: list[Finding], tried: set[Step]) -> list[Step]:
    """The steps that come now: receipts before contents, and both before what depends on them."""
    for kinds in (*FIRST, tuple(FINDING_KINDS)):
        steps = (step for one in found if one.kind in kinds for step in one.steps)
        new = [step for step in dict.fromkeys(steps) if step not in tried]
        if new:
            return new
    return []


def follow(project: Project, chain: Chain) -> None:
    """Let MLflow's stages, aliases and tags of versions say what whole receipts say.

    Raises UserError, Unreachable or OSError where it does not take that.
    """
    in_stages = [one for stage in STAGES for one in check_stage(project, chain, stage, True)]
    for found in (in_stages, check_tags(project, chain, True)):
        mender = Mender(project, chain.model)
        for step in dict.fromkeys(step for one in found for step in one.steps):
            mender.take(step)


class Mender:
    """Takes the steps, in a project as it was looked at."""

    def __init__(self, project: Project, model: str) -> None:
        self._project, self._model = project, model

    def take(self, step: Step) -> str:
        """Take a step and tell it. Raises UserError, Unreachable or OSError where it cannot be taken."""
        name, *given = step
        steps: dict[str, Callable[..., str]] = {
            "bring back": self._bring_back,
            "fetch": self._fetch,
            "push": self._push,
            "move": self._move,
            "drop alias": self._drop_alias,
            "set tag": self._set_tag,
            "drop tag": self._drop_tag,
            "set tag of run": self._set_tag_of_run,
            "restore run": self._restore_run,
            "end": self._end,
            "copy": self._copy,
            "write": self._write,
            "download": self._download,
        }
        try:
            return steps[name](*given)
        except (UserError, Unreachable, OSError):
            raise
        except Exception as error:  # of MLflow, of its database's driver, of the network
            raise Unreachable(masked(str(error))) from error

    @cached_property
    def _store(self) -> TrackingStore:
        return open_store(params.load())

    def _bring_back(self, name: str, object: str) -> str:
        bring_back(self._project.repository, name, object)
        return f"the receipt {name} is what it was, {object[:10]}"

    def _fetch(self) -> str:
        fetch_last(self._project.repository, self._model)
        origin = fetch_receipts(self._project.repository, self._model)
        return f"fetched from origin: {some_of(origin.missing if origin else []) or 'its last receipt'}"

    def _push(self) -> str:
        push_receipts(self._project.repository, self._model)
        return "pushed to origin the receipts that it had not"

    def _move(self, number: str, stage: str) -> str:
        registry.move(self._store, self._model, number, stage)
        return f"{self._model}/{number} is in {stage}, its alias with it"

    def _drop_alias(self, alias: str) -> str:
        self._store.client.delete_registered_model_alias(self._model, alias)
        return f"the alias {alias} is on no version"

    def _set_tag(self, number: str, tag: str, value: str) -> str:
        self._store.client.set_model_version_tag(self._model, number, tag, value)
        return f"{self._model}/{number} has {tag} {value}"

    def _drop_tag(self, number: str, tag: str) -> str:
        self._store.client.delete_model_version_tag(self._model, number, tag)
        return f"{self._model}/{number} has no {tag}"

    def _set_tag_of_run(self, run: str, tag: str, value: str) -> str:
        self._store.client.set_tag(run, tag, value)
        return f"run {run} has {tag} {value}"

    def _restore_run(self, run: str) -> str:
        self._store.client.restore_run(run)
        return f"run {run} is back from MLflow's trash"

    def _end(self, run: str) -> str:
        client = self._store.client  # which has ended those of the project's experiment
        if client.get_run(run).info.status == "RUNNING":
            client.set_terminated(run, "KILLED")
        return f"run {run} is KILLED"

    def _copy(self, source: str, target: str, md5: str) -> str:
        in_cache = Path(target) == self._project.storage.place(md5)
        with files.atomic_write(Path(target)) as temporary:
            shutil.copyfile(source, temporary)
            if hashes.md5(temporary) != md5:
                raise Unreachable(f"{source} has changed meanwhile")
            if in_cache:
                temporary.chmod(READ_ONLY)
        return f"{target} is {source} again"

    def _write(self, target: str, text: str) -> str:
        with files.atomic_write(Path(target)) as temporary:
            temporary.write_text(text, encoding="utf-8")
            temporary.chmod(READ_ONLY)
        return f"{target} lists the model's files again"

    def _download(self, md5: str) -> str:
        storage = self._project.storage
        if not storage.on_remote([md5], True):
            raise Unreachable(f"the remote {storage.remote} has no {md5}")
        storage.place(md5).unlink(missing_ok=True)  # DVC would take other bytes for these
        storage.fetch([md5])
        return f"{md5} is in DVC's cache, from the remote {storage.remote}"
