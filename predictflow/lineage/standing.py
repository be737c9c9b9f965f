"""Where a project stands, as values: what Git, DVC and MLflow's store have said."""

from dataclasses import asdict, dataclass

from predictflow.adapters.dvc_status import StageChange
from predictflow.formatting import Json
from stages.tracking.registry import RegistryStage


@dataclass(frozen=True)
class GitStatus:
    """The checkout, and its distance from the upstream.

    Attributes:
        branch: None where none is checked out.
        commit: HEAD's; None before the first one.
        ahead: how many commits the upstream lacks; without one how many no remote has; without a branch how
            many no branch, tag or remote has; None where nobody could have them.
        behind: how many commits of the upstream are not here; None without one.
    """

    branch: str | None
    commit: str | None
    upstream: str | None
    remotes: list[str]
    ahead: int | None
    behind: int | None
    rebasing: bool


@dataclass(frozen=True)
class ModelSummary:
    """A model in a word; `commit` is the first one that holds it."""

    content: str | None
    kind: str | None
    metrics: dict[str, float]
    commit: str | None


@dataclass(frozen=True)
class RegisteredModel(ModelSummary):
    """A model as a registered version, `churn-predictor/3`."""

    name: str
    stage: str
    aliases: list[str]
    registered: str
    run: str | None


@dataclass(frozen=True)
class PromotedModel(ModelSummary):
    """A model that a receipt puts in a stage, with the number that receipts know it by."""

    version: int
    receipt: str


@dataclass(frozen=True)
class GateVerdict:
    """What register.gate said of a model when `register` asked it last."""

    passed: bool
    reasons: list[str]


@dataclass(frozen=True)
class LyingModel(ModelSummary):
    """The model of the dvc.lock that lies here, in a bare repository of HEAD's; its versions and the number
    of its runs are None where the store does not tell."""

    versions: list[str] | None
    runs: int | None
    gate: GateVerdict | None


@dataclass(frozen=True)
class Runs:
    """When each run began that goes on, as text, the newest first; and the status of the newest of all."""

    running: list[str]
    newest: str | None


@dataclass(frozen=True)
class StoreStatus:
    """What MLflow's store says; `in_stage` by the alias of a stage of the registry."""

    in_stage: dict[str, list[RegisteredModel]]
    runs: Runs


@dataclass(frozen=True)
class Experiments:
    """How many DVC holds, and how many of them hold a model that no branch and no tag has ever held."""

    held: int
    on_no_branch: int


@dataclass(frozen=True)
class StorageStatus:
    """What of the data and models here is not on the default remote; None where it was not asked.

    Attributes:
        not_pushed: what DVC's cache has.
        nowhere: what the cache has not either.
    """

    remote: str | None
    not_pushed: list[str] | None
    nowhere: list[str] | None


@dataclass(frozen=True)
class PipelineStatus:
    """Whether dvc.lock is in step with code, params and data.

    Attributes:
        in_step: None where DVC could not tell, for the reason in `error`.
        changed: how a stage differs, by its name.
        cure: the command that brings them in step, or that lets DVC tell.
        back: where the cure takes new customers, the command that throws them away for the recorded ones.
    """

    in_step: bool | None
    changed: dict[str, StageChange]
    error: str | None
    cure: str | None
    back: str | None = None


@dataclass(frozen=True)
class StackServer:
    """A server that `make stack` has started, by the address that it has, or had when it ran last."""

    url: str
    is_running: bool


@dataclass(frozen=True)
class Status:
    """Where a project stands.

    Attributes:
        conflicts: the paths that a merge left in conflict.
        uncommitted: the others of the record that differ from HEAD.
        receipts: who stands in a stage by the receipts, by the stage's alias.
        store: None where it does not answer.
        store_is_lost: whether it is not there, though there are receipts of what stood in it.
        working_tree: None where no model lies here.
        storage, pipeline: None in a bare repository.
        stack: the servers of `make stack`, by their names; None where there is no stack.
        could_not_tell: what matters and could not be told, each with its reason.
        not_looked_at: what matters less and could not be looked at, likewise.
    """

    git: GitStatus
    conflicts: list[str]
    uncommitted: list[str]
    receipts: dict[str, PromotedModel | None]
    store: StoreStatus | None
    store_is_lost: bool
    working_tree: LyingModel | None
    experiments: Experiments
    storage: StorageStatus | None
    pipeline: PipelineStatus | None
    stack: dict[str, StackServer] | None
    could_not_tell: list[str]
    not_looked_at: list[str]

    def as_json(self) -> Json:
        """docs/reference/json.md says what each key means; what to do next is not among them."""
        answer = asdict(self)
        store = answer.pop("store") or {"in_stage": {}, "runs": None}
        in_stage = {stage.alias: store["in_stage"].get(stage.alias) for stage in RegistryStage}
        return answer | in_stage | {"runs": store["runs"]}
