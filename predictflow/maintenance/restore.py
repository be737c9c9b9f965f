"""Writes what the store lacks, from Git, DVC and the receipts."""

import contextlib
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from predictflow.adapters import mlflow_entities, mlflow_tables
from predictflow.adapters.dvc_files import MEASURED
from predictflow.adapters.mlflow_store import log_values, store_errors
from predictflow.audit.audit import follow
from predictflow.audit.receipts import last_evidence
from predictflow.audit.registry import versions_of
from predictflow.console import track
from predictflow.errors import masked
from predictflow.formatting import Json, moment
from predictflow.ledger.chain import Chain
from predictflow.ledger.origin import fetch_receipts
from predictflow.ledger.proof import read_both
from predictflow.ledger.rebuilds import newest_verdict, read_rebuilds
from predictflow.lineage.project import Project
from predictflow.maintenance import recovery
from predictflow.maintenance.broken_database import put_aside
from predictflow.maintenance.lost_versions import delete_lost
from predictflow.maintenance.recovery import RestoreEntry
from predictflow.maintenance.renumbering import Renumbering
from stages.support import params
from stages.support.errors import UserError
from stages.tracking import registry
from stages.tracking.notes import describe
from stages.tracking.registry import RegistryStage
from stages.tracking.runs import complete
from stages.tracking.store import MD5_PREFIX, TrackingStore, open_store, own_artifacts, tracking_uri


def restore_store(project: Project) -> Json:
    """Write what the store lacks; docs/reference/json.md says what each key of the answer means.

    Raises UserError where the receipts are broken, or where the store is of another MLflow.
    """
    model, settings = project.require_model(), params.load()
    chain = _chain(project, model)
    own = own_artifacts()
    own_ids = own is not None
    entries = recovery.plan(project, chain)
    _fetch(project, entries)
    with put_aside() if own_ids else contextlib.nullcontext() as moved_aside:
        store = open_store(settings)
    relocated = own is not None and _relocate(store, own.as_uri())
    try:
        written = Restorer(project, model, store, own_ids).restore(entries, chain)
    except store_errors() as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"the store {masked(tracking_uri())} does not take what is to be restored: {reason}\n"
            "Cure: once it does, `predictflow restore` goes on where it has stopped."
        ) from error
    return written | {
        "moved_aside": moved_aside,
        "relocated": relocated,
        "own_ids": own_ids,
        "not_looked_at": project.unseen,
    }


def _chain(project: Project, model: str) -> Chain:
    """The receipts, also those that only origin has. Raises UserError where they are broken."""
    read = project.look(lambda: read_both(project.repository, model, fetch_receipts), None)
    chain = read[0] if read else project.chain(model)
    project.keep_chain(chain)
    if chain.damage:
        broken = "\n".join(f"  {damage.tag}: {damage.message}" for damage in chain.damage)
        raise UserError(
            f"the receipts of {model} are broken, so nobody can say who stands where:\n{broken}\n"
            "Cure: `predictflow audit --fix`, or bring back the tags that another clone has."
        )
    return chain


def _relocate(store: TrackingStore, where: str) -> bool:
    """Let the addresses of files follow a store that was moved: MLflow keeps those of where it was made."""
    made_at = store.client.get_experiment(store.experiment_id).artifact_location
    if made_at == where:
        return False
    mlflow_tables.relocate(tracking_uri(), made_at, where)
    return True


def _fetch(project: Project, entries: list[RestoreEntry]) -> None:
    """Bring what DVC's cache lacks from the default remote, as far as it is there: first the lists of the
    folders, then the files that they name."""
    for _ in ("lists", "files"):
        md5s = {md5 for entry in entries for md5 in recovery.missing(project, entry.model)}
        if md5s and project.storage.remote:
            project.look(partial(project.storage.fetch, md5s), None)


@dataclass(frozen=True)
class Restorer:
    """Writes to a store what it lacks; each method returns what it wrote, in the words of the answer.

    Attributes:
        own_ids: whether the store is a database of ours, where runs and versions get their own ids, numbers
            and times back; a server gives out new ones.
    """

    project: Project
    model: str
    store: TrackingStore
    own_ids: bool

    def restore(self, entries: list[RestoreEntry], chain: Chain) -> Json:
        """Raises UserError where a version names a receipt that is gone: nothing follows what is left."""
        if lost := [finding.message for finding in last_evidence(self.project, chain, None, {})]:
            raise UserError(
                f"{lost[0]}, so nobody can say who stands where.\nCure: `predictflow audit` tells what helps."
            )
        runs: list[Json] = []
        incomplete: list[Json] = []
        with tempfile.TemporaryDirectory() as folder:
            for entry in track(entries, len(entries), "restoring", most=1):
                made, lacking = self._restore_runs(entry, Path(folder, entry.content))
                runs += made
                if lacking:
                    about = {"content": entry.content, "commit": entry.commit.sha, "version": entry.number}
                    incomplete.append(about | {"lacking": lacking})
        self.project.forget_store()
        lacking_files = {about["content"] for about in incomplete}
        again = {entry.content for entry in entries if entry.registered is not None} - lacking_files
        replaced = [] if self.own_ids else delete_lost(self.project, self.store, self.model, again)
        renumbering = self._renumber(entries)
        versions = self._restore_versions(entries, lacking_files, renumbering)
        self.project.forget_store()
        stages = self._restore_stages(entries, chain)
        receipted = {entry.content for entry in entries if entry.receipts}
        self.project.forget_store()
        follow(self.project, chain)
        return {
            "runs": runs,
            "incomplete": incomplete,
            "replaced": replaced,
            "renumbered": [{"from": old, "to": new} for old, new in sorted(renumbering.changes.items())],
            "versions": [
                {
                    "version": name,
                    "content": content,
                    "stage": stages.get(name, "None"),
                    "own_number": self.own_ids and content in receipted,
                }
                for name, content in versions.items()
            ],
        }

    def _restore_runs(self, entry: RestoreEntry, top: Path) -> tuple[list[Json], list[str]]:
        """The runs of a model, from the files that are recorded of it, as far as those are here: the runs
        that were made, and the files that are lacking.

        Args:
            top: the folder to lay the files out in; it is gone afterwards.
        """
        lacking = recovery.lay_out(self.project, entry, top)
        made = []
        for experiment in entry.runs:
            run = recovery.run_of(self.project.runs.get(entry.content, []), experiment)
            run_id = run.id if run else self._new_run(entry, experiment)
            if not lacking:
                with contextlib.chdir(top):
                    complete(self.store, run_id, evaluated=MEASURED in entry.model.lock.md5s)
            elif not run:  # its params and last numbers are all that Git has of it
                numbers = (params.flat(entry.model.params), params.flat(entry.model.metrics))
                log_values(self.store, run_id, *numbers, entry.committed)
            if not run:
                own_id = self.own_ids and bool(entry.recorded(experiment))
                about = {"run": run_id, "content": entry.content, "experiment": experiment}
                made.append(about | {"own_id": own_id})
                if self.own_ids:
                    ended = entry.recorded(experiment).get("ended") or entry.committed
                    mlflow_tables.date_metrics(tracking_uri(), run_id, ended)
        shutil.rmtree(top, ignore_errors=True)
        return made, lacking

    def _new_run(self, entry: RestoreEntry, experiment: str | None) -> str:
        recorded = entry.recorded(experiment)
        began = recorded.get("began") or entry.committed
        ended = recorded.get("ended") or began
        parents = entry.commit.parents
        baseline = self.project.history.commits[parents[0]].sha if parents else None
        tags = recovery.tags_of(entry, experiment, baseline)
        # Of a model whose provenance.json was never committed there are no params.
        family = entry.model.params.get("train", {}).get("model")
        name = recorded.get("name") or experiment or family or entry.content
        noted = recorded.get("params") or {}  # also those that only the training could note
        client, experiment_id = self.store.client, self.store.experiment_id
        if self.own_ids:
            record = mlflow_tables.RunRecord(
                run_id=recorded.get("id") or uuid.uuid4().hex,
                name=name,
                experiment=experiment_id,
                artifacts=client.get_experiment(experiment_id).artifact_location,
                began=began,
                ended=ended,
                tags=tags,
                params=noted,
            )
            mlflow_tables.add_run(tracking_uri(), record)
            return record.run_id
        run_id = client.create_run(experiment_id, began, tags, name).info.run_id
        for key, value in noted.items():
            client.log_param(run_id, key, value)
        client.set_terminated(run_id, "FINISHED", ended)
        return run_id

    def _renumber(self, entries: list[RestoreEntry]) -> Renumbering:
        """Give the versions that are there the receipts' numbers; a server's stay as they are."""
        if not self.own_ids:
            return Renumbering((), {}, {}, [])
        held = {version.number: version.content for version in versions_of(self.project, self.model)}
        receipted = {entry.content: entry.receipts[0].version for entry in entries if entry.receipts}
        order = [entry.content for entry in entries if entry.registered is not None]
        taken = mlflow_tables.numbers(tracking_uri(), self.model)
        renumbering = Renumbering(taken, held, receipted, order)
        mlflow_tables.renumber(tracking_uri(), self.model, renumbering.changes)
        return renumbering

    def _restore_versions(
        self, entries: list[RestoreEntry], incomplete: set[str], renumbering: Renumbering
    ) -> dict[str, str]:
        """{name: content} of the versions that were not there, and are now."""
        there = {version.content for version in versions_of(self.project, self.model)}
        rebuilds = read_rebuilds(self.project.repository, self.project.chain(self.model))
        versions = {}
        for entry in entries:
            if entry.registered is None or entry.content in there:
                continue
            if entry.content in incomplete and not entry.receipts:
                continue  # nobody could load it, and no receipt asks for it; its number stays free
            tags, text = _described(entry)
            if newest := newest_verdict(rebuilds, entry.content):
                tags[mlflow_entities.REBUILT_TAG] = f"{newest[0]} {moment(newest[1])}"
            runs = self.project.runs[entry.content]
            run = next((run for run in runs if run.id == entry.recorded_run.get("id")), runs[0])
            registered = registry.register(self.store, self.model, entry.content, run.id, tags, text)
            made = int(registered.version)
            number = renumbering.numbers.get(entry.content, made)
            if self.own_ids:
                mlflow_tables.date_version(tracking_uri(), self.model, made, entry.registered)
                mlflow_tables.renumber(tracking_uri(), self.model, {made: number})
            versions[f"{self.model}/{number}"] = entry.content
        return versions

    def _restore_stages(self, entries: list[RestoreEntry], chain: Chain) -> dict[str, str]:
        """{version: the stage that it was put in}, of those that were in none; who was in Staging all the
        time stays there."""
        stages = recovery.registry_stages(entries, chain)
        versions = versions_of(self.project, self.model)
        occupied = any(version.stage == RegistryStage.STAGING for version in versions)
        put = {}
        for version in versions:
            stage = stages.get(version.content or "", "None")
            if version.stage != "None" or stage == "None":
                continue
            if stage == RegistryStage.STAGING and occupied:
                stage = "Archived"
            registry.move(self.store, self.model, str(version.number), stage)
            put[version.name] = stage
        return put


def _described(entry: RestoreEntry) -> tuple[dict[str, str], str]:
    """The tags and the description of a version: its receipts', else as register writes them."""
    from stages import register
    from stages.tracking import provenance

    model = entry.model
    md5s = {f"{MD5_PREFIX}{path}": md5 for path, md5 in model.md5s.items()}
    if entry.receipts:
        last = entry.receipts[-1]
        tags = last.body["tags"] | md5s
        tags[mlflow_entities.VERSION_TAG] = f"v{last.version}.0.0"
        tags[mlflow_entities.RECEIPT_TAG] = last.name
        return tags, last.body["description"]
    tags = md5s | {mlflow_entities.COMMIT_TAG: entry.commit.sha, mlflow_entities.DIRTY_TAG: "false"}
    if entry.experiments and not entry.on_branch:
        tags[mlflow_entities.EXPERIMENT_TAG] = entry.experiments[0]
    recorded = provenance.Provenance(entry.content, model.md5s, model.params)
    head = register.headline(model.params["train"]["model"], model.metrics, model.prepared)
    return tags, f"{head}\n\n{describe(recorded, model.prepared, tags, 'registered')}"
