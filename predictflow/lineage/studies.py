"""Which study has chosen the params of a model: MLflow's word, for Git holds no study."""

from collections.abc import Mapping
from hashlib import md5
from typing import Any

from predictflow.adapters.mlflow_entities import CHOICE_TAG, MD5_PREFIX, STUDY_TAG
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from stages.support.paths import TRAIN

MODEL = "train.model"
OF_DATA = f"{MD5_PREFIX}{TRAIN.as_posix()}"


def choice_md5(params: Mapping[str, Any]) -> str:
    """The md5 of a model's name and settings, out of params by their dotted names; a run of MLflow's, which
    holds every value as text, gives the same."""
    mine = (MODEL, f"models.{params[MODEL]}.")
    lines = (f"{name}={value}" for name, value in sorted(params.items()) if name.startswith(mine))
    return md5("\n".join(lines).encode()).hexdigest()


def study_entries(project: Project, params: Mapping[str, Any], md5s: Mapping[str, str]) -> list[Json]:
    """The studies whose best trial has these params, on the same training customers; the newest first."""
    studies = project.store.studies()
    if not studies or MODEL not in params:
        return []
    wanted = {CHOICE_TAG: choice_md5(params), OF_DATA: md5s.get(TRAIN.as_posix())}
    return [
        {"id": study.tags[STUDY_TAG], "name": study.name, "run": study.id, "metrics": study.metrics}
        for study in studies
        if wanted.items() <= study.tags.items()
    ]
