"""The plots of dvc.yaml draw what the stages write."""

import csv
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.declared import REPOSITORY, yaml
from tests.people import customers

PLOTS = [next(iter(plot.items())) for plot in yaml("dvc.yaml")["plots"]]


def write(folder: Path, model: str) -> None:
    """Let prepare, train and evaluate write their files for a model, of small data and without a store."""
    from stages import evaluate, prepare, train
    from stages.model.families import FAMILIES
    from stages.support import params

    for name in ("params.yaml", "requirements.lock"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    (folder / "data").mkdir()
    customers.write_members(folder / "data/customers.csv")
    customers.declare_members(folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tree = YAML(typ="safe", pure=True).load(folder / "params.yaml")
        tree["train"]["model"] = model
        settings = params.Params(tree)
        prepare.main()
        family = FAMILIES[model]
        sample = train.customers(settings)
        train.draw_curve(settings)
        train.write(family, family.fit(sample, tree["models"][model], tree["seed"]), settings)
        evaluate.evaluate(settings)


@pytest.mark.parametrize(("title", "plot"), PLOTS, ids=[title for title, _ in PLOTS])
def test_a_plot_has_a_title_and_both_axes_are_told(title, plot):
    assert title[0].isupper()
    for key in ("template", "x", "x_label", "y_label", "y"):
        assert plot[key], key


@pytest.mark.parametrize("model", yaml("params.yaml")["models"])
def test_the_plots_draw_all_that_the_stages_write_and_nothing_else(model, tmp_path):
    write(tmp_path, model)
    drawn = {path: (plot["x"], columns) for _, plot in PLOTS for path, columns in plot["y"].items()}
    for path, (x, columns) in drawn.items():
        with (tmp_path / path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t" if path.endswith(".tsv") else ","))
        assert rows, f"{path} is empty"
        wanted = {x, *([columns] if isinstance(columns, str) else columns)}
        assert wanted <= rows[0].keys(), f"{path} has {', '.join(rows[0])}"
    made = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "metrics/evaluate/plots").iterdir()}
    assert made <= drawn.keys()


def test_what_is_drawn_is_an_output_of_a_stage():
    stages = yaml("dvc.yaml")["stages"]
    folders = [out for stage in stages.values() for out in stage["outs"] if isinstance(out, str)]
    for _, plot in PLOTS:
        for path in plot["y"]:
            assert any(path.startswith(f"{folder}/") for folder in folders), f"{path} is no output"
