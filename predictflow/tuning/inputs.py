"""What a study stands on: data, code and space. It is never resumed over others."""

import json
from hashlib import md5
from importlib import metadata
from pathlib import Path

import predictflow
import stages
from predictflow.formatting import Json, some_of
from predictflow.tuning.space import Space
from stages.support import files, hashes
from stages.support.errors import UserError
from stages.support.paths import PREPARED, REQUIREMENTS, TRAIN

# The files that decide what a trial draws and scores.
CODE = {
    stages: ("data/split.py", "model/*.py"),
    predictflow: ("tuning/folds.py", "tuning/space.py", "tuning/sweep.py"),
}


def read(space: Space) -> Json:
    """{"data" | "code" | "space": {name: md5, version or value}}.

    Raises UserError where the training customers are not here, or not those that prepare has written.
    """
    return {"data": _data(), "code": _code(), "space": _plain(space.as_json())}


def _data() -> Json:
    try:
        prepared, found = files.read_json(PREPARED)["md5"], hashes.md5s(TRAIN)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is not here.\nCure: `dvc repro prepare`.") from None
    path = TRAIN.as_posix()
    if prepared.get(path) != found[path]:
        raise UserError(f"{path} is not what {PREPARED} tells of.\nCure: `dvc repro prepare`.")
    return found


def _code() -> Json:
    found = {}
    for package, patterns in CODE.items():
        top = Path(str(package.__file__)).parent
        for path in sorted(path for pattern in patterns for path in top.glob(pattern)):
            found[path.relative_to(top.parent).as_posix()] = hashes.md5(path)
    return found | hashes.md5s(REQUIREMENTS) | {"optuna": metadata.version("optuna")}


def _plain(value: Json) -> Json:
    """The same as JSON reads it back."""
    return json.loads(json.dumps(value))


def md5s(inputs: Json) -> dict[str, str]:
    """{"data" | "code" | "space": md5} of all that it holds."""
    return {kind: md5(json.dumps(held, sort_keys=True).encode()).hexdigest() for kind, held in inputs.items()}


def ensure_same(number: int, then: Json, now: Json) -> None:
    """Raise UserError naming what differs between what a study began with and what lies here."""
    differing = [f"{kind}: {some_of(names)}" for kind in then if (names := _differing(then[kind], now[kind]))]
    if differing:
        raise UserError(
            f"study {number} was begun with other inputs than those here, so its trials would not compare:\n"
            + "\n".join(f"  {line}" for line in differing)
            + "\nCure: bring these back as they were, or `predictflow tune --new` begins another study."
        )


def _differing(then: Json, now: Json) -> list[str]:
    return [name for name in sorted(then | now) if then.get(name) != now.get(name)]
