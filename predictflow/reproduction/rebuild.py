"""Models made again, several at a time; each verdict becomes a receipt and a tag of MLflow's versions."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict

from predictflow.adapters.child_processes import Children
from predictflow.adapters.mlflow_entities import REBUILT_TAG, Version
from predictflow.errors import CouldNotTell, Unreachable
from predictflow.formatting import Json, moment
from predictflow.ledger.rebuilds import (
    DIFFERENT,
    RebuildReceipt,
    push_rebuilds,
    read_rebuilds,
    recorded_machine,
    write_rebuild,
)
from predictflow.lineage.project import Project
from predictflow.reproduction import runner
from predictflow.reproduction.runner import Failed, RebuildResult
from predictflow.reproduction.selection import RebuildRequest
from stages.support.errors import UserError

OWN, CURRENT = "own", "current"

Follow = Callable[[str], Callable[[str], None]]


def rebuild_all(
    project: Project, wanted: list[RebuildRequest], environment: str, jobs: int, follow: Follow
) -> Iterator[Json]:
    """What came of each, as soon as it is done; `follow` gives, for a model's name, who is told its steps."""
    running = Children()
    current = environment == CURRENT
    earlier = read_rebuilds(project.repository, project.model) if project.model else []

    def make(one: RebuildRequest, tell: Callable[[str], None]) -> RebuildResult | UserError:
        if one.commit is None:
            return CouldNotTell(
                f"no commit holds the content {one.content or 'of it'}.\n"
                "Cure: make it with the params of its run, and commit dvc.lock."
            )
        try:
            return runner.rebuild(
                project.repository,
                project.storage,
                one.commit,
                recorded_machine(earlier, one.content),
                current,
                running,
                tell,
            )
        except UserError as error:
            return error

    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = {pool.submit(make, one, follow(one.named)): one for one in wanted}
            for future in as_completed(futures):
                yield _told(project, futures[future], environment, future.result())
        except BaseException:
            running.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _told(project: Project, one: RebuildRequest, environment: str, done: RebuildResult | UserError) -> Json:
    """What came of one, as plain values; the verdict is written down."""
    told: Json = {
        "handle": one.named,
        "content": one.content or None,
        "commit": one.commit,
        "versions": [version.name for version in one.versions],
        "environment": environment,
        "receipt": None,
        "verdict": None,
        "why_not": None,
        "doubtful": False,
        "entries": None,
        "differs": [],
        "predictions": None,
        "inputs": [],
        "requirements": None,
        "machine": {},
    }
    if isinstance(done, UserError):
        return told | {"why_not": str(done), "inputs": done.inputs if isinstance(done, Failed) else []}
    found = asdict(done.verdict)
    told |= found | {"verdict": found["grade"], "requirements": done.requirements, "machine": done.machine}
    del told["grade"]
    told["doubtful"] = found["grade"] == DIFFERENT and found["predictions"] is None
    project.unseen.extend(f"{one.named}: {reason}" for reason in done.unseen)
    written = _write(project, one, told)
    return told | {"receipt": written.name if written else None}


def _write(project: Project, one: RebuildRequest, told: Json) -> RebuildReceipt | None:
    """The receipt of a verdict and the tag of MLflow's versions; what cannot be written is told, and the
    verdict stays."""
    import time

    written = None
    if one.registered:
        try:
            written = write_rebuild(project.repository, one.registered, told)
            project.look(lambda: push_rebuilds(project.repository, [written]), None)
        except UserError as error:
            project.unseen.append(str(error).splitlines()[0])
    if one.versions:
        when = moment(written.time if written else time.time())
        project.look(lambda: mark_versions(one.versions, told["verdict"], when), None)
    return written


def mark_versions(versions: list[Version], verdict: str, when: str) -> None:
    """Write a verdict to MLflow's versions. Raises Unreachable where the store cannot be written."""
    from stages.support import params
    from stages.tracking.store import open_store

    try:
        client = open_store(params.load()).client
        for version in versions:
            client.set_model_version_tag(version.model, str(version.number), REBUILT_TAG, f"{verdict} {when}")
    except UserError as error:
        raise Unreachable(str(error).splitlines()[0]) from error
    except Exception as error:  # of MLflow, of its database's driver, of the network
        raise Unreachable(f"the registry does not take the verdict: {error}") from error
