"""Code that only moves makes the same model: no new version, and every answer holds over both layouts."""

import json

from tests.people.project import Project


def ask(project: Project, *words: str, code: int = 0) -> dict:
    return json.loads(project.run("python", "-m", "predictflow.cli", *words, "--json", code=code).stdout)


def test_code_that_has_moved_makes_the_same_model_under_both_its_names(warm: Project):
    before = warm.run("git", "rev-parse", "HEAD").stdout.strip()
    content = ask(warm, "lineage")["model"]["content"]
    warm.run("git", "mv", "stages/data/split.py", "stages/data/sides.py")
    warm.edit("dvc.yaml", "stages/data/split.py", "stages/data/sides.py")
    for stage in ("prepare", "train"):
        warm.edit(f"stages/{stage}.py", "stages.data.split", "stages.data.sides")
    warm.repro()
    after = warm.commit("the split has another name")

    answer = ask(warm, "lineage")
    assert answer["model"]["content"] == content
    assert [version["name"] for version in answer["versions"]] == ["churn-predictor/1"]
    assert answer["commit"]["sha"] == before, "where it was made first"
    answer = ask(warm, "diff", before, after, code=1)
    assert answer["differs"] == ["code"] and not answer["unknown"]
    assert {path: file["change"] for path, file in answer["code"].items()} == {
        "stages/data/sides.py": "added",
        "stages/data/split.py": "removed",
        "stages/prepare.py": "changed",
        "stages/train.py": "changed",
    }
    answer = ask(warm, "lineage", "stages/data/sides.py")
    assert answer["file"]["paths"] == ["stages/data/sides.py", "stages/data/split.py"], "the same bytes"
    assert [model["content"] for model in answer["models"]] == [content]
    (rebuilt,) = ask(warm, "rebuild", before, "--env", "current")["rebuilds"]
    assert (rebuilt["verdict"], rebuilt["commit"]) == ("identical", before)
