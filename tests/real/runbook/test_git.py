"""Accidents of Git and of what it holds, from the symptom to health as docs/runbook.md has them."""

import shutil

from tests.people.project import Project
from tests.people.runbook import play

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * "0" + "\nsize 66206\n"


def test_dvclock_is_in_conflict(standing: Project):
    standing.run("git", "checkout", "--quiet", "-b", "slower")
    standing.edit("params.yaml", "learning_rate: 0.03", "learning_rate: 0.02")
    standing.repro("--quiet")
    standing.commit("a slower model")
    standing.run("git", "checkout", "--quiet", "main")
    standing.edit("params.yaml", "max_depth: 1", "max_depth: 3")
    standing.repro("--quiet")
    standing.commit("a deeper model")
    standing.run("git", "merge", "slower", code=1)
    play(standing, "dvclock-is-in-conflict")
    params = standing.read("params.yaml")
    assert "max_depth: 3" in params and "learning_rate: 0.02" in params, "it is the model of both"
    assert len(standing.versions()) == 5


def test_data_that_is_not_here(standing: Project):
    folder = standing.folder
    shutil.copytree(folder, folder.with_name("colleague"), symlinks=True)
    plots = [path.relative_to(folder) for path in folder.glob("metrics/*/plots")]
    for path in ("../remote/files", ".dvc/cache/files", "models/churn-predictor", *plots):
        shutil.rmtree(folder / path)
    for path in (folder / "data/customers.csv", *folder.glob("data/prepared/t*")):
        path.unlink()
    play(standing, "data-that-is-not-here")


def test_a_pointer_where_data_should_be(standing: Project):
    (standing.folder / "data/customers.csv").write_text(LFS)
    play(standing, "a-pointer-where-data-should-be")


def test_a_head_on_no_branch(standing: Project):
    standing.run("git", "checkout", "--quiet", "--detach")
    sha = standing.commit("on no branch")
    play(standing, "a-head-on-no-branch")
    assert standing.run("git", "rev-parse", "rescued").stdout.strip() == sha


def test_dvc_repro_wants_to_run_what_has_not_changed(standing: Project):
    standing.run("git", "checkout", "--quiet", "-b", "older", "HEAD~2")
    play(standing, "dvc-repro-wants-to-run-what-has-not-changed")
    model = (standing.folder / "models/churn-predictor/model.ubj").read_bytes()
    standing.run("git", "checkout", "--quiet", "main")
    now = (standing.folder / "models/churn-predictor/model.ubj").read_bytes()
    assert now != model, "from now on the hook brings them along"


RECEIPT = "refs/tags/churn-predictor#production#{}"


def forget(project: Project, number: int) -> None:
    """A receipt is deleted, here and on origin."""
    project.run("git", "update-ref", "-d", RECEIPT.format(number))
    project.run("git", "push", "--quiet", "origin", f":{RECEIPT.format(number)}")


def test_a_receipt_is_lost(standing: Project):
    forget(standing, 2)
    play(standing, "a-receipt-is-lost")


def test_the_chain_of_receipts_is_broken(standing: Project):
    forget(standing, 1)
    for folder in (".", "../origin.git"):
        standing.run("git", "-C", folder, "reflog", "expire", "--expire=now", "--all")
        standing.run("git", "-C", folder, "gc", "--quiet", "--prune=now")
    play(standing, "the-chain-of-receipts-is-broken")
    assert "lost with a laptop" in standing.run("predictflow", "audit").stdout
