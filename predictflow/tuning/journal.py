"""A study on the disk: Optuna's own journal file, which holds finished trials alone, in their order.

A trial becomes one line when it has ended; one that was killed leaves nothing, and is begun again.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from predictflow.formatting import Json, some_of
from predictflow.tuning.space import Direction
from stages.support.errors import UserError
from stages.support.files import atomic_write
from stages.tracking.store import root

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FOLDER = Path("mlflow_data/studies")


class Journal:
    """A study that was begun.

    Attributes:
        number: of the study in this project, from 1.
        record: what was known when it began: `id`, `inputs` (predictflow/tuning/inputs.py) and `today`, the
            params of that day with their scores.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file cannot be read as a study."""
        self.path, self.number = path, int(path.stem)
        cut_torn_line(path)
        try:
            self._study = _load(path)
            self.record: Json = self._study.user_attrs
            self.trials: list[FrozenTrial] = list(self._study.get_trials(deepcopy=False))
        except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} is not the journal of a study, or is damaged: {error!r}\n"
                "Cure: `predictflow tune --new` begins another study; this file stays as it is."
            ) from error

    def add(self, trial: "FrozenTrial") -> None:
        """Write a finished trial: its number is its place."""
        self._study.add_trial(trial)
        self.trials.append(trial)


def _storage(path: Path) -> "optuna.storages.JournalStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    # Optuna's own lock, left by a kill, would be waited for; `hold_lock` has made sure that it is nobody's.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


def _load(path: Path) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=None, storage=_storage(path))


@contextmanager
def hold_lock(project: Path | None = None) -> Iterator[Path]:
    """The folder of the studies, while no other command can write to one of them.

    Raises UserError where another one is at work.
    """
    from filelock import FileLock, Timeout

    folder = (project or root()) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield folder
    except Timeout:
        raise UserError(
            "another `predictflow tune` is at work in this project.\n"
            "Cure: wait until it ends; --jobs lets one command try several settings at the same time."
        ) from None


def newest(folder: Path) -> Journal | None:
    """The study that was begun last; None before the first one."""
    known = numbers(folder)
    return find(folder, known[-1]) if known else None


def find(folder: Path, number: int) -> Journal:
    """A study by its number. Raises UserError where there is none."""
    known = numbers(folder)
    if number not in known:
        raise UserError(
            f"there is no study {number}, but {some_of([str(one) for one in known]) or 'none at all'}.\n"
            "Cure: `--study` with one of these; `predictflow tune` begins one."
        )
    return Journal(_path(folder, number))


def begin(folder: Path, direction: Direction, inputs: Json, today: Json) -> Journal:
    """Begin another study: its file is there whole, or not at all."""
    import optuna

    path = _path(folder, max(numbers(folder), default=0) + 1)
    with atomic_write(path) as temporary:
        temporary.unlink(missing_ok=True)
        name = f"study {path.stem}"
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(storage=_storage(temporary), study_name=name, direction=direction)
        for key, value in {"id": uuid.uuid4().hex, "inputs": inputs, "today": today}.items():
            study.set_user_attr(key, value)
    return Journal(path)


def numbers(folder: Path) -> Sequence[int]:
    """Of the studies that were begun, the first one first."""
    return sorted(int(path.stem) for path in folder.glob("*.journal") if path.stem.isdigit())


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.journal"


def cut_torn_line(path: Path) -> None:
    """Take away what stands after the last line feed: a full disk or a power cut has left half a line, and
    Optuna would add the next trial to it."""
    with path.open("r+b") as file:
        whole = file.read()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            file.truncate(end)
