"""benchmarks.kills counts what is lost: each loss that is planted after a kill is named."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from benchmarks import losses
from benchmarks.kill_table import Kill, summary, table
from benchmarks.kills import Campaign, planned
from benchmarks.scenes import CACHED, World
from benchmarks.victims import VICTIMS
from tests.people.project import Project

BACKUP = next(victim for victim in VICTIMS if victim.name == "store backup")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with ExitStack() as stack:
        yield Campaign(tmp_path_factory.mktemp("campaign"), World(stack))


def lose_a_run(project: Project) -> None:
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as store, store:
        store.execute("DELETE FROM runs WHERE run_uuid = (SELECT max(run_uuid) FROM runs)")


def lose_a_version(project: Project) -> None:
    with closing(sqlite3.connect(project.folder / "mlflow_data/mlflow.db")) as store, store:
        store.execute("DELETE FROM model_versions WHERE version = 2")


def lose_a_receipt(project: Project) -> None:
    project.run("git", "tag", "--delete", "churn-predictor#production#1")


def change_an_object(project: Project) -> None:
    path = max((project.folder / CACHED).glob("??/*"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\n")


def lose_a_git_object(project: Project) -> None:
    shutil.rmtree(project.folder.parent / "origin.git/objects/pack")


def edit_the_params(project: Project) -> None:
    project.edit("params.yaml", "max_depth: 2", "max_depth: 7")


def leave_the_branch(project: Project) -> None:
    project.run("git", "checkout", "--quiet", "--detach")


def put_words_away(project: Project) -> None:
    (project.folder / "NOTES.md").write_text("words that nobody has committed\n")
    project.run("git", "stash", "--quiet")


def leave_a_lock(project: Project) -> None:
    (project.folder / ".git/index.lock").touch()


def leave_half_a_file(project: Project) -> None:
    (project.folder / "models/.churn-predictor.tmp").mkdir()


PLANTED = {
    lose_a_run: "1 runs are lost",
    lose_a_version: "versions [2] are lost",
    lose_a_receipt: "lost, or others: refs/tags/churn-predictor#production#1",
    change_an_object: "in DVC's cache has other bytes",
    lose_a_git_object: "git fsck of origin.git",
    edit_the_params: "params is another",
    leave_the_branch: "head is another",
    put_words_away: "stash is another",
    leave_a_lock: "Git is locked: index.lock",
    leave_half_a_file: "left: project/models/.churn-predictor.tmp",
}


@pytest.mark.real
@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_named(campaign: Campaign, plant: Callable[[Project], None]):
    alone, project = campaign.unkilled(BACKUP), campaign.fresh(BACKUP)

    def found() -> list[str]:
        seen = losses.wrongs(project, BACKUP, campaign.world, alone.before, alone.meant, alone.meant.looked)
        return list(seen)

    assert found() == []
    plant(project)
    assert [sentence for sentence in found() if PLANTED[plant] in sentence]


@pytest.mark.real
def test_a_process_that_goes_on_is_named(campaign: Campaign, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(losses, "SECONDS_TO_END", 1)
    alone, project = campaign.unkilled(BACKUP), campaign.fresh(BACKUP)
    with project.begun(sys.executable, "-c", "input()", stdin=subprocess.PIPE):
        looked = alone.meant.looked
        found = list(losses.wrongs(project, BACKUP, campaign.world, alone.before, alone.meant, looked))
    assert "processes go on" in found[0]


@pytest.mark.slow
def test_a_loss_after_a_kill_is_counted_in_the_table(campaign: Campaign):
    whole = campaign.kill_once(BACKUP, 0, seed=1)
    assert (whole.ended, whole.wrong) == ("again", [])
    campaign.plant = lose_a_run
    try:
        robbed = campaign.kill_once(BACKUP, 0, seed=1)
    finally:
        campaign.plant = None
    assert "1 runs are lost" in robbed.wrong
    assert "| `store backup` | 2 | 2 | 0 | 1 |" in table([whole, robbed])


def test_every_command_has_its_share_of_the_kills_however_early_they_end():
    assert sum(victim.share for victim in VICTIMS) == 200
    half = [victim.name for victim, _ in planned(200, None)][:100]
    assert all(abs(half.count(victim.name) - victim.share / 2) <= 1 for victim in VICTIMS)


def test_what_is_wrong_stands_beneath_the_table():
    kill = Kill("predict", 3, 1.25, "", ["leftovers"], ["2 runs are lost"])
    assert table([kill]).endswith("\n\n- `predict`, killed after 1.25 s: 2 runs are lost\n")
    assert "| `predict` | 1 | 0 | 0 | 0 | `leftovers` 1 |" in table([kill])
    assert summary([kill], 200).startswith("200 kills, 1 of them so far; not yet of `promote`, `rollback`,")
    assert (
        summary([Kill(victim.name, 0, 1) for victim in VICTIMS], len(VICTIMS)) == f"{len(VICTIMS)} kills:\n"
    )
