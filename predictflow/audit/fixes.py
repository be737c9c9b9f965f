"""What mends a finding without a decision: each fix is a value that can be applied."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

from predictflow.adapters import mlflow_tables
from predictflow.errors import Unreachable, masked
from predictflow.formatting import some_of
from predictflow.ledger.origin import bring_back, fetch_last, fetch_receipts, push_receipts
from predictflow.lineage.project import Project
from stages.support import params
from stages.support.errors import UserError
from stages.tracking import registry
from stages.tracking.store import TrackingStore, open_store, tracking_uri

LINE = "\n"


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


def apply_fix(fix: Fix, context: FixContext) -> str:
    """Do it, and tell what was done. Raises UserError, Unreachable or OSError where that cannot be."""
    try:
        return fix.apply(context)
    except (UserError, Unreachable, OSError):
        raise
    except Exception as error:  # of MLflow, of its database's driver, of the network
        raise Unreachable(masked(str(error))) from error


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
class Describe(Fix):
    """Give a version its description again."""

    name = "describe"
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.name} {self.number}"

    def apply(self, context: FixContext) -> str:
        context.store.client.update_model_version(context.model, str(self.number), self.text)
        return f"{context.model}/{self.number} is described as its receipt tells"


@dataclass(frozen=True)
class SetRunTag(Fix):
    """Let a run have a tag; None takes it away."""

    name = "set tag of run"
    run_id: str
    tag: str
    value: str | None

    def apply(self, context: FixContext) -> str:
        client = context.store.client
        if self.value is None:
            client.delete_tag(self.run_id, self.tag)
            return f"run {self.run_id} has no {self.tag}"
        client.set_tag(self.run_id, self.tag, self.value)
        return f"run {self.run_id} has {self.tag} {self.value.partition(LINE)[0]}"


@dataclass(frozen=True)
class SetParam(Fix):
    """Give a run its param again, which MLflow itself never changes."""

    name = "set param"
    run_id: str
    key: str
    value: str

    def apply(self, context: FixContext) -> str:
        with context.store.lock:
            mlflow_tables.set_param(tracking_uri(), self.run_id, self.key, self.value)
        return f"run {self.run_id} has {self.key} {self.value}"


@dataclass(frozen=True)
class SetMetric(Fix):
    """Let the last value of a run's metric be this one."""

    name = "set metric"
    run_id: str
    key: str
    value: float

    def apply(self, context: FixContext) -> str:
        with context.store.lock:
            mlflow_tables.set_metric(tracking_uri(), self.run_id, self.key, self.value)
        return f"run {self.run_id} has {self.key} {self.value}"


@dataclass(frozen=True)
class RestoreRun(Fix):
    """Take a run out of MLflow's trash."""

    name = "restore run"
    run_id: str

    def apply(self, context: FixContext) -> str:
        context.store.client.restore_run(self.run_id)
        return f"run {self.run_id} is back from MLflow's trash"


@dataclass(frozen=True)
class AttachVersion(Fix):
    """Let a version be of a run, with its files at an address."""

    name = "attach"
    number: int
    run_id: str
    address: str

    def apply(self, context: FixContext) -> str:
        with context.store.lock:
            mlflow_tables.attach_version(
                tracking_uri(), context.model, self.number, self.run_id, self.address
            )
        return f"{context.model}/{self.number} is of run {self.run_id}, with its files at {self.address}"


@dataclass(frozen=True)
class AddressRun(Fix):
    """Let a run have its files in its own folder."""

    name = "address"
    run_id: str
    address: str

    def apply(self, context: FixContext) -> str:
        with context.store.lock:
            mlflow_tables.address_run(tracking_uri(), self.run_id, self.address)
        return f"run {self.run_id} has its files at {self.address}"


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
