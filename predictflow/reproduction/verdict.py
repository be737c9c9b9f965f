"""The verdict on a rebuilt model: what was recorded against what came out. Nothing is looked up here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from predictflow.adapters.dvc_files import POINTERS, REQUIREMENTS
from predictflow.formatting import Json
from predictflow.ledger.rebuilds import DIFFERENT, IDENTICAL, SAME
from predictflow.lineage.sides import ALONE
from stages.support.model_settings import cpu_family_notes
from stages.support.params import flat
from stages.support.paths import PARAMS

TOLERANCE = 1e-6  # of a probability
MACHINE = {"python": "Python", "cpu": "CPU kernel", "threads": "threads", "gpu": "GPU"}
ANOTHER_DEVICE = (
    "train.device: a CPU and a GPU add up in another order, and so may two GPUs: the same predictions are the"
    " best that can come of another device"
)


@dataclass(frozen=True)
class Inputs:
    """What a model was made from.

    Attributes:
        files: {path: md5} of what a stage read and none wrote: data, code, requirements.lock.
        params: {dotted name: value}.
        packages: {package: version}; None where the lock of that md5 is not to be found.
        machine: the values of MACHINE; empty where nobody recorded them.
    """

    files: dict[str, str]
    params: Json
    packages: dict[str, str] | None = None
    machine: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """Two models' probabilities of the same test customers.

    Attributes:
        customers: how many; None where the models' files are the same, so that nobody needed to be scored.
        largest: the largest difference, from 0 to 1.
    """

    customers: int | None
    largest: float


@dataclass(frozen=True)
class Verdict:
    """How a rebuilt model compares.

    Attributes:
        grade: one of GRADES.
        entries: how many entries of dvc.lock were compared.
        differs: those that differ: `stage`, `of` (cmd, deps, params or outs), `name`, `recorded`, `found`.
        predictions: None where they were not compared.
        inputs: those that differ, the first one first: `kind`, `name`, `recorded`, `found`. One of the
            machine is listed also where it was not recorded (None), for it may be what differs.
        notes: what is known of the settings, where the CPU may be of another family than the recorded one, or
            the device another.
        learned: how the recorded model was, as `learned_by` tells.
    """

    grade: str
    entries: int
    differs: list[Json]
    predictions: Predictions | None
    inputs: list[Json]
    notes: list[str] = field(default_factory=list)
    learned: Json = field(default_factory=dict)


def decide(recorded: Json, rebuilt: Json, inputs: list[Json], predictions: Predictions | None) -> Verdict:
    """The verdict; nothing but its arguments decides it.

    Args:
        recorded, rebuilt: the stages of dvc.lock as the commit has it, and as the rebuild has written it.
        inputs: those that differ.
        predictions: None where they were not or could not be compared.
    """
    before, after = entries(recorded), entries(rebuilt)
    differs = [
        {"stage": stage, "of": of, "name": name, "recorded": before.get(key), "found": after.get(key)}
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
        for stage, of, name in [key]
    ]
    if recorded == rebuilt:
        return Verdict(IDENTICAL, len(before), [], Predictions(None, 0.0), [], learned=learned_by(recorded))
    same = predictions is not None and predictions.largest <= TOLERANCE
    notes = _notes(recorded) if _another_cpu(inputs) else []
    if any(pair["name"] in ("train.device", MACHINE["gpu"]) for pair in inputs):
        notes.append(ANOTHER_DEVICE)
    grade = SAME if same else DIFFERENT
    return Verdict(grade, len(before), differs, predictions, inputs, notes, learned_by(recorded))


def learned_by(stages: Json) -> Json:
    """Where and on what a model learned, as the stages of its dvc.lock tell: the keys of ALONE, as they
    stand under `train`."""
    params = ALONE | _of("params", stages)
    return {name.removeprefix("train."): params[name] for name in ALONE}


def _another_cpu(inputs: list[Json]) -> bool:
    """Whether the CPU is of another family (x86-64, aarch64) than the recorded one, or may be."""
    cpus = [pair for pair in inputs if (pair["kind"], pair["name"]) == ("machine", MACHINE["cpu"])]
    return any(str(pair["recorded"]).split()[:1] != str(pair["found"]).split()[:1] for pair in cpus)


def _notes(recorded: Json) -> list[str]:
    """Of a setting that keeps a model's bytes to one family of CPUs, a sentence."""
    params = recorded.get("train", {}).get("params", {}).get(PARAMS.as_posix(), {})
    blocks = {name.removeprefix("models."): block for name, block in params.items()}
    return [note for model, block in blocks.items() for note in cpu_family_notes(model, block)]


def entries(stages: Json) -> dict[tuple[str, str, str], Any]:
    """{(stage, cmd, deps, params or outs, name): md5 or value} of the stages of a dvc.lock."""
    return {(name, *key): value for name, stage in stages.items() for key, value in _entries(stage)}


def _entries(stage: Json) -> Iterator[tuple[tuple[str, str], Any]]:
    yield ("cmd", ""), stage.get("cmd")
    for of in ("deps", "outs"):
        for entry in stage.get(of, []):
            yield (of, entry["path"]), entry.get("md5")
    for tree in stage.get("params", {}).values():
        for name, value in _flat(tree).items():
            yield ("params", name), value


def _flat(tree: Json) -> Json:
    """{dotted name: value}, the declared columns each by its name."""
    columns = tree.get("data", {}).get("columns", {}) if isinstance(tree.get("data"), dict) else {}
    return flat(tree) | {f"data.columns.{name}": declared for name, declared in columns.items()}


def outs(stages: Json) -> dict[str, str]:
    """{path: md5} of what the stages wrote."""
    return _of("outs", stages)


def _of(kind: str, stages: Json) -> Json:
    """{name: md5 or value} of the entries of a kind."""
    return {name: value for (_, of, name), value in entries(stages).items() if of == kind}


def read_inputs(stages: Json) -> tuple[dict[str, str], Json]:
    """({path: md5}, {dotted name: value}) of what the stages of a dvc.lock were given."""
    written = outs(stages)
    files = {name: md5 for name, md5 in _of("deps", stages).items() if name not in written}
    return files, _of("params", stages)


def differing(recorded: Inputs, found: Inputs) -> list[Json]:
    """The inputs that differ: data, params, code, packages, then the machine."""
    pairs = [_pair("data", path, recorded.files, found.files) for path in POINTERS if path in recorded.files]
    pairs += [_pair("param", name, recorded.params, found.params) for name in recorded.params | found.params]
    code = recorded.files.keys() - {*POINTERS, REQUIREMENTS}
    pairs += [_pair("code", name, recorded.files, found.files) for name in recorded.files if name in code]
    lock = _pair("environment", REQUIREMENTS, recorded.files, found.files)
    packages = []
    if recorded.packages is not None and found.packages is not None:
        names = sorted(recorded.packages.keys() | found.packages.keys())
        packages = [_pair("package", name, recorded.packages, found.packages) for name in names]
    pairs += packages
    if _differs(lock) and not any(map(_differs, packages)):
        pairs.append(lock)  # its versions are the same, or not known
    before, now = _named(recorded.machine), _named(found.machine)
    on_cpu = recorded.params.get("train.device") != "cuda"
    names = [name for key, name in MACHINE.items() if not (on_cpu and key == "gpu")]
    pairs += [_pair("machine", name, before, now) for name in names]
    return [pair for pair in pairs if _differs(pair)]


def _pair(kind: str, name: str, recorded: Json, found: Json) -> Json:
    """An input, as it was recorded and as it was found."""
    return {"kind": kind, "name": name, "recorded": recorded.get(name), "found": found.get(name)}


def _differs(pair: Json) -> bool:
    return pair["recorded"] != pair["found"]


def _named(machine: dict[str, str]) -> dict[str, str]:
    return {name: machine[key] for key, name in MACHINE.items() if key in machine}
