"""MLflow's runs and versions as values, the tags that join them, and what any store can be asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from stages.tracking.store import BEGAN, CONTENT, HOST, PID, RESTORED

EXPERIMENT, COMMIT, DIRTY = "dvc.exp_name", "git.commit", "git.dirty"
PROCESS = (HOST, PID, BEGAN)  # which one has made a run
TAGS = (CONTENT, RESTORED, EXPERIMENT, COMMIT, DIRTY, *PROCESS)
MD5 = "md5/"  # before a path, in the name of a tag
PAGE = 1000  # what MLflow hands out at once


@dataclass(frozen=True)
class Run:
    """A run of MLflow's.

    Attributes:
        status: RUNNING, FINISHED, FAILED or KILLED.
        began, ended: milliseconds since 1970; `ended` is None while it goes on.
        tags: those of TAGS that it has.
        artifacts: the address of its files, as MLflow reads them.
    """

    id: str
    name: str
    status: str
    began: int
    ended: int | None
    tags: dict[str, str]
    artifacts: str

    @property
    def content(self) -> str | None:
        """The model that it made; None for a run that made none."""
        return self.tags.get(CONTENT)

    @property
    def experiment(self) -> str | None:
        """The name of DVC's experiment."""
        return self.tags.get(EXPERIMENT)

    @property
    def restored(self) -> bool:
        """Whether it was written from the recorded files, not by the training itself."""
        return RESTORED in self.tags


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
        return self.tags.get(CONTENT)


class Store(Protocol):
    """What can be asked of a store. Every question may raise Unreachable."""

    where: str

    def runs(self) -> list[Run]:
        """All that are not deleted, the newest first."""

    def trash(self) -> set[str]:
        """The ids of the runs in MLflow's trash."""

    def tags(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        """{run's id: all its tags}."""

    def params(self, runs: Iterable[Run]) -> dict[str, dict[str, str]]:
        """{run's id: its params}."""

    def metrics(self, runs: Iterable[Run]) -> dict[str, dict[str, float]]:
        """{run's id: the last value of each metric}."""

    def md5s(self) -> dict[str, dict[str, str]]:
        """{content: {path: md5}} of all runs and versions."""

    def versions(self) -> list[Version]:
        """All of every registered model, the newest first."""


def md5s_by_content(tagged: Iterable[dict[str, str]]) -> dict[str, dict[str, str]]:
    """{content: {path: md5}} of the tags of runs and versions."""
    found: dict[str, dict[str, str]] = {}
    for tags in tagged:
        if CONTENT in tags:
            md5s = {tag.removeprefix(MD5): md5 for tag, md5 in tags.items() if tag.startswith(MD5)}
            found.setdefault(tags[CONTENT], {}).update(md5s)
    return found
