"""A project as the commands see it: Git's history, MLflow's store, DVC's cache and remote."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

# IMPORTS
from predictflow.adapters.dvc_storage import Storage
from predictflow.adapters.git import Repository
from predictflow.adapters.mlflow_entities import Run, RunReader, Version
from predictflow.adapters.mlflow_store import find_store
from predictflow.errors import Unreachable
from predictflow.ledger.chain import Chain, read_chain
from predictflow.lineage.history import History

# IMPORTS
from stages.support.paths import PROVENANCE

Answer = TypeVar("Answer")


class Project:
    """What can be asked, and what could not be.

    Attributes:
        start: the folder that the command was called in; paths that a person types begin there.
        unseen: what could not be looked at, each with its reason: an answer is told together with it.
    """

    def __init__(self, folder: Path, keep: bool = True) -> None:
        """Enter the project around `folder`: from here on the working directory is its top folder.

        `keep` writes the index of Git's history for the next call. Raises UserError where no project is.
        """
        self._keep = keep
        self.start = Path.cwd()
        self.repository = Repository(folder)
        os.chdir(self.repository.root or self.repository.git_folder)
        self.storage = Storage(self.repository.root)
        self.unseen: list[str] = []
        self._chains: dict[str, Chain] = {}
        self.params_at: dict[str, dict[str, Any]] = {}  # by commit: params.yaml by dotted name
        if self.repository.shallow:
            self.unseen.append("older commits: this clone is shallow (`git fetch --unshallow` brings them)")

    @cached_property
    def history(self) -> History:
        from predictflow.console import track

        return History(self.repository, track, self._keep)

    @cached_property
    def model(self) -> str | None:
        """tracking.model of params.yaml; None where that cannot be read (it is in conflict, or not there)."""
        import yaml

        root = self.repository.root
        try:
            text = (
                (root / "params.yaml").read_bytes()
                if root
                else self.repository.git("show", "HEAD:params.yaml").stdout
            )
            model = yaml.load(text, yaml.CBaseLoader)["tracking"]["model"]
            return model if isinstance(model, str) else None
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            return None

    def chain(self, model: str) -> Chain:
        """The receipts of a model."""
        if model not in self._chains:
            self._chains[model] = read_chain(self.repository, model)
        return self._chains[model]

    @cached_property
    def _store(self) -> RunReader | None:
        return self.look(find_store, None)

    @cached_property
    def runs(self) -> dict[str, list[Run]]:
        """{content: the runs that made it or tell of it, the newest first}."""
        found: dict[str, list[Run]] = {}
        for run in self.all_runs:
            if run.content:
                found.setdefault(run.content, []).append(run)
        return found

    @cached_property
    def all_runs(self) -> list[Run]:
        return self.ask_store(lambda store: store.runs(), [])

    @cached_property
    def versions(self) -> list[Version]:
        return self.ask_store(lambda store: store.versions(), [])

    @cached_property
    def versions_with(self) -> dict[str | None, list[Version]]:
        """{content: its versions, the newest first}; under None those that carry no content."""
        found: dict[str | None, list[Version]] = {}
        made_by = {run.id: run.content for run in self.all_runs}
        for version in self.versions:  # one registered by other means is known by its run
            found.setdefault(version.content or made_by.get(version.run_id), []).append(version)
        return found

    @cached_property
    def md5s(self) -> dict[str, dict[str, str]]:
        """{content: {path: md5}} as the runs and versions tell it."""
        return self.ask_store(lambda store: store.md5s(), {})

    @cached_property
    def in_store(self) -> dict[str, dict[str, set[str]]]:
        """{md5: {path: contents}} as the runs and versions name them: also models that no commit holds."""
        found: dict[str, dict[str, set[str]]] = {}
        for content, md5s in self.md5s.items():
            for path, digest in [*md5s.items(), (PROVENANCE.as_posix(), content)]:
                found.setdefault(digest, {}).setdefault(path, set()).add(content)
        return found

    def forget_receipts(self) -> None:
        """Read the receipts anew from now on: some were fetched or written."""
        self._chains.clear()

    def forget_store(self) -> None:
        """Ask the store anew from now on: it was written to."""
        for name in ("_store", "runs", "all_runs", "versions", "versions_with", "md5s", "in_store"):
            self.__dict__.pop(name, None)

    def ask_store(self, question: Callable[[RunReader], Answer], otherwise: Answer) -> Answer:
        """What the store answers; `otherwise` where it can't, which is noted."""
        if self._store is None:
            return otherwise
        return self.look(lambda: question(self._store), otherwise)

    def look(self, question: Callable[[], Answer], otherwise: Answer) -> Answer:
        """What a question yields; `otherwise` where what it looks at is out of reach, which is noted."""
        try:
            return question()
        except Unreachable as error:
            if str(error) not in self.unseen:
                self.unseen.append(str(error))
            return otherwise
