"""`predictflow push` and `pull` with a remote that is a folder: what goes, what comes, and what is told."""

import json
import shutil
from pathlib import Path

import pytest

from predictflow.adapters.dvc_commands import hold_dvc_lock
from predictflow.doctor.check import State
from tests.people.history import History
from tests.people.project import Project
from tests.people.remote_faults import CONTENTS, FILE, FOLDER, examined, make_project, md5, rot, said


@pytest.fixture(scope="session")
def beside_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("beside")
    project = make_project(top)
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "beside", str(top / "unused"))
    return top


@pytest.fixture
def project(beside_template: Path, tmp_path: Path) -> Project:
    """A project whose remote is the folder `remote` beside it."""
    shutil.copytree(beside_template, tmp_path / "top", symlinks=True)
    made = Project(tmp_path / "top/project", tmp_path / "top/home").hurry()
    local = f"[core]\n    remote = beside\n['remote \"beside\"']\n    url = {tmp_path}/remote\n"
    (made.folder / ".dvc/config.local").write_text(local)
    return made


def asked(project: Project, *words: str, code: int = 0) -> dict:
    """What a command answers as JSON."""
    ended, out = said(project, {}, *words, "--json")
    assert ended == code, out
    return json.loads(out)


def place(folder: Path, name: str) -> Path:
    return folder / "files/md5" / name[:2] / name[2:]


def remote(project: Project) -> Path:
    return project.folder.parents[1] / "remote"


def empty_clone(project: Project) -> None:
    """As after `git clone`."""
    shutil.rmtree(project.folder / ".dvc/cache")
    (project.folder / FILE).unlink()
    shutil.rmtree(project.folder / FOLDER)


def test_what_was_pushed_comes_back_and_the_second_time_nothing_is_to_be_done(project: Project):
    first, again = asked(project, "push"), asked(project, "push", "--deep")
    assert (len(first["pushed"]), first["needed"], first["unproven"]) == (5, 5, 0)
    assert (again["pushed"], again["unproven"], again["problems"]) == ([], 0, [])
    assert asked(project, "push")["unproven"] == 5, "a folder tells no checksums"
    empty_clone(project)
    pulled = asked(project, "pull")
    assert len(pulled["pulled"]) == 5 and pulled["checkout"] == {"done": True, "error": None}
    assert {path: (project.folder / path).read_bytes() for path in CONTENTS} == CONTENTS
    assert asked(project, "pull")["pulled"] == []


def test_a_wrong_object_of_the_remote_is_found_by_reading_and_put_right(project: Project):
    asked(project, "push")
    spoiled = place(remote(project), md5(CONTENTS[FILE]))
    spoiled.chmod(0o644)
    spoiled.write_bytes(CONTENTS[FILE][::-1])
    assert asked(project, "push")["replaced"] == [], "of the right size"
    assert [named["path"] for named in asked(project, "push", "--deep")["replaced"]] == [FILE]
    assert spoiled.read_bytes() == CONTENTS[FILE]


def test_what_is_wrong_in_the_cache_goes_aside_and_the_files_written_from_it_with_it(project: Project):
    asked(project, "push")
    name = md5(CONTENTS[FILE])
    rot(project, name)
    (project.folder / FILE).unlink()
    project.run("dvc", "checkout", "--quiet")
    assert (project.folder / FILE).read_bytes() != CONTENTS[FILE], "plain DVC writes it"
    told = asked(project, "pull")
    assert [named["md5"] for named in told["moved_aside"]] == [name]
    assert (project.folder / told["moved_aside"][0]["to"]).is_file()
    assert (project.folder / FILE).read_bytes() == CONTENTS[FILE]


def test_a_wrong_object_that_is_nowhere_right_is_told_and_nothing_is_written_from_it(project: Project):
    asked(project, "push")
    name = md5(CONTENTS[FILE])
    rot(project, name)
    (project.folder / FILE).unlink()
    place(remote(project), name).unlink()
    told = asked(project, "pull", code=1)
    assert [(problem["path"], problem["md5"]) for problem in told["problems"]] == [(FILE, name)]
    assert not (project.folder / FILE).exists()


def test_a_file_that_somebody_is_at_work_on_is_not_written_over(project: Project):
    asked(project, "push")
    (project.folder / FILE).write_text("my own\n")
    told = asked(project, "pull", code=1)
    assert told["checkout"]["error"] and not told["checkout"]["done"]
    assert (project.folder / FILE).read_text() == "my own\n"


def test_a_list_is_not_pushed_before_its_files_are_there(project: Project):
    lost = md5(CONTENTS[f"{FOLDER}/p1.csv"])
    place(project.folder / ".dvc/cache", lost).unlink()
    told = asked(project, "push", code=1)
    assert {problem["path"] for problem in told["problems"]} == {FOLDER, f"{FOLDER}/p1.csv"}
    assert len(told["pushed"]) == 3 and not list(remote(project).rglob("*.dir"))


def test_all_and_a_handle_name_what_older_commits_need(project: Project):
    older = md5(CONTENTS[FILE])
    (project.folder / FILE).write_bytes(b"newer\n")
    project.run("dvc", "add", "--quiet", FILE)
    project.commit("newer")
    assert older not in {named["md5"] for named in asked(project, "push")["pushed"]}
    project.run("git", "branch", "before", "HEAD~1")
    assert [named["md5"] for named in asked(project, "push", "--all")["pushed"]] == [older]
    shutil.rmtree(project.folder / ".dvc/cache")
    told = asked(project, "pull", "before")
    assert older in {named["md5"] for named in told["pulled"]} and not told["checkout"]["done"]
    assert (project.folder / FILE).read_bytes() == b"newer\n"


def no_remote(folder: Path) -> None:
    (folder / ".dvc/config.local").unlink()
    (folder / ".dvc/config").write_text("")


def nothing_kept(folder: Path) -> None:
    for file in folder.glob("data/*.dvc"):
        file.unlink()


def a_conflict(folder: Path) -> None:
    (folder / f"{FILE}.dvc").write_text("<<<<<<< ours\n")


@pytest.mark.parametrize(
    ("edit", "error", "cure", "code"),
    [
        (no_remote, "no remote", "dvc remote add", 2),
        (nothing_kept, "keeps nothing", "dvc repro", 1),
        (a_conflict, "cannot read its files", "conflict", 2),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("command", ["push", "pull"])
def test_what_hinders_it_is_told_with_its_cure(project: Project, command, edit, error, cure, code):
    edit(project.folder)
    told = asked(project, command, code=code)
    assert error in told["error"] and cure in told["cure"], told


def test_a_remote_that_takes_nothing_is_told(project: Project):
    remote(project).write_text("a file\n")
    told = asked(project, "push", code=2)
    assert "remote" in told["error"] and told["cure"]


def test_an_output_that_was_never_made_is_told(project: Project):
    stages = "stages:\n  make:\n    cmd: make\n    outs:\n      - made.txt\n"
    (project.folder / "dvc.yaml").write_text(stages)
    assert "made.txt" in asked(project, "push")["elsewhere"][0]


def test_while_dvc_is_at_work_it_waits_and_then_says_so(project: Project):
    with hold_dvc_lock(project.folder):
        told = asked(project, "push", code=1)
    assert "DVC is at work" in told["error"] and told["cure"]


def test_what_stands_in_production_goes_by_name_and_doctor_looks_for_it(promoted: History, tmp_path: Path):
    project = promoted.project
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "beside", str(tmp_path / "remote"))
    told = asked(project, "push", "churn-predictor@production")
    assert told["pushed"] and not told["problems"]
    for name in [named["md5"] for named in told["pushed"]][:1]:
        place(tmp_path / "remote", name).unlink()
    assert "HEAD and Production need" in examined(project, {})["remote-needed"].message
    asked(project, "push", "--all")
    assert {check.state for check in examined(project, {}).values()} == {State.OK}
