"""Models made again, several at a time; each verdict becomes a receipt and a tag of MLflow's versions."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial

from predictflow.adapters.mlflow_store import mark_rebuilt
from predictflow.adapters.processes import Children
from predictflow.errors import CouldNotTell
from predictflow.formatting import Json, moment
from predictflow.ledger import rebuilds
from predictflow.ledger.rebuilds import DIFFERENT, RebuildReceipt
from predictflow.lineage.project import Project
from predictflow.reproduction import runner
from predictflow.reproduction.runner import Failed, RebuiltModel, Tell
from predictflow.reproduction.selection import RebuildRequest
from predictflow.reproduction.verdict import Verdict
from stages.support.errors import UserError

OWN, CURRENT = "own", "current"

Follow = Callable[[str], Tell]  # who is told the steps of a model, by its name


@dataclass(frozen=True)
class RebuildResult:
    """What came of a request.

    Attributes:
        environment: OWN or CURRENT.
        outcome: the model that was made again, or why it could not be made.
        receipt: the name of the verdict's receipt; None where none was written.
    """

    request: RebuildRequest
    environment: str
    outcome: RebuiltModel | UserError
    receipt: str | None = None

    @property
    def verdict(self) -> Verdict | None:
        return self.outcome.verdict if isinstance(self.outcome, RebuiltModel) else None

    @property
    def inputs(self) -> list[Json]:
        """Those that differ, also of one whose pipeline failed."""
        if isinstance(self.outcome, RebuiltModel):
            return self.outcome.verdict.inputs
        return self.outcome.inputs if isinstance(self.outcome, Failed) else []

    @property
    def grade(self) -> str | None:
        """One of GRADES; None where it could not be made again."""
        return self.verdict.grade if self.verdict else None

    @property
    def doubtful(self) -> bool:
        """Whether it might be better than DIFFERENT: the predictions could not be compared."""
        return self.verdict is not None and self.grade == DIFFERENT and self.verdict.predictions is None

    def as_json(self) -> Json:
        """docs/reference/json.md says what each key means."""
        return {
            "handle": self.request.named,
            "content": self.request.content or None,
            "commit": self.request.commit,
            "versions": [version.name for version in self.request.versions],
            "environment": self.environment,
            "receipt": self.receipt,
            "verdict": self.grade,
            "doubtful": self.doubtful,
            "inputs": self.inputs,
            **self._comparison(),
        }

    def _comparison(self) -> Json:
        if not isinstance(self.outcome, RebuiltModel):
            nothing = dict.fromkeys(("entries", "predictions", "requirements", "learned"))
            return nothing | {"why_not": str(self.outcome), "differs": [], "notes": [], "machine": {}}
        compared = asdict(self.outcome.verdict)
        compared = {key: compared[key] for key in ("entries", "differs", "predictions", "notes", "learned")}
        made = {"requirements": self.outcome.requirements, "machine": self.outcome.machine}
        return compared | made | {"why_not": None}


def rebuild_all(
    project: Project, requests: list[RebuildRequest], environment: str, jobs: int, follow: Follow
) -> Iterator[RebuildResult]:
    """What came of each, recorded, as soon as it is done; `follow` gives who is told the steps of a model."""
    running = Children()
    chain = project.chain(project.model) if project.model else None
    receipts = rebuilds.read_rebuilds(project.repository, chain) if chain else []
    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = [
                pool.submit(_make, project, request, environment, receipts, running, follow(request.named))
                for request in requests
            ]
            for future in as_completed(futures):
                yield record(project, future.result())
        except BaseException:
            running.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _make(
    project: Project,
    request: RebuildRequest,
    environment: str,
    receipts: list[RebuildReceipt],
    running: Children,
    tell: Tell,
) -> RebuildResult:
    """In a thread of its own; `receipts` may tell what machine it was made on."""
    outcome: RebuiltModel | UserError
    try:
        if request.commit is None:
            raise CouldNotTell(
                f"no commit holds {f'the content {request.content}' if request.content else 'its content'}.\n"
                "Cure: make it with the params of its run, and commit dvc.lock."
            )
        machine = rebuilds.recorded_machine(receipts, request.content)
        current = environment == CURRENT
        outcome = runner.rebuild(project, request.commit, machine, current, running, tell)
    except UserError as error:
        outcome = error
    return RebuildResult(request, environment, outcome)


def record(project: Project, result: RebuildResult) -> RebuildResult:
    """Write a verdict down: its receipt, and the tag of MLflow's versions; the result, with its receipt.

    What cannot be written is a gap, and the verdict stays.
    """
    if not isinstance(result.outcome, RebuiltModel):
        return result
    request, receipt = result.request, None
    for reason in result.outcome.unseen:
        project.gaps.note(f"{request.named}: {reason}")
    if request.recorded and request.commit and project.model:
        chain, told = project.chain(project.model), result.as_json()
        try:
            receipt = rebuilds.write_rebuild(project.repository, chain, request.content, request.commit, told)
            project.look(partial(rebuilds.push_rebuilds, project.repository, [receipt]), None)
        except UserError as error:
            project.gaps.note(str(error).splitlines()[0])
    if request.versions:
        words = f"{result.grade} {moment(receipt.time if receipt else time.time())}"
        project.look(lambda: mark_rebuilt(request.versions, words), None)
    return replace(result, receipt=receipt.name) if receipt else result
