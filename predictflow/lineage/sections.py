"""What two models may differ in, a section each: columns, params, code, environment, metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from predictflow.adapters.dvc_files import REQUIREMENTS
from predictflow.formatting import SHORT, Json
from predictflow.lineage.project import Project
from predictflow.lineage.sides import ComparedSide, file_at, md5_at, note_gap
from stages.support.environment import PIN
from stages.support.params import flat

DIGITS = 9  # of a metric, as the stages write it
NO_LOCK = "no commit holds its dvc.lock"

Value = TypeVar("Value")


class Known(NamedTuple, Generic[Value]):
    """A side, and what it tells of a section."""

    side: ComparedSide
    value: Value


@dataclass(frozen=True)
class Section(Generic[Value]):
    """What two sides may differ in.

    Attributes:
        name: as the answer and a gap call it.
        of: what a side tells of it; None where it does not.
        why_unknown: why a side may not tell.
        differing: what differs between what two sides tell; empty where nothing does.
    """

    name: str
    of: Callable[[ComparedSide], Value | None]
    why_unknown: str
    differing: Callable[[Project, Known[Value], Known[Value]], Json]

    def known(
        self, project: Project, a: ComparedSide, b: ComparedSide
    ) -> tuple[Known[Value], Known[Value]] | None:
        """What both sides tell; None where one does not, which is noted."""
        in_a, in_b = self.of(a), self.of(b)
        for side, value in ((a, in_a), (b, in_b)):
            if value is None:
                note_gap(project, side, self.name, self.why_unknown)
        return None if in_a is None or in_b is None else (Known(a, in_a), Known(b, in_b))

    def compare(self, project: Project, a: ComparedSide, b: ComparedSide) -> Json | None:
        """What differs; None where a side does not tell."""
        known = self.known(project, a, b)
        return self.differing(project, *known) if known else None


def differing(a: Json, b: Json) -> Json:
    """{name: {a, b}} of what differs; a side that has no such name has no key there."""
    names: Json = {}
    for name in sorted(a.keys() | b.keys()):
        values = {letter: side[name] for letter, side in (("a", a), ("b", b)) if name in side}
        if len(values) == 1 or values["a"] != values["b"]:
            names[name] = values
    return names


def _plainly(project: Project, a: Known[Json], b: Known[Json]) -> Json:
    return differing(a.value, b.value)


def _params(project: Project, a: Known[Json], b: Known[Json]) -> Json:
    params = [a.value, b.value]
    if a.side.model == b.side.model or EVALUATION.known(project, a.side, b.side):
        params = [known.value | (known.side.evaluation or {}) for known in (a, b)]
    if a.side.code is None or b.side.code is None:  # a run holds every value as text
        params = [{name: str(value) for name, value in of_side.items()} for of_side in params]
    return differing(*params)


def _code(project: Project, a: Known[dict[str, str]], b: Known[dict[str, str]]) -> Json:
    return {
        path: {
            "change": "added" if "a" not in md5s else "removed" if "b" not in md5s else "changed",
            "show": _shown_by(project, a, b, path),
        }
        for path, md5s in differing(a.value, b.value).items()
    }


def _shown_by(project: Project, a: Known[dict[str, str]], b: Known[dict[str, str]], path: str) -> str | None:
    """The command that shows how a file differs; None where Git does not hold what dvc.lock names."""
    for side, code in (a, b):
        if md5_at(project, side.revision, path) != code.get(path):
            return None
        if side.revision is None and path in code and not _tracked(project, path):
            return None
    before, after = (side.revision and side.revision[:SHORT] for side, _ in (a, b))
    commits = f"-R {after}" if before is None else f"{before} {after}" if after else before
    return f"git diff {commits} -- {path}"


def _tracked(project: Project, path: str) -> bool:
    return project.repository.git("ls-files", "--error-unmatch", path).returncode == 0


def _environment(project: Project, a: Known[str], b: Known[str]) -> Json:
    if a.value == b.value:
        return {}
    in_a, in_b = _packages(project, a), _packages(project, b)
    packages = None if in_a is None or in_b is None else differing(in_a, in_b)
    return {"md5": {"a": a.value, "b": b.value}, "packages": packages}


def _packages(project: Project, lock: Known[str]) -> dict[str, str] | None:
    """{package: version, or versions with their markers} on any platform."""
    revision = lock.side.revision
    text = file_at(project, revision, REQUIREMENTS)
    if text is None or md5_at(project, revision, REQUIREMENTS) != lock.value:
        where = f"commit {revision[:10]}" if revision else "the working tree"
        why = f"{where} does not hold the {REQUIREMENTS} of md5 {lock.value}"
        note_gap(project, lock.side, "packages", why)
        return None
    packages: dict[str, list[str]] = {}
    for name, version, marker in PIN.findall(text.decode("utf-8", "replace")):
        packages.setdefault(name, []).append(f"{version} ; {marker}" if marker else version)
    return {name: ", ".join(sorted(versions)) for name, versions in packages.items()}


def _metrics(project: Project, a: Known[Json], b: Known[Json]) -> Json:
    metrics = differing(flat(a.value), flat(b.value))
    for values in metrics.values():
        if len(values) == 2:
            values["difference"] = round(values["b"] - values["a"], DIGITS)
    return metrics


EVALUATION: Section[Json] = Section(
    "evaluation", lambda side: side.evaluation, "no dvc.lock tells how it was measured", _plainly
)
COLUMNS: Section[Json] = Section("columns", lambda side: side.columns, NO_LOCK, _plainly)
PARAMS: Section[Json] = Section("params", lambda side: side.params, NO_LOCK, _params)
CODE: Section[dict[str, str]] = Section("code", lambda side: side.code, NO_LOCK, _code)
ENVIRONMENT: Section[str] = Section(
    "environment", lambda side: side.environment, "nothing tells its md5", _environment
)
METRICS: Section[Json] = Section(
    "metrics", lambda side: side.metrics, "no evaluation of it is recorded", _metrics
)
OF_MODELS = (COLUMNS, PARAMS, CODE, ENVIRONMENT, METRICS)
