"""An earlier commit can be had again: its dvc.lock and its outputs, to the byte."""

import hashlib
import re
import shutil

import pytest

from tests.people import customers

OUTPUTS = ("data/prepared", "metrics", "models")


def outputs(project) -> dict[str, str]:
    """{path: md5} of everything that the stages have written, dvc.lock and the data they read as well."""
    files = [path for top in OUTPUTS for path in (project.folder / top).rglob("*") if path.is_file()]
    files += [project.folder / "dvc.lock", project.folder / "data/customers.csv"]
    return {
        path.relative_to(project.folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in files
        if path.name != ".gitignore"
    }


@pytest.fixture
def history(members):
    """{commit: its outputs} of a history that changed params, then code, then data, oldest first."""
    commits = {}
    members.run("make", "hook")

    def record(what: str) -> None:
        members.repro()
        commits[members.commit(what)] = outputs(members)

    record("the first model")
    members.edit("params.yaml", "rounds: 30", "rounds: 25")
    record("another param")
    members.edit("stages/model/families.py", '"seed": seed,', '"seed": seed + 1,')
    record("other code")
    customers.write_members(members.folder / "data/customers.csv", customers.members(500, seed=8))
    members.run("dvc", "add", "--quiet", "data/customers.csv")
    record("other data")
    assert len({commit["models/churn-predictor/model.ubj"] for commit in commits.values()}) == 4
    return commits


def test_an_earlier_commit_gives_its_own_bytes_again(members, history):
    for commit, expected in history.items():
        members.run("git", "checkout", "--quiet", commit)
        members.repro()
        assert outputs(members) == expected
        members.run("git", "diff", "--exit-code")


@pytest.mark.slow
def test_an_earlier_commit_gives_its_own_bytes_again_without_the_cache(members, history, tmp_path):
    """Only the customers were kept; everything else is made anew."""
    members.run("dvc", "remote", "add", "--quiet", "--local", "kept", str(tmp_path / "kept"))
    members.run("dvc", "push", "--quiet", "--remote", "kept", "--all-commits", "data/customers.csv.dvc")
    for commit in list(history)[:3:2]:
        shutil.rmtree(members.folder / ".dvc/cache")
        (members.folder / ".git/hooks/post-checkout").unlink(missing_ok=True)  # nothing to bring: no cache
        members.run("git", "checkout", "--quiet", commit)
        members.run("dvc", "pull", "--quiet", "--force", "--remote", "kept", "data/customers.csv.dvc")
        told = members.repro()
        assert "Running stage 'train'" in told
        assert outputs(members) == history[commit]
        members.run("git", "diff", "--exit-code")


def test_a_second_run_changes_nothing(members):
    members.repro()
    members.commit()
    before = outputs(members)
    assert "Data and pipelines are up to date." in members.repro()
    assert outputs(members) == before
    assert members.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_another_environment_than_the_locked_one_is_refused_and_nothing_is_lost(members):
    members.repro()
    members.commit()
    before = outputs(members)
    lock = members.read("requirements.lock")
    (installed,) = re.findall(r"^xgboost==(\S+)", lock, re.MULTILINE)
    members.edit("requirements.lock", f"xgboost=={installed}", "xgboost==1.7.6")

    told = members.repro(code=255)
    assert "failed to reproduce 'prepare'" in told
    assert f"xgboost: 1.7.6 is locked, {installed} is installed" in told
    assert "Cure: `make clean && make repro`" in told
    assert "Traceback" not in told
    assert outputs(members) == before, "those of the last good run stay"

    members.run("git", "checkout", "--quiet", "--", "requirements.lock")
    assert "Data and pipelines are up to date." in members.repro()
    assert len(members.runs()) == 1


@pytest.mark.slow
def test_make_repro_brings_the_customers_of_an_earlier_commit_also_without_the_hook(members):
    members.repro()
    earlier, expected = members.commit("the first customers"), outputs(members)
    customers.write_members(members.folder / "data/customers.csv", customers.members(500, seed=8))
    members.run("dvc", "add", "--quiet", "data/customers.csv")
    members.commit("other customers")
    members.run("git", "checkout", "--quiet", earlier)
    members.run("python", "-m", "predictflow.telco")
    members.repro()
    assert outputs(members) == expected
    members.run("git", "diff", "--exit-code")
