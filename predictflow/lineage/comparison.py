"""What differs between two models, or between the customers of two: plain values for JSON.

docs/reference/json.md says what each key means.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from predictflow.adapters.dvc_files import LIST, POINTERS, customers_in, customers_path
from predictflow.adapters.dvc_storage import files_at
from predictflow.formatting import Json
from predictflow.lineage import answers
from predictflow.lineage.customer_files import (
    CustomerCsv,
    CustomerParts,
    CustomerSource,
    MalformedCustomers,
    Open,
    compare,
)
from predictflow.lineage.project import Project
from predictflow.lineage.sections import OF_MODELS, Known, Section
from predictflow.lineage.sides import ComparedSide, note_gap
from stages.support.paths import PARAMS

# Opens files that hold so many bytes in all, and shows how far their reading is.
Reading = Callable[[int], AbstractContextManager[Open | None]]


def compare_sides(project: Project, a: ComparedSide, b: ComparedSide, reading: Reading) -> Json:
    """Every section of two models; of the data alone where one is no model.

    A section is None where it could not be compared, and empty where nothing differs.
    """
    customers: Section[str] = Section(
        "customers", lambda side: side.customers, "nothing tells their md5", partial(_data, reading)
    )
    compared = {"data": customers.compare(project, a, b)}
    if a.model and b.model:
        for section in OF_MODELS:
            # of one model, what nobody knows is the same all the same
            same = a.model == b.model and section.of(a) is None
            compared[section.name] = {} if same else section.compare(project, a, b)
    return {
        "a": a.as_json(),
        "b": b.as_json(),
        **compared,
        "differs": [name for name, part in compared.items() if part],
        "same": [name for name, part in compared.items() if part == {}],
        "unknown": [name for name, part in compared.items() if part is None],
    }


def _data(reading: Reading, project: Project, a: Known[str], b: Known[str]) -> Json:
    if a.value == b.value:
        return {}
    before, after, changes = _source(project, a), _source(project, b), None
    if before and after:
        try:
            with reading(before.size + after.size) as open_binary:
                changes = compare(before, after, open_binary)
        except MalformedCustomers as error:
            side = a.side if error.file is before else b.side
            note_gap(project, side, "customers", str(error))
    if changes:
        both = len(changes.changed) + changes.unchanged
        rows: Json = {"a": len(changes.removed) + both, "b": len(changes.added) + both}
    else:
        rows = {"a": _rows(project, a.value), "b": _rows(project, b.value)}
    return {
        "md5": {"a": a.value, "b": b.value},
        "rows": rows,
        "customers": asdict(changes) if changes else None,
    }


def _rows(project: Project, md5: str) -> int | None:
    """How many customers prepare counted; None where no commit tells."""
    for name, lock in project.history.locks.items():
        prepared = project.history.prepared(lock)
        if customers_in(prepared.get("md5", {})) == md5:
            project.history.confirm([name])
            return sum(prepared[side]["rows"] for side in answers.SIDES.values())
    return None


def _source(project: Project, customers: Known[str]) -> CustomerSource | None:
    """The customers of a side, as they lie on this machine, and how they are written."""
    side, md5 = customers
    files = _files(project, customers)
    delimiter, encoding, column = (side.params.get(f"data.{key}") for key in ("delimiter", "encoding", "id"))
    missing, decimal = side.params.get("data.missing"), side.params.get("data.decimal", ".")
    missing = tuple(missing) if isinstance(missing, list) else ("",)  # a run of MLflow's knows it as text
    if files is None and project.repository.root is None:
        why = "a bare clone has none"
    elif files is None:
        cure = f"`dvc fetch --all-commits {POINTERS[customers_path(md5)]}` brings what the remote has"
        why = f"{md5} is in neither DVC's cache nor the working tree ({cure})"
    elif delimiter is None or encoding is None or column is None:
        why = f"no {PARAMS} tells how {md5} is written"
    elif md5.endswith(LIST):
        return CustomerParts(tuple(sorted(files.items())), column, missing, decimal)
    else:
        return CustomerCsv(files[""], delimiter, encoding, column, missing, decimal)
    note_gap(project, side, "customers", why)
    return None


def _files(project: Project, customers: Known[str]) -> dict[str, Path] | None:
    """{path in their folder: where it lies} of customers, of a CSV with an empty path: in the cache, in the
    working tree, or where the handle says."""
    (side, md5), root = customers, project.repository.root
    if root and (cached := project.look(lambda: project.storage.files_of(md5), None)):
        return cached
    paths = [root / customers_path(md5)] if root else []
    paths += [project.start / side.handle] if side.handle else []
    return next((files for path in paths if (files := files_at(path, md5)) is not None), None)
