"""MLflow's runs and versions as values, the tags that join them, and what any store can be asked."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from stages.tracking.store import CONTENT_TAG, MD5_PREFIX, PROCESS_TAGS, RESTORED_TAG

EXPERIMENT_TAG, COMMIT_TAG, DIRTY_TAG = "dvc.exp_name", "git.commit", "git.dirty"
STUDIES_TAG = "predictflow.studies"  # of an experiment that holds studies, and no training
STUDY_TAG = "predictflow.study"  # of a study's run and of those of its trials: the study's id
CHOICE_TAG = "predictflow.choice"  # of a study's run: the md5 of the params that it has chosen so far
TAGS = (CONTENT_TAG, RESTORED_TAG, EXPERIMENT_TAG, COMMIT_TAG, DIRTY_TAG, STUDY_TAG, *PROCESS_TAGS)

RUN_ID = re.compile(r"[0-9a-f]{32}")
PAGE_SIZE = 1000  # what MLflow hands out at once
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Run:
    """A run of MLflow's.

    Attributes:
        status: RUNNING, FINISHED, FAILED or KILLED.
        began, ended: milliseconds since 1970; `ended` is None while it goes on.
        tags: those of TAGS that it has.
        artifacts: the address of its files, as MLflow reads them.
        home: the address under which its experiment keeps the files of its runs.
    """

    id: str
    name: str
    status: str
    began: int
    ended: int | None
    tags: dict[str, str]
    artifacts: str
    home: str

    @property
    def content(self) -> str | None:
        """The model that it made; None for a run that made none."""
        return self.tags.get(CONTENT_TAG)

    @property
    def experiment(self) -> str | None:
        """The name of DVC's experiment."""
        return self.tags.get(EXPERIMENT_TAG)

    @property
    def restored(self) -> bool:
        """Whether it was written from the recorded files, not by the training itself."""
        return RESTORED_TAG in self.tags


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        stage: as MLflow names it: None, Staging, Production or Archived.
        registered: milliseconds since 1970.
        source: the address of its files, as MLflow reads them.
        description: in Markdown.
    """

    model: str
    number: int
    stage: str
    aliases: tuple[str, ...]
    run_id: str | None
    registered: int
    tags: dict[str, str]
    source: str
    description: str

    @property
    def name(self) -> str:
        return f"{self.model}/{self.number}"

    @property
    def content(self) -> str | None:
        return self.tags.get(CONTENT_TAG)


@dataclass(frozen=True)
class Study:
    """MLflow's run of a study that has chosen params.

    Attributes:
        tags: all of them.
        metrics: the last value of each.
    """

    id: str
    name: str
    tags: dict[str, str]
    metrics: dict[str, float]


class RunReader(Protocol):
    """What can be asked of a store. Every question may raise Unreachable."""

    where: str

    def pages(self) -> Iterator[list[Run]]:
        """All that are not deleted, the newest first, PAGE_SIZE at once: a server may hold very many.

        Those of studies and their trials are none of them."""

    def few(self) -> list[Run] | None:
        """All of them, where they are no more than a page; else None."""

    def newest(self) -> Run | None: ...

    def with_ids(self, ids: Iterable[str]) -> list[Run]:
        """Those of them with these ids."""

    def named(self, experiment: str, beginning: str | None) -> list[Run]:
        """Those of them that an experiment of DVC's made, or whose ids begin so, the newest first."""

    def runs_of(self, content: str) -> list[Run]:
        """Those of them that made a content, or tell of it, the newest first."""

    def latest(self) -> list[Run]:
        """The newest of them that the stages have written, and all that are RUNNING, the newest first."""

    def studies(self) -> list[Study]:
        """The runs of the studies that have chosen params, the newest first."""

    def trash(self, ids: Iterable[str]) -> set[str]:
        """Which of these ids are those of runs in MLflow's trash."""

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        """{run's id: all its tags}."""

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        """{run's id: its params}."""

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        """{run's id: the last value of each metric}."""

    def md5s(self, beginning: str) -> dict[str, dict[str, str]]:
        """{content: {path: md5}} of the runs and versions that name an md5, or are of a content, that begins
        so."""

    def versions(self) -> list[Version]:
        """All of every registered model, the newest first."""


def portions(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """Things, so many at once."""
    left = iter(things)
    while some := list(islice(left, size)):
        yield some


def md5s_of(tags: Mapping[str, str]) -> dict[str, str]:
    """{path: md5} of the tags of a run or a version."""
    return {tag.removeprefix(MD5_PREFIX): md5 for tag, md5 in tags.items() if tag.startswith(MD5_PREFIX)}


def md5s_by_content(tagged: Iterable[dict[str, str]], beginning: str = "") -> dict[str, dict[str, str]]:
    """{content: {path: md5}} of the tags of runs and versions, of those that name an md5 that begins so."""
    by_content: dict[str, dict[str, str]] = {}
    for tags in tagged:
        content = tags.get(CONTENT_TAG)
        md5s = md5s_of(tags)
        if content is not None and any(md5.startswith(beginning) for md5 in (content, *md5s.values())):
            by_content.setdefault(content, {}).update(md5s)
    return by_content


VERSION_TAG, RECEIPT_TAG = "predictflow.version", "predictflow.receipt"
REBUILT_TAG = "predictflow.rebuilt"
