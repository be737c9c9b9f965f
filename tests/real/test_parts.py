"""Customers in Parquet parts: from `dvc add` to a registered model, and what all commands say of it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.support.hashes import md5
from tests import templates
from tests.people.customers import members
from tests.people.parts import FOLDER, write_parts
from tests.people.project import Project, begin_members

POINTER = f"{FOLDER}.dvc"
SWITCH = ("params.yaml", "customers: data/customers.csv", "customers: data/customers")
PREPARED = [f"data/prepared/{side}.{kind}" for side in ("train", "test") for kind in ("parquet", "index")]
MODEL = "models/churn-predictor/model.ubj"


def ask(project: Project, *words: str, code: int = 0) -> str:
    """What a command of ours prints."""
    done = project.run("python", "-m", "predictflow.cli", *words, code=code, env={"COLUMNS": "200"})
    return done.stdout + done.stderr


def answer(project: Project, *words: str, code: int = 0) -> dict:
    done = project.run("python", "-m", "predictflow.cli", *words, "--json", code=code)
    return json.loads(done.stdout)


def of_dvc(project: Project) -> str:
    """The md5 that DVC knows the parts by."""
    return project.read(POINTER).split("md5: ")[1].split()[0]


def objects(project: Project, digest: str) -> dict[str, Path]:
    """{md5: where the cache has it} of a folder's list and its files."""
    cache = project.folder / ".dvc/cache/files/md5"
    listed = json.loads((cache / digest[:2] / digest[2:]).read_text())
    return {one: cache / one[:2] / one[2:] for one in (digest, *(entry["md5"] for entry in listed))}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three commits: a model of the CSV, one of the same members in parts, one of other parts."""
    top = tmp_path_factory.mktemp("parts")
    project = begin_members(top)
    project.run("git", "init", "--quiet", "--bare", str(top / "origin"))
    project.run("git", "remote", "add", "origin", str(top / "origin"))
    project.run("dvc", "remote", "add", "--quiet", "--default", "store", "../../remote")
    project.repro()
    project.commit("csv")
    project.run("git", "tag", "csv")
    write_parts(project.folder / FOLDER, members())
    project.run("dvc", "add", "--quiet", FOLDER)
    project.edit(*SWITCH)
    project.repro()
    project.commit("parts")
    project.run("git", "tag", "parts")
    frame = members()
    frame.loc[250, "visits"] = "29"
    write_parts(project.folder / FOLDER, frame.drop(index=599), 4)
    project.run("dvc", "add", "--quiet", FOLDER)
    project.repro()
    project.commit("other parts")
    project.run("git", "push", "--quiet", "--tags", "origin", "main")
    return top


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A copy of it, at its end."""
    subprocess.run(["cp", "-a", f"{template}/.", str(tmp_path)], check=True)
    templates.relocate(tmp_path)
    copied = Project(tmp_path / "project", tmp_path / "home").hurry()
    copied.run("git", "remote", "set-url", "origin", str(tmp_path / "origin"))
    return copied


def at(project: Project, revision: str, path: str) -> str:
    return project.run("git", "show", f"{revision}:{path}").stdout


def test_the_same_customers_give_the_same_files_from_a_csv_and_from_parts(project):
    of_csv, of_parts = (
        {entry["path"]: entry["md5"] for entry in json.loads(at(project, tag, "models/provenance.json"))[:-1]}
        for tag in ("csv", "parts")
    )
    assert of_csv.pop("data/customers.csv")
    assert of_parts.pop(FOLDER) == at(project, "parts", POINTER).split("md5: ")[1].split()[0]
    assert of_csv == of_parts
    assert {*PREPARED, MODEL} <= of_parts.keys()
    for path in ("metrics/evaluate/metrics.json", "metrics/train/metrics.json"):
        assert at(project, "csv", path) == at(project, "parts", path)
    lock = at(project, "parts", "dvc.lock")
    assert f"path: {FOLDER}\n" in lock and "path: data/customers.csv\n" not in lock


def test_lineage_goes_from_the_model_to_the_parts_and_back(project):
    found = answer(project, "lineage", "HEAD")
    assert found["data"]["path"] == FOLDER
    assert found["data"]["md5"] == of_dvc(project)
    assert (found["data"]["rows"], found["data"]["cached"], found["data"]["on_remote"]) == (599, True, False)
    assert found["data"]["commit"]["subject"] == "other parts"
    content = found["model"]["content"]
    shutil.copytree(project.folder / FOLDER, project.folder / "../elsewhere")
    for handle in (FOLDER, f"{FOLDER}/", POINTER, of_dvc(project), of_dvc(project)[:8], "../elsewhere"):
        known = answer(project, "lineage", handle)
        assert [model["content"] for model in known["models"]] == [content], handle
        assert known["file"]["paths"] == [FOLDER]
    assert len(answer(project, "lineage", MODEL, "--down")["models"]) == 1
    (project.folder / FOLDER / "part-0.parquet").unlink()
    assert "is not known here" in ask(project, "lineage", FOLDER, code=1)
    (run,) = [run for run in project.runs() if run.data.tags["predictflow.content"] == content]
    used = {item.dataset.digest: item.dataset.name for item in run.inputs.dataset_inputs}
    assert used[of_dvc(project)] == "customers"


def test_diff_compares_a_csv_with_parts_and_parts_with_parts(project):
    same = answer(project, "diff", "csv", "parts", code=1)
    assert same["differs"] == ["data"]
    assert same["data"]["rows"] == {"a": 600, "b": 600}
    changes = {key: same["data"]["customers"][key] for key in ("removed", "added", "changed", "unchanged")}
    assert changes == {"removed": [], "added": [], "changed": [], "unchanged": 600}
    for before in ("csv", "parts"):
        found = answer(project, "diff", before, FOLDER, code=1)["data"]["customers"]
        assert (found["removed"], found["added"], found["changed"]) == (["M-599"], [], ["M-250"]), before
    for one in objects(project, of_dvc(project)).values():
        one.unlink()
    assert answer(project, "diff", "parts", code=1)["data"]["customers"]["changed"] == ["M-250"]
    (project.folder / FOLDER / "part-0.parquet").unlink()
    found = ask(project, "diff", "parts", code=1)
    assert (
        "is in neither DVC's cache nor the working tree (`dvc fetch --all-commits data/customers.dvc`"
        in found
    )


def test_status_follows_the_parts(project):
    assert answer(project, "status", code=1)["pipeline"]["in_step"]
    write_parts(project.folder / FOLDER, members(), 4)
    cure = "dvc add data/customers && dvc repro"
    assert answer(project, "status", code=1)["pipeline"]["cure"] == cure
    project.run("git", "checkout", "--quiet", "--", ".")
    shutil.rmtree(project.folder / FOLDER)
    assert answer(project, "status", code=1)["pipeline"]["cure"] == "dvc checkout"
    for one in objects(project, of_dvc(project)).values():
        one.unlink()
    assert answer(project, "status", code=1)["pipeline"]["cure"].startswith("dvc pull")


def test_they_go_to_the_remote_and_come_back(project):
    pushed = ask(project, "push", "--all")
    assert f"pushed: {FOLDER}/part-0.parquet" in pushed or "objects are at" in pushed
    assert answer(project, "lineage", "HEAD")["data"]["on_remote"] is True
    lying = {path.name: md5(path) for path in (project.folder / FOLDER).iterdir()}
    kept = objects(project, of_dvc(project))
    shutil.rmtree(project.folder / FOLDER)
    shutil.rmtree(project.folder / ".dvc/cache")
    ask(project, "pull")
    assert {path.name: md5(path) for path in (project.folder / FOLDER).iterdir()} == lying
    assert all(place.is_file() for place in kept.values())
    project.repro("--force", "--no-run-cache", "--single-item", "prepare")
    project.run("git", "diff", "--exit-code", "dvc.lock")


def test_nothing_of_them_is_pruned_and_what_is_damaged_is_found(project):
    held = {}
    for revision in ("parts", "HEAD"):
        held |= objects(project, at(project, revision, POINTER).split("md5: ")[1].split()[0])
    assert len(held) > 7
    ask(project, "prune", "--yes")
    assert all(place.is_file() for place in held.values())
    assert "all agrees" in ask(project, "audit")
    place = next(place for one, place in held.items() if not one.endswith(".dir"))
    place.chmod(0o644)
    place.write_bytes(b"something else")
    assert f"{FOLDER}/part-" in ask(project, "audit", code=1)


def test_doctor_reads_them_and_mends_a_part_and_their_list(project):
    def told() -> dict[str, str]:
        asked = ["predictflow", "doctor", "--deep", "--json"]
        done = subprocess.run(asked, cwd=project.folder, env=project.env, capture_output=True)
        checks = json.loads(done.stdout)["checks"]
        return {check["name"]: check["message"] for check in checks if check["state"] == "problem"}

    ask(project, "push")
    assert told() == {}
    held = objects(project, of_dvc(project))
    part = next(place for one, place in held.items() if not one.endswith(".dir"))
    for place, what in ((part, f"{FOLDER}/part-"), (held[of_dvc(project)], FOLDER)):
        right = place.read_bytes()
        place.chmod(0o644)
        place.write_bytes(right[:-1] + b" ")
        place.chmod(0o444)  # else DVC's own status would take it away
        found = told()
        assert any(what in message for message in found.values()), found
        ask(project, "doctor", "--deep", "--fix")
        assert told() == {} and place.read_bytes() == right


def rebuilt(project: Project, *words: str) -> dict:
    (told,) = answer(project, "rebuild", *words, "--env", "current")["rebuilds"]
    return told


@pytest.mark.slow
def test_a_past_model_of_parts_is_made_again(project):
    assert rebuilt(project, "parts")["verdict"] == "identical"
    ask(project, "push", "--all")
    shutil.rmtree(project.folder / ".dvc/cache")
    shutil.rmtree(project.folder / FOLDER)
    assert rebuilt(project, "parts")["verdict"] == "identical"
    assert rebuilt(project, "csv")["verdict"] == "identical"


def test_an_experiment_takes_the_other_customers_as_a_param(project):
    project.run(
        *("dvc", "exp", "run", "--quiet", "--name", "of-the-csv", "-S", "customers=data/customers.csv"),
        "evaluate",
    )
    of_csv = answer(project, "lineage", "csv")["model"]["content"]
    assert answer(project, "lineage", "of-the-csv")["model"]["content"] == of_csv


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a torn part": (
        lambda folder: (folder / "part-1.parquet").write_bytes(
            (folder / "part-1.parquet").read_bytes()[:-20]
        ),
        "data/customers/part-1.parquet cannot be read as Parquet",
    ),
    "what Spark leaves": (
        lambda folder: (folder / "_SUCCESS").touch(),
        "data/customers holds what is no part: _SUCCESS.",
    ),
    "an unknown city": (
        lambda folder: write_parts(folder, members().assign(city="Rom"), 4),
        "city: 600 rows hold an unknown category (part-0.parquet row 1 'Rom'",
    ),
}


@pytest.mark.parametrize(("spoil", "told"), BAD.values(), ids=BAD.keys())
def test_bad_parts_end_the_stage_in_words_and_the_last_good_outputs_stay(project, spoil, told):
    before = {path: md5(project.folder / path) for path in PREPARED}
    spoil(project.folder / FOLDER)
    project.run("dvc", "add", "--quiet", FOLDER)
    said = project.repro(code=255)
    assert told in said
    assert "Traceback" not in said
    assert "Nothing is lost: the outputs of the last good run are back in their places." in said
    assert {path: md5(project.folder / path) for path in PREPARED} == before
