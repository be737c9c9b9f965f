"""One model made again from its commit: in a worktree, an environment and a store of its own.

Nothing of it stays: DVC does not put what it makes into any cache (--no-commit), and of the user's own cache
only an object that had to be fetched is new.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictflow.adapters import dvc_files, dvc_storage, git_worktree, processes
from predictflow.adapters.dvc_files import (
    CUSTOMERS,
    CUSTOMERS_FOLDER,
    DVC_LOCK,
    MODEL,
    POINTERS,
    REQUIREMENTS,
    TEST,
    Lockfile,
)
from predictflow.adapters.processes import Children
from predictflow.errors import CouldNotTell, Unreachable
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.reproduction import environments, verdict
from predictflow.reproduction.inputs import differing_inputs, read_stages
from predictflow.reproduction.verdict import Predictions, Verdict
from stages.support import environment, hashes
from stages.support.errors import UserError

RUNNING = re.compile(r"^Running stage '([^']*)'", re.MULTILINE)
HERE = Path(__file__).parents[2]  # where `import predictflow` finds this code
REPRO = ("repro", "--force", "--no-run-cache", "--no-commit", "evaluate")

Tell = Callable[[str], None]


class Failed(CouldNotTell):
    """A model that could not be made again, and which of its inputs differ."""

    def __init__(self, message: str, inputs: list[Json]) -> None:
        super().__init__(message)
        self.inputs = inputs


@dataclass(frozen=True)
class RebuiltModel:
    """A model that was made again.

    Attributes:
        requirements: the md5 of the requirements.lock that it was made with.
        machine: what it was made on; empty where that could not be told.
        unseen: what could not be compared, each with its reason.
    """

    verdict: Verdict
    requirements: str
    machine: dict[str, str]
    unseen: list[str]


def rebuild(
    project: Project, commit: str, machine: dict[str, str], current: bool, running: Children, tell: Tell
) -> RebuiltModel:
    """Make the model of a commit again; several may be made at once, each in a thread.

    Args:
        machine: what it was made on, as far as that was recorded.
        current: in today's environment, not in that of the commit.
        tell: is told each step.

    Raises CouldNotTell where it cannot be made, and Stopped.
    """
    tell("checkout")
    with git_worktree.checked_out(project.repository, commit, running) as folder:
        return _Rebuild(folder, project, running).make(machine, current, tell)


class _Rebuild:
    """One rebuild, in a scratch folder: the worktree in project/, and all else beside it."""

    def __init__(self, folder: Path, project: Project, running: Children) -> None:
        self._folder, self._project, self._log = folder, folder / git_worktree.PROJECT, folder / "log"
        self._repository, self._storage, self._running = project.repository, project.storage, running
        self._root = project.repository.require_root()
        self._prefix = Path(sys.prefix)

    def make(self, machine: dict[str, str], current: bool, tell: Tell) -> RebuiltModel:
        if not (self._project / DVC_LOCK).is_file():
            raise CouldNotTell(f"the commit has no {DVC_LOCK}.\nCure: name a commit that holds a model.")
        text = (self._project / DVC_LOCK).read_bytes()
        recorded = read_stages(text)
        tell("data")
        self._bring_customers(dvc_files.parse_lock(text))
        if current:
            self._take_todays_lock(verdict.read_inputs(recorded)[0].get(REQUIREMENTS))
        else:
            tell("environment")
            self._prefix = environments.make(self._root, self._project, self._running, self._log)
        unseen: list[str] = []
        found_on: dict[str, str] = {}
        try:
            found_on = self._ask("machine")
        except Unreachable as error:
            unseen.append(f"the machine: {error}")
        inputs = differing_inputs(self._repository, self._project, recorded, machine, found_on)
        rebuilt = self._run(tell, inputs)
        predictions = None
        if rebuilt != recorded:
            tell("predictions")
            try:
                predictions = self._predictions(text, recorded, rebuilt)
            except Unreachable as error:
                unseen.append(f"the predictions: {error}")
        decided = verdict.decide(recorded, rebuilt, inputs, predictions)
        return RebuiltModel(decided, hashes.md5(self._project / REQUIREMENTS), found_on, unseen)

    # --- What it is made from ---

    def _bring_customers(self, lock: Lockfile) -> None:
        """The customers of the commit, from the cache, the working tree or the remote."""
        name = CUSTOMERS_FOLDER if CUSTOMERS_FOLDER in lock.md5s else CUSTOMERS
        pointer = self._project / POINTERS[name]
        md5 = dvc_files.parse_pointer(pointer.read_bytes()) if pointer.is_file() else ""
        if not md5:
            raise CouldNotTell(
                f"the commit has no {POINTERS[name]} that names its customers.\nCure: `dvc add {name}`."
            )
        try:
            files = self._customers(name, md5)
            if files is None:
                self._fetch(POINTERS[name])
                files = self._customers(name, md5)
        except Unreachable as error:
            raise CouldNotTell(f"{error}\nCure: mend .dvc/config.") from error
        if files is None:
            raise CouldNotTell(
                f"{name} (md5 {md5}) is neither in DVC's cache nor on its remote:\n"
                f"{processes.end_of(self._log)}\n"
                "Cure: `dvc push --all-commits` where it is, or bring it into data/ and `dvc add` it."
            )
        for path, held in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(held, path)

    def _customers(self, name: str, md5: str) -> dict[Path, Path] | None:
        """{their place in the worktree: where the same bytes lie}; None where they are not all here.

        Raises Unreachable where there is no cache.
        """
        place, here = self._project / name, self._root / name
        held = self._storage.files_of(md5)
        if held is None:
            held = dvc_storage.files_at(here, md5)
        return None if held is None else {place / path: file for path, file in held.items()}

    def _fetch(self, *targets: str) -> None:
        """`dvc fetch` into the user's own cache, with the user's own remotes and passwords."""
        dvc_storage.take_settings_of(self._root, self._project)
        words = [str(Path(sys.prefix, "bin/dvc")), "fetch", *targets]
        self._running.run(words, self._project, self._environ(Path(sys.prefix)), self._log)

    def _take_todays_lock(self, recorded: str | None) -> None:
        """Today's requirements.lock, where today's packages are not those of the commit: its stages would
        refuse to run. One that is not what dvc.lock names stays, to be found."""
        lock = self._project / REQUIREMENTS
        if lock.is_file() and hashes.md5(lock) == recorded:
            try:
                environment.check(lock)
            except UserError:
                shutil.copyfile(self._root / REQUIREMENTS, lock)

    # --- How it is made ---

    def _environ(self, prefix: Path) -> dict[str, str]:
        env = processes.environ()
        return env | {
            "PATH": f"{prefix / 'bin'}{os.pathsep}{env.get('PATH', '')}",
            "VIRTUAL_ENV": str(prefix),
            "DVC_SITE_CACHE_DIR": str(self._folder / "site"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self._folder / 'mlflow/mlflow.db'}",
        }

    def _run(self, tell: Tell, inputs: list[Json]) -> Json:
        """`dvc repro`; the stages that it has written into dvc.lock."""
        dvc_storage.take_cache(self._folder / "cache", self._project)

        def watch() -> None:
            stages = RUNNING.findall(self._log.read_text(encoding="utf-8", errors="replace"))
            tell(stages[-1] if stages else "pipeline")

        words = [str(self._prefix / "bin/dvc"), *REPRO]
        if self._running.run(words, self._project, self._environ(self._prefix), self._log, watch):
            raise Failed(
                f"its pipeline failed:\n{processes.end_of(self._log)}\n"
                "Cure: what it says; `--env current` where the environment is to blame.",
                inputs,
            )
        return read_stages((self._project / DVC_LOCK).read_bytes())

    def _ask(self, *words: str) -> Any:
        """What the probe answers, with the packages of the rebuild. Raises Unreachable."""
        log = self._folder / "asked"
        log.unlink(missing_ok=True)
        env = self._environ(self._prefix) | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
        python = [str(self._prefix / "bin/python"), "-m", "predictflow.reproduction.probe"]
        code = self._running.run([*python, *words], self._folder, env, log)
        said = log.read_text(encoding="utf-8", errors="replace").splitlines() or ["no answer"]
        if code:
            raise Unreachable(said[-1])
        return json.loads(said[-1])

    # --- What came of it ---

    def _predictions(self, text: bytes, recorded: Json, rebuilt: Json) -> Predictions:
        """How far the two models' probabilities of the recorded test customers are from each other.

        Raises Unreachable where the recorded ones are not to be had, or cannot be scored.
        """
        before, after = verdict.outs(recorded), verdict.outs(rebuilt)
        if before.get(MODEL) == after.get(MODEL):
            return Predictions(None, 0.0)
        if missing := sorted({MODEL, TEST} - before.keys()):
            raise Unreachable(f"{DVC_LOCK} does not name {' and '.join(missing)}")
        try:
            self._lay_out(before)
        except Unreachable:
            (self._project / DVC_LOCK).write_bytes(text)  # which names what is to be fetched
            self._fetch(MODEL, TEST)
            self._lay_out(before)
        folders = (self._folder / "recorded", self._project / MODEL)
        return Predictions(**self._ask("difference", str(self._folder / "test.parquet"), *map(str, folders)))

    def _lay_out(self, outs: dict[str, str]) -> None:
        """The recorded model in recorded/, and its test customers beside it. Raises Unreachable."""
        shutil.copyfile(self._held(TEST, outs[TEST]), self._folder / "test.parquet")
        for entry in json.loads(self._held(MODEL, outs[MODEL]).read_bytes()):
            path = self._folder / "recorded" / entry["relpath"]
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._held(f"{MODEL}/{entry['relpath']}", entry["md5"]), path)

    def _held(self, path: str, md5: str) -> Path:
        held = self._storage.cached(md5)
        if held is None:
            raise Unreachable(
                f"{path} as it was recorded (md5 {md5}) is neither in DVC's cache nor on its remote"
            )
        if not dvc_storage.right_file(held, md5):
            raise Unreachable(f"{path} (md5 {md5}) is damaged in DVC's cache (`rm {held}`, then `dvc fetch`)")
        return held
