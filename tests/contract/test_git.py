"""What Git holds: the record of a run, and nothing that belongs elsewhere."""

import hashlib
import json
import re
import subprocess

import pytest

from tests.declared import REPOSITORY, in_git, leaves, text, yaml

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
RECORDS = [
    "dvc.lock",
    "models/provenance.json",
    *(f"metrics/{name}/metrics.json" for name in ("prepare", "train", "evaluate")),
]
LOCK = yaml("dvc.lock")


def recorded(kind: str) -> dict[str, str]:
    """{path: md5} of the deps or outs of all stages in dvc.lock."""
    return {item["path"]: item["md5"] for stage in LOCK["stages"].values() for item in stage.get(kind, [])}


def provenance() -> tuple[dict[str, str], dict]:
    *entries, last = json.loads(text("models/provenance.json"))
    return {entry["path"]: entry["md5"] for entry in entries}, last["params"]


def test_the_record_of_the_last_run_is_in_git():
    assert {*RECORDS, "data/customers.csv.dvc"} <= set(in_git())


def test_no_data_model_or_store_is_in_git():
    allowed = {*RECORDS[1:], "data/customers.csv.dvc"}
    folders = ("data/", "models/", "metrics/", "mlflow_data/", ".dvc/cache/", ".dvc/tmp/")
    held = [path for path in in_git() if path.startswith(folders) and not path.endswith("/.gitignore")]
    assert set(held) == allowed
    made = (".parquet", ".index", ".ubj", ".skops", ".pkl", ".joblib", ".db", ".sqlite")
    assert not [path for path in in_git() if path.endswith(made)]


def test_no_file_in_git_holds_a_path_of_someones_home_or_the_address_of_a_package_index():
    home = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w")
    index = re.compile(r"https?://[^\s\"'`<>]*/simple\b|https?://[^\s\"'`<>/]*@(?!\S*127\.0\.0\.1)")
    for path in in_git():
        content = (REPOSITORY / path).read_bytes().decode("utf-8", "replace")
        for pattern in (home, index):
            assert not pattern.search(content), f"{path}: {pattern.search(content)[0]}"


def test_every_file_has_the_same_bytes_on_every_platform():
    assert "* text=auto eol=lf" in text(".gitattributes").splitlines()
    attributes = subprocess.run(
        ["git", "check-attr", "eol", "--", *in_git()],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert {line.rpartition(": ")[2] for line in attributes.splitlines()} == {"lf"}
    assert not [path for path in RECORDS if b"\r" in (REPOSITORY / path).read_bytes()]


def test_dvc_lock_holds_hashes_and_params_and_nothing_else():
    assert set(LOCK) == {"schema", "stages"}
    for stage in LOCK["stages"].values():
        assert set(stage) == {"cmd", "deps", "params", "outs"}
        for item in stage["deps"] + stage["outs"]:
            assert {"path", "hash", "md5", "size"} <= set(item) <= {"path", "hash", "md5", "size", "nfiles"}
            assert MD5.fullmatch(item["md5"])
        assert set(stage["params"]) == {"params.yaml"}


def test_provenance_holds_paths_md5s_and_params_and_nothing_else():
    *entries, last = json.loads(text("models/provenance.json"))
    assert set(last) == {"params"}
    for entry in entries:
        assert set(entry) == {"path", "md5"}
        assert not entry["path"].startswith("/")
        assert re.fullmatch("[0-9a-f]{32}", entry["md5"])
    assert [entry["path"] for entry in entries] == sorted(entry["path"] for entry in entries)


def test_every_md5_of_provenance_is_the_one_in_dvc_lock():
    md5s, _ = provenance()
    folder = {path: md5 for path, md5 in md5s.items() if path.startswith("models/churn-predictor/")}
    known = recorded("deps") | recorded("outs")
    assert {path: known[path] for path in md5s.keys() - folder.keys()} == {
        path: md5 for path, md5 in md5s.items() if path not in folder
    }
    # DVC's md5 of a folder is that of the sorted list of its files.
    listing = [{"md5": md5, "relpath": path.split("/")[-1]} for path, md5 in sorted(folder.items())]
    whole = hashlib.md5(json.dumps(listing).encode()).hexdigest() + ".dir"
    assert known["models/churn-predictor"] == whole


def test_the_params_of_provenance_are_those_declared_for_prepare_and_train():
    _, params = provenance()
    of_stages = leaves(LOCK["stages"]["prepare"]["params"]["params.yaml"])
    of_stages |= leaves(LOCK["stages"]["train"]["params"]["params.yaml"])
    assert leaves(params) == of_stages


def test_the_committed_params_are_those_of_the_record():
    _, recorded_params = provenance()
    now = leaves(yaml("params.yaml"))
    assert leaves(recorded_params).items() <= now.items()


@pytest.mark.parametrize("path", RECORDS[2:])
def test_metrics_are_numbers_and_names_and_every_md5_in_them_is_in_dvc_lock(path):
    known = set((recorded("deps") | recorded("outs")).values())
    for key, value in leaves(json.loads(text(path))).items():
        if key.startswith("md5."):
            assert value in known
        else:
            assert isinstance(value, int | float), f"{key} is {value!r}"
            assert value < 1e9, f"{key} could be a time"


def test_the_metrics_in_git_are_those_that_dvc_lock_names():
    for path in RECORDS[1:]:
        digest = hashlib.md5((REPOSITORY / path).read_bytes()).hexdigest()
        assert digest == recorded("outs")[path], f"{path} is of another run than dvc.lock"
