"""What takes a decision, from the day it comes up to health, as docs/runbook.md has it."""

import re
from pathlib import Path

from stages.support import hashes
from tests.people.project import REPOSITORY, Project
from tests.people.runbook import Person, play


def test_a_wrong_model_is_in_production(standing: Project):
    play(standing, "a-wrong-model-is-in-production")
    stages = {str(version.version): version.current_stage for version in standing.versions()}
    assert stages == {"1": "Production", "2": "Archived"}


def holding(top: Path, text: str) -> list[str]:
    """The files in a folder that hold a text, as the members' file has it or as others would."""
    wanted = (text.encode(), text.encode("utf-16-le"))
    files = [path for path in top.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if any(word in path.read_bytes() for word in wanted)]


def test_a_customer_asks_to_be_erased(standing: Project):
    top, customers = standing.folder.parent, standing.folder / "data/customers.csv"
    rows = customers.read_text("utf-16").splitlines(keepends=True)
    (row,) = [row for row in rows if ";M-30;" in row]
    prepared = standing.folder / "data/prepared"
    old = {hashes.md5(path) for path in (customers, *prepared.glob("train.*"))}
    person = Person(standing, "a-customer-asks-to-be-erased")
    person.sees()
    assert len(holding(top, row)) == 3, "the working tree, the cache and the remote"
    customers.write_text("".join(each for each in rows if each != row), "utf-16")
    person.is_cured()
    assert holding(top, row) == []
    kept = {path.parent.name + path.name for path in top.rglob("files/md5/*/*")}
    assert old & kept == set(), "nor what was made of it"
    assert "churn-predictor: all agrees" in standing.run("predictflow", "audit").stdout


def test_a_key_has_leaked(standing: Project):
    (standing.folder / ".dvc/config").write_text((REPOSITORY / ".dvc/config").read_text())
    for name, value in {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "x" * 40}.items():
        with (standing.folder / ".dvc/config").open("a") as file:
            file.write(f"    {name} = {value}\n")
    standing.commit("keys for everybody")
    play(standing, "a-key-has-leaked")
    assert not re.search("AKIA|x{40}", standing.read(".dvc/config"))
