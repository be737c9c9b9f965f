"""A project as the commands see it: Git's history, MLflow's store, DVC's cache and remote."""

import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from predictflow.adapters.dvc_files import DVC_LOCK, DVC_YAML, parse_params
from predictflow.adapters.dvc_storage import Storage
from predictflow.adapters.git import Repository
from predictflow.adapters.git_status import is_rebasing
from predictflow.adapters.mlflow_entities import Run, Version, md5s_by_content
from predictflow.errors import CouldNotTell
from predictflow.ledger.chain import Chain
from predictflow.ledger.proof import read_proven
from predictflow.lineage.gaps import ForgivingStore, Gaps
from predictflow.lineage.history import History
from predictflow.lineage.runs import READING, Runs
from stages.support.errors import UserError
from stages.support.paths import PARAMS, PROVENANCE
from stages.support.progress import progress

REGISTERED = re.compile(r"(.+)@v\d+\.\d+\.\d+")  # a receipt that registers a version, as GTO names it
OF_STORE = ("store", "runs", "_registry", "versions_with", "_in_store")


def _holds(repository: Repository, path: Path | str) -> bool:
    """Whether a file is in the working tree or in HEAD."""
    if repository.root and (repository.root / path).exists():
        return True
    return repository.ids([f"HEAD:{path}"]) != [None]


class Project:
    """What can be asked, and what could not be.

    Attributes:
        start: the folder that the command was called in; paths that a person types begin there.
        gaps: what could not be looked at: an answer is told together with it.
        unseen: the same, each with its reason.
        look: what a question yields, or the gap noted and another value instead.
        store: MLflow's; what it cannot tell is a gap.
    """

    def __init__(
        self, repository: Repository, start: Path, *, by_index: bool = False, keep: bool = True
    ) -> None:
        """`by_index` finds by the index of Git's history, as is right where nothing is decided or written;
        `keep` writes it for the next call."""
        self._by_index, self._keep = by_index, keep
        self.start, self.repository = start, repository
        self.storage = Storage(repository.root)
        self.gaps = Gaps()
        self.unseen, self.look = self.gaps.reasons, self.gaps.look
        self._chains: dict[str, Chain] = {}
        self._params: dict[str, dict[str, Any]] = {}
        if repository.shallow:
            self.gaps.note("older commits: this clone is shallow (`git fetch --unshallow` brings them)")

    @classmethod
    def enter(cls, folder: Path, *, by_index: bool = False, keep: bool = True) -> "Project":
        """The project around `folder`: from here on the working directory is its top folder.

        Raises UserError where no project is.
        """
        start, repository = Path.cwd(), Repository(folder)
        if not any(_holds(repository, name) for name in (DVC_YAML, PARAMS, DVC_LOCK)):
            raise UserError(
                f"{repository.folder} holds no PredictFlow project: no {DVC_YAML}, {PARAMS} or {DVC_LOCK}.\n"
                "Cure: run this in the project's folder, or name it: `predictflow --repo FOLDER …`."
            )
        os.chdir(repository.folder)
        return cls(repository, start, by_index=by_index, keep=keep)

    def place(self, typed: Path) -> Path:
        """Where a path that a person types leads, in its shortest form; what lies there may be a link."""
        path = self.start / typed
        return path.parent.resolve() / path.name

    @cached_property
    def history(self) -> History:
        from predictflow.console import track

        return History(self.repository, track, self._by_index, self._keep)

    @cached_property
    def model(self) -> str | None:
        """tracking.model of params.yaml; None where that cannot be read (it is in conflict, or not there)."""
        try:
            return self.read_model()
        except CouldNotTell as error:
            self.gaps.note(f"the receipts: {str(error).splitlines()[0]}")
            return None

    def require_model(self, ask_store: bool = True) -> str:
        """The same. Raises CouldNotTell, with the reason and its cure, where it cannot be read, or where only
        other models have receipts or versions: nothing would be looked at."""
        model = self.read_model()
        if not self.chain(model).names and (others := self._other_models(model, ask_store)):
            raise CouldNotTell(
                f"tracking.model in {PARAMS} is {model}, which has no version and no receipt: those here are"
                f" of {' and '.join(others)}.\n"
                f"Cure: set tracking.model back, or `dvc repro` registers the first version of {model}."
            )
        return model

    def _other_models(self, model: str, ask_store: bool) -> list[str]:
        """The models that have receipts or versions, where this one has no version either."""
        promoted = {found[1] for ref in self.repository.refs if (found := REGISTERED.fullmatch(ref.name))}
        if not promoted and not ask_store:
            return []
        registered = {version.model for version in ForgivingStore(Gaps()).versions()}
        return [] if model in registered else sorted(promoted | registered)

    def read_model(self) -> str:
        """tracking.model. Raises CouldNotTell, with reason and cure, where params.yaml does not tell it."""
        import yaml

        root = self.repository.root
        try:
            if root is None:
                text = self.repository.read("show", f"HEAD:{PARAMS}").encode()
            else:
                text = (root / PARAMS).read_bytes()
            model = yaml.load(text, yaml.CSafeLoader)["tracking"]["model"]
        except (FileNotFoundError, UserError):
            reason, cure = f"{PARAMS} is not here", f"`git checkout -- {PARAMS}` brings it back"
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: no such day
            problem = str(error).replace('in "<byte string>", ', "")
            reason = f"{PARAMS} cannot be read: {' '.join(problem.split())}"
            cure = f"correct that line; `git diff {PARAMS}` shows what was changed"
            if self.repository.read("ls-files", "--unmerged", "--", PARAMS.as_posix()):
                begun = "rebase" if is_rebasing(self.repository) else "merge"
                reason = f"{PARAMS} is in conflict"
                cure = f"resolve it and `git {begun} --continue`, or `git {begun} --abort`"
        except (KeyError, TypeError):
            reason = f"{PARAMS} has no tracking.model"
            cure = f"`git diff {PARAMS}` shows what was changed"
        else:
            if isinstance(model, str) and model:
                return model
            reason = f"tracking.model in {PARAMS} is {model!r}, which is no name"
            cure = f"give it a text, in quotes; `git diff {PARAMS}` shows what was changed"
        raise CouldNotTell(f"{reason}.\nCure: {cure}.")

    def params_at(self, commit: str) -> dict[str, Any]:
        """{dotted name: value} of a commit's params.yaml; nothing where it has none."""
        if commit not in self._params:
            self.read_params([commit])
        return self._params[commit]

    def read_params(self, commits: Iterable[str]) -> None:
        """Read those of many commits at once, which is quicker."""
        commits = list(commits)
        blobs = self.repository.ids([f"{commit}:{PARAMS}" for commit in commits])
        texts = self.repository.blobs(sorted({blob for blob in blobs if blob}))
        params = {blob: parse_params(text) for blob, text in texts}
        self._params |= {
            commit: params.get(blob or "", {}) for commit, blob in zip(commits, blobs, strict=True)
        }

    def chain(self, model: str) -> Chain:
        """The receipts of a model."""
        if model not in self._chains:
            self._chains[model] = read_proven(self.repository, model)
        return self._chains[model]

    @cached_property
    def store(self) -> ForgivingStore:
        return ForgivingStore(self.gaps)

    @cached_property
    def runs(self) -> Runs:
        """{content: the runs that made it or tell of it, the newest first}."""
        return Runs(self.store)

    @property
    def all_runs(self) -> list[Run]:
        """Every run, the newest first: a server may have very many."""
        return [run for page in self.runs.pages() for run in page]

    @cached_property
    def _registry(self) -> tuple[list[Version], list[str]]:
        """The registered versions, and why they cannot be told, where that is so."""
        with self.gaps.collecting() as gaps:
            return self.store.versions(), gaps

    @property
    def versions(self) -> list[Version]:
        """The registered versions, of a model the newest first; none where the registry cannot be asked."""
        return self._registry[0]

    @property
    def registry_answers(self) -> bool:
        return not self._registry[1]

    def require_versions(self, cure: str = "") -> list[Version]:
        """The same. Raises CouldNotTell, with its reason and a cure, where the registry cannot be asked."""
        versions, gaps = self._registry
        if gaps:
            raise CouldNotTell("\n".join(filter(None, [f"the registry cannot be asked: {gaps[-1]}", cure])))
        return versions

    @cached_property
    def _in_store(self) -> dict[str, dict[str, dict[str, set[str]]]]:
        return {}

    @cached_property
    def versions_with(self) -> dict[str | None, list[Version]]:
        """{content: its versions, the newest first}; under None those that carry no content."""
        versions: dict[str | None, list[Version]] = {}
        for version in self.versions:
            content = version.content
            if content is None and (run := self.runs.with_id(version.run_id)):
                content = run.content  # one registered by other means is known by its run
            versions.setdefault(content, []).append(version)
        return versions

    def md5s_of(self, content: str) -> dict[str, str]:
        """{path: md5} of a content, as its runs and versions tell it."""
        of_runs = self.store.tags(self.runs.get(content, [])).values()
        tagged = [*of_runs, *(version.tags for version in self.versions)]
        return md5s_by_content(tagged).get(content, {})

    def in_store(self, beginning: str) -> dict[str, dict[str, set[str]]]:
        """{md5: {path: contents}}, of the md5s that begin so, as the runs and versions name them: also of
        models that no commit holds."""
        if beginning not in self._in_store:
            contents: dict[str, dict[str, set[str]]] = {}
            with progress(READING):
                found = self.store.md5s(beginning)
            for content, md5s in found.items():
                for path, digest in [*md5s.items(), (PROVENANCE.as_posix(), content)]:
                    if digest.startswith(beginning):
                        contents.setdefault(digest, {}).setdefault(path, set()).add(content)
            self._in_store[beginning] = contents
        return self._in_store[beginning]

    def keep_chain(self, chain: Chain) -> None:
        """Take over receipts that were read meanwhile: some were fetched or written."""
        self._chains[chain.model] = chain

    def forget_store(self) -> None:
        """Ask the store anew from now on: it was written to."""
        for name in OF_STORE:
            self.__dict__.pop(name, None)
