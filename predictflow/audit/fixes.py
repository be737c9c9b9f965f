"""What mends a finding without a decision: each fix is a value that can be applied."""

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from predictflow.errors import Unreachable
from predictflow.formatting import some_of
from predictflow.ledger.origin import bring_back, fetch_last, fetch_receipts, push_receipts
from predictflow.lineage.project import Project
from stages.support import files, hashes, params
from stages.tracking import registry
from stages.tracking.store import TrackingStore, open_store

READ_ONLY = 0o444  # as DVC keeps the files of its cache


@dataclass(frozen=True)
class FixContext:
    """A project as it was looked at, in which fixes are applied."""

    project: Project
    model: str

    @cached_property
    def store(self) -> TrackingStore:
        return open_store(params.load())


@dataclass(frozen=True)
class Fix(ABC):
    """What mends a finding. Equal ones are one fix: it is tried once.

    Attributes:
        name: what it is called where it fails, before the first two of its fields.
    """

    name: ClassVar[str]

    @abstractmethod
    def apply(self, context: FixContext) -> str:
        """Do it, and tell in a sentence what was done.

        Raises UserError, Unreachable or OSError, or what MLflow raises, where that cannot be done.
        """

    def __str__(self) -> str:
        return " ".join([self.name, *(str(getattr(self, field.name)) for field in fields(self)[:2])])


@dataclass(frozen=True)
class BringBack(Fix):
    """Give a receipt's name to the tag object that it was."""

    name = "bring back"
    receipt: str
    object: str

    def apply(self, context: FixContext) -> str:
        bring_back(context.project.repository, self.receipt, self.object)
        return f"the receipt {self.receipt} is what it was, {self.object[:10]}"


@dataclass(frozen=True)
class Fetch(Fix):
    """Fetch the receipts that only origin has."""

    name = "fetch"

    def apply(self, context: FixContext) -> str:
        fetch_last(context.project.repository, context.model)
        origin = fetch_receipts(context.project.repository, context.model)
        return f"fetched from origin: {some_of(origin.missing if origin else []) or 'its last receipt'}"


@dataclass(frozen=True)
class Push(Fix):
    """Push the receipts that origin lacks."""

    name = "push"

    def apply(self, context: FixContext) -> str:
        push_receipts(context.project.repository, context.model)
        return "pushed to origin the receipts that it had not"


@dataclass(frozen=True)
class Move(Fix):
    """Put a version in a stage of MLflow's; who was there is archived."""

    name = "move"
    number: int
    stage: str

    def apply(self, context: FixContext) -> str:
        registry.move(context.store, context.model, str(self.number), self.stage)
        return f"{context.model}/{self.number} is in {self.stage}, its alias with it"


@dataclass(frozen=True)
class DropAlias(Fix):
    name = "drop alias"
    alias: str

    def apply(self, context: FixContext) -> str:
        context.store.client.delete_registered_model_alias(context.model, self.alias)
        return f"the alias {self.alias} is on no version"


@dataclass(frozen=True)
class SetTag(Fix):
    name = "set tag"
    number: int
    tag: str
    value: str

    def apply(self, context: FixContext) -> str:
        context.store.client.set_model_version_tag(context.model, str(self.number), self.tag, self.value)
        return f"{context.model}/{self.number} has {self.tag} {self.value}"


@dataclass(frozen=True)
class DropTag(Fix):
    name = "drop tag"
    number: int
    tag: str

    def apply(self, context: FixContext) -> str:
        context.store.client.delete_model_version_tag(context.model, str(self.number), self.tag)
        return f"{context.model}/{self.number} has no {self.tag}"


@dataclass(frozen=True)
class SetRunTag(Fix):
    name = "set tag of run"
    run_id: str
    tag: str
    value: str

    def apply(self, context: FixContext) -> str:
        context.store.client.set_tag(self.run_id, self.tag, self.value)
        return f"run {self.run_id} has {self.tag} {self.value}"


@dataclass(frozen=True)
class RestoreRun(Fix):
    """Take a run out of MLflow's trash."""

    name = "restore run"
    run_id: str

    def apply(self, context: FixContext) -> str:
        context.store.client.restore_run(self.run_id)
        return f"run {self.run_id} is back from MLflow's trash"


@dataclass(frozen=True)
class EndRun(Fix):
    """End a run that still says RUNNING."""

    name = "end"
    run_id: str

    def apply(self, context: FixContext) -> str:
        client = context.store.client  # which has ended those of the project's experiment
        if client.get_run(self.run_id).info.status == "RUNNING":
            client.set_terminated(self.run_id, "KILLED")
        return f"run {self.run_id} is KILLED"


@dataclass(frozen=True)
class CopyFile(Fix):
    """Bring the right bytes to a file from where they are on this machine."""

    name = "copy"
    source: Path
    target: Path
    md5: str

    def apply(self, context: FixContext) -> str:
        in_cache = self.target == context.project.storage.place(self.md5)
        with files.atomic_write(self.target) as temporary:
            shutil.copyfile(self.source, temporary)
            if hashes.md5(temporary) != self.md5:
                raise Unreachable(f"{self.source} has changed meanwhile")
            if in_cache:
                temporary.chmod(READ_ONLY)
        return f"{self.target} is {self.source} again"


@dataclass(frozen=True)
class DropIndex(Fix):
    """Remove the index of Git's history: the next command that asks makes it anew."""

    name = "drop"
    path: Path

    def apply(self, context: FixContext) -> str:
        self.path.unlink(missing_ok=True)
        return f"{self.path} is gone: it is made anew from Git"


@dataclass(frozen=True)
class WriteList(Fix):
    """Write the list of a folder's files into DVC's cache."""

    name = "write"
    target: Path
    text: str

    def apply(self, context: FixContext) -> str:
        with files.atomic_write(self.target) as temporary:
            temporary.write_text(self.text, encoding="utf-8")
            temporary.chmod(READ_ONLY)
        return f"{self.target} lists the model's files again"


@dataclass(frozen=True)
class Download(Fix):
    """Bring a file into DVC's cache from the default remote."""

    name = "download"
    md5: str

    def apply(self, context: FixContext) -> str:
        storage = context.project.storage
        if not storage.on_remote([self.md5], True):
            raise Unreachable(f"the remote {storage.remote} has no {self.md5}")
        storage.place(self.md5).unlink(missing_ok=True)  # DVC would take other bytes for these
        storage.fetch([self.md5])
        return f"{self.md5} is in DVC's cache, from the remote {storage.remote}"
