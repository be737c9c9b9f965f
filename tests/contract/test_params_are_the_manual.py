"""params.yaml is the manual: whoever reads it knows what each key means."""

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from tests.declared import text

# Told in one comment with the key before them, which says so ("of customers, and of columns").
TOLD_TOGETHER = {"models.xgboost.colsample_bytree"}
# Their keys are names that the user chooses; the comment over the block tells what stands under them.
NAMED_BY_THE_USER = ("data.columns.", "promote.gate.", "register.gate.", "tune.space.")


def untold(manual: str) -> list[str]:
    """The keys of a params.yaml's text that hold a value and have no comment.

    A comment stands right above its key; or above the key's block, if none of the block's keys has one
    of its own.
    """
    lines = manual.splitlines()
    missing: list[str] = []

    def has_comment(line: int) -> bool:
        return line > 0 and lines[line - 1].lstrip().startswith("#")

    def walk(block: CommentedMap, prefix: str, block_is_told: bool) -> None:
        told = {key: has_comment(block.lc.key(key)[0]) for key in block}
        for key, value in block.items():
            name = f"{prefix}{key}"
            by_its_block = block_is_told and not any(told.values())
            if name.startswith(NAMED_BY_THE_USER):
                by_its_block = block_is_told
            is_told = told[key] or by_its_block or name in TOLD_TOGETHER
            if isinstance(value, CommentedMap):
                walk(value, f"{name}.", is_told)
            elif not is_told:
                missing.append(name)

    walk(YAML().load(manual), "", False)
    return missing


def test_every_key_has_a_comment_above_it_or_above_its_block():
    assert untold(text("params.yaml")) == []


def test_a_key_without_a_comment_is_noticed():
    manual = text("params.yaml")
    for comment in (
        "  # The least weight (about a quarter of a customer each) of a leaf.\n",
        "# Names in MLflow.",
        "# Every random number of every stage comes from it",
        "  # What is to be predicted: its column",
        "  # What a model must reach on the test customers",
    ):
        (line,) = [line for line in manual.splitlines() if line.strip().startswith(comment.strip())]
        blank = "".join(
            "\n" if kept == line else f"{kept}\n"
            for kept in manual.replace("  # Moving the bar retrains nothing.\n", "").splitlines()
        )
        assert untold(blank), f"nobody misses {line!r}"


def test_the_comment_over_the_model_names_every_model():
    from stages.model.families import FAMILIES

    line = next(line for line in text("params.yaml").splitlines() if line.strip().startswith("# The model:"))
    assert all(name in line for name in FAMILIES)
    assert set(YAML(typ="safe").load(text("params.yaml"))["models"]) == set(FAMILIES)
