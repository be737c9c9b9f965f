"""The pictures of a study: how it went on, and where each setting does best."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictflow.tuning.report import as_study, complete
from predictflow.tuning.space import Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FEWEST = 2  # trials that are worth a picture
INCHES_A_SETTING, HEIGHT, DOTS = 2.6, 4.5, 120  # of the pictures: inches, and dots an inch


def draw(trials: "list[FrozenTrial]", today: float, space: Space, folder: Path) -> bool:
    """Write history.png and slice.png into a folder; False where too few trials are there.

    Args:
        today: the metric of the params of today.
    """
    if len(complete(trials)) < FEWEST:
        return False
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot
    from optuna.exceptions import ExperimentalWarning
    from optuna.visualization import matplotlib as drawing

    study, metric = as_study(trials, space), space.metric
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        _mend_history(drawing.plot_optimization_history(study, target_name=metric), today)
        pyplot.gcf().set_size_inches(HEIGHT * 2, HEIGHT)
        _save(folder / "history.png")
        _mend_slice(drawing.plot_slice(study, target_name=metric))
        pyplot.gcf().set_size_inches(INCHES_A_SETTING * (len(space.declared) + 1), HEIGHT)
        _save(folder / "slice.png")
    return True


def _mend_history(axes: Any, today: float) -> None:
    """With the line that a trial is to be above (or below), and the legend inside."""
    axes.axhline(today, color="0.3", linestyle="--", label="today's params")
    axes.set_title("")
    axes.legend(loc="best")


def _mend_slice(axes: Any) -> None:
    """With names and numbers that do not run into each other."""
    import numpy
    from matplotlib.ticker import NullFormatter

    for of_setting in numpy.atleast_1d(axes):
        name = of_setting.get_xlabel()
        of_setting.set_xlabel(name.removeprefix("models.").replace(".", "\n"))
        of_setting.xaxis.set_minor_formatter(NullFormatter())
    numpy.atleast_1d(axes)[0].figure.suptitle("")


def _save(path: Path) -> None:
    from matplotlib import pyplot

    pyplot.savefig(path, dpi=DOTS, bbox_inches="tight")
    pyplot.close()
