"""What a promotion is decided from: the version as the registry, Git, MLflow's files and DVC each have it.

The code that lies in a model's folder is run to score customers, but only where every file of the folder is
what provenance.json in Git says.
"""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from predictflow.adapters.dvc_files import TEST
from predictflow.adapters.mlflow_entities import Version
from predictflow.errors import Unreachable
from predictflow.ledger.rebuilds import fetch_rebuilds, newest_verdict, read_rebuilds
from predictflow.lineage.history import Model
from predictflow.lineage.project import Project
from predictflow.promotion.policy import Comparison, Evidence, Settings
from predictflow.verification.content import ContentCheck, copy_from_cache, held_in_cache, recorded_model
from stages.data import customer_index
from stages.support import hashes
from stages.support.paths import MODEL_FOLDER, TRAIN_INDEX
from stages.tracking.registry import RegistryStage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

OF_DATA = "data/"


def gather_evidence(project: Project, version: Version, stage: str, settings: Settings) -> Evidence:
    """The evidence on a version that is to take a stage.

    Args:
        stage: production or staging. The champion is who is in Production, whichever is asked for: what
            register has put in Staging was not promoted by anybody.

    MLflow's files are looked into where they lie, or downloaded from there; where neither can be done,
    `project.unseen` says so.
    """
    check = ContentCheck(project, version)
    model, commit = check.model, check.commit
    disagreements = [mismatch.message for mismatch in check.mismatches()]
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
        content=version.content,
        commit=commit,
        files=len(model.files) if model else 0,
        disagreements=disagreements,
        metrics=model.metrics if model else {},
        missing=missing,
        remote_unseen=remote_unseen,
        comparison=_comparison(project, version, settings, bool(disagreements)),
        rebuilt=None if settings.rebuilt_within_days is None else _rebuilt(project, version),
    )


def _rebuilt(project: Project, version: Version) -> tuple[str, float] | None:
    """The verdict of a version's last rebuild, and how many days ago; None where nobody has rebuilt it."""
    project.look(lambda: fetch_rebuilds(project.repository, version.model), None)
    newest = newest_verdict(read_rebuilds(project.repository, project.chain(version.model)), version.content)
    return newest and (newest[0], (time.time() - newest[1]) / 86_400)


def _not_on_remote(project: Project, model: Model) -> list[str]:
    """The paths of data and model that the default remote lacks. Raises Unreachable."""
    folder = MODEL_FOLDER.as_posix()
    wanted = {path: md5 for path, md5 in model.md5s.items() if path.startswith((OF_DATA, folder))}
    if folder in model.lock.md5s:
        wanted[folder] = model.lock.md5s[folder]
    there = project.storage.on_remote(wanted.values(), True)
    return sorted(path for path, md5 in wanted.items() if md5 not in there)


def _comparison(project: Project, version: Version, settings: Settings, doubtful: bool) -> Comparison | None:
    """Champion against challenger, as far as they can be compared; None where there is no champion."""
    chain = project.chain(version.model)
    receipt = chain.standing().get(RegistryStage.PRODUCTION.alias)
    inside = [
        other
        for other in project.versions
        if other.model == version.model and other.stage == RegistryStage.PRODUCTION
    ]
    names = " and ".join(other.name for other in inside) or "no version"
    if receipt and receipt.content == version.content:
        return Comparison(version.name, version.content, same=True)
    if chain.receipts and [other.content for other in inside] != ([receipt.content] if receipt else []):
        meant = f"the receipts have version {receipt.version}" if receipt else "the receipts have no version"
        why_not = f"MLflow has it in Production, {meant} there (`predictflow audit --fix` mends that)"
        return Comparison(names, why_not=why_not)
    if not inside:
        return None
    if len(inside) > 1:
        why_not = "Production holds one version at a time, and all of these are in it"
        return Comparison(names, why_not=why_not)
    (champion,) = inside
    if version.content is not None and champion.content == version.content:
        return Comparison(names, champion.content, same=True)
    if doubtful:
        return Comparison(names, why_not=f"the content of {version.name} is in doubt, so its code is not run")
    try:
        return _compare(project, version, champion, settings)
    except Unreachable as error:
        return Comparison(names, why_not=str(error))


def _compare(project: Project, version: Version, champion: Version, settings: Settings) -> Comparison:
    """Raises Unreachable where one of them cannot score the challenger's test customers."""
    new, old = recorded_model(project, version.content or ""), recorded_model(project, champion.content or "")
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

    from predictflow.promotion.challenge import compare_auc

    auc = compare_auc(
        target,
        _scores(project, version, new, rows),
        _scores(project, champion, old, rows),
        settings.confidence,
        settings.resamples,
        settings.seed,
    )
    return Comparison(
        champion.name,
        champion.content,
        customers=len(target),
        positives=int(target.sum()),
        left_out=left_out,
        champion_roc_auc=auc.champion,
        challenger_roc_auc=auc.challenger,
        difference=auc.difference,
        low=auc.low,
        high=auc.high,
    )


def _test_customers(project: Project, model: Model) -> "pd.DataFrame":
    """The customers that a model was tested on, as prepare has cleaned them."""
    import pandas as pd

    md5 = model.md5s[TEST]
    here = Path(TEST)
    if project.storage.cached(md5) is None and here.is_file() and hashes.md5(here) == md5:
        return pd.read_parquet(here)
    return pd.read_parquet(held_in_cache(project, TEST, md5))


def _learned(project: Project, champion: Version, model: Model, ids: list[str]) -> "np.ndarray":
    """Which customers the champion has learned from, bool (n,), by its own index and its own salt."""
    import numpy as np

    path = TRAIN_INDEX.as_posix()
    salt = model.params["prepare"].get("id_salt")
    if not salt or path not in model.md5s:
        raise Unreachable(f"{champion.name} was made before there was an index of whom a model learned from")
    index = held_in_cache(project, path, model.md5s[path]).read_bytes()
    size = customer_index.RECORD
    learned = {index[at : at + size] for at in range(0, len(index), size)}
    return np.array([digest in learned for digest in customer_index.digests(ids, salt)])


def _scores(project: Project, version: Version, model: Model, rows: "pd.DataFrame") -> "np.ndarray":
    """The probabilities that a version's own folder gives, float64 (n,)."""
    from predictflow.scoring.model import Unscorable, scorer

    with tempfile.TemporaryDirectory() as folder:
        copy_from_cache(project, model, Path(folder))
        try:
            return scorer(Path(folder))(rows)
        except Unscorable as error:
            raise Unreachable(f"{version.name} cannot score them: {error}") from error
