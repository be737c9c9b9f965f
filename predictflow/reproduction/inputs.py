"""What a model is made from again, held against what its dvc.lock names."""

import hashlib
from pathlib import Path
from typing import Any

from predictflow.adapters.dvc_files import DVC_LOCK, REQUIREMENTS, parse_yaml
from predictflow.adapters.git import Repository
from predictflow.errors import CouldNotTell
from predictflow.formatting import Json
from predictflow.reproduction import verdict
from predictflow.reproduction.verdict import Inputs
from stages.support import environment, hashes
from stages.support.paths import PARAMS


def read_stages(lock: bytes) -> Json:
    """The stages of a dvc.lock. Raises CouldNotTell for one that is no YAML."""
    return _yaml(lock).get("stages") or {}


def differing_inputs(
    repository: Repository, project: Path, recorded: Json, machine: dict[str, str], found_on: dict[str, str]
) -> list[Json]:
    """The inputs in the folder `project` that are not what the stages of its dvc.lock name.

    Args:
        machine: what the model was made on, as far as that was recorded.
        found_on: the same of this machine.

    Raises CouldNotTell for a params.yaml that is no YAML.
    """
    files, params = verdict.read_inputs(recorded)
    lying = {path: md5 for path in files if (md5 := hashes.md5_of(project / path))}
    _, lying_params = verdict.read_inputs(_with_params_of(project / PARAMS, recorded))
    lock = project / REQUIREMENTS
    packages = _packages(lock.read_bytes()) if lock.is_file() else None
    recorded_packages = packages
    if lying.get(REQUIREMENTS) != files.get(REQUIREMENTS):
        recorded_packages = _packages_of(repository, files.get(REQUIREMENTS))
    return verdict.differing(
        Inputs(files, params, recorded_packages, machine), Inputs(lying, lying_params, packages, found_on)
    )


def _with_params_of(path: Path, recorded: Json) -> Json:
    """The stages of a dvc.lock with the params that a params.yaml gives them."""
    tree = _yaml(path.read_bytes()) if path.is_file() else {}
    return {
        name: {"params": {PARAMS.as_posix(): {key: _at(tree, key) for key in keys}}}
        for name, stage in recorded.items()
        for keys in stage.get("params", {}).values()
    }


def _at(tree: Any, name: str) -> Any:
    """The value of a dotted name; None where there is none."""
    for key in name.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _packages(lock: bytes) -> dict[str, str]:
    """{package: version} of a requirements.lock."""
    return environment.pins(lock.decode("utf-8", "replace").replace("\r\n", "\n"))


def _packages_of(repository: Repository, md5: str | None) -> dict[str, str] | None:
    """The packages of a requirements.lock that some commit holds; None where none does."""
    commits = repository.read("log", "--all", "--format=%H", "HEAD", "--", REQUIREMENTS).split()
    blobs = {blob for blob in repository.ids([f"{sha}:{REQUIREMENTS}" for sha in commits]) if blob}
    locks = (text for _, text in repository.blobs(sorted(blobs)))
    return next((_packages(lock) for lock in locks if hashlib.md5(lock).hexdigest() == md5), None)


def _yaml(text: bytes) -> Json:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise CouldNotTell(
            f"the commit's {DVC_LOCK} or {PARAMS} is no YAML: {error}\nCure: another commit."
        ) from None
