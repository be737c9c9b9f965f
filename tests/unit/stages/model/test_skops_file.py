"""The skops file: the same bytes for the same estimator, and nothing in it that could run by itself."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from stages.model import serving, skops_file
from stages.model.families import FAMILIES
from tests.people.project import REPOSITORY
from tests.unit.stages.model import models

SKLEARN = [name for name in models.SETTINGS if name != "xgboost"]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> list[Path]:
    """Two folders with a file for each model, each written by a process of its own."""
    program = (
        "import sys; from pathlib import Path;"
        "from stages.model.families import FAMILIES; from tests.unit.stages.model import models\n"
        "for name in models.SETTINGS: FAMILIES[name].write(models.fit(name), Path(sys.argv[1]) / name)"
    )
    folders = []
    for seed, threads in (("0", "1"), ("1", "2")):
        folders.append(tmp_path_factory.mktemp("written"))
        subprocess.run(
            [sys.executable, "-c", program, str(folders[-1])],
            cwd=REPOSITORY,
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "PATH": ""},
            check=True,
        )
    return folders


@pytest.mark.parametrize("name", list(models.SETTINGS))
def test_two_processes_with_other_hash_seeds_and_threads_write_the_same_bytes(name, written):
    one, other = ((folder / name).read_bytes() for folder in written)
    assert one == other != b""


@pytest.mark.parametrize("name", SKLEARN)
def test_it_loads_and_predicts_the_same_as_the_original(name, tmp_path):
    model, rows = models.fit(name), serving.one_hot(models.sample().frame)
    skops_file.write(tmp_path / "model.skops", model)
    loaded = skops.io.load(tmp_path / "model.skops", trusted=serving.TRUSTED)
    assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))


@pytest.mark.parametrize("name", SKLEARN)
def test_every_type_in_it_is_trusted_by_skops_or_by_our_list(name, tmp_path):
    FAMILIES[name].write(models.fit(name), tmp_path / "model.skops")
    assert set(skops.io.get_untrusted_types(file=tmp_path / "model.skops")) <= set(serving.TRUSTED)


def test_it_is_a_plain_zip_without_dates_or_addresses(tmp_path):
    FAMILIES["random_forest"].write(models.fit("random_forest"), tmp_path / "model.skops")
    members = zipfile.ZipFile(tmp_path / "model.skops").infolist()
    assert [member.filename for member in members] == sorted(member.filename for member in members)
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert all(len(member.filename.partition(".")[0]) < 7 for member in members)  # numbers, not addresses


def test_a_file_that_holds_a_type_of_its_own_is_refused(tmp_path):
    models.write(tmp_path / "model", "logistic_regression")
    skops_file.write(tmp_path / "model/model.skops", FunctionTransformer(subprocess.check_output))
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException, match=r"subprocess\.check_output"):
        serving.Model(tmp_path / "model")
