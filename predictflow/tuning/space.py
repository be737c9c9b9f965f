"""What a study may try, as values, and how a trial draws from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from predictflow.formatting import Json
from predictflow.tuning.declaration import Tree, mistakes
from stages.support.params import Params, refuse

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

Direction = Literal["maximize", "minimize"]

DIRECTIONS: dict[str, Direction] = {  # of each metric that a study may be after
    "roc_auc": "maximize",
    "average_precision": "maximize",
    "log_loss": "minimize",
    "brier": "minimize",
}
MODEL = "train.model"
DIGITS = 4  # of a number that is drawn: what a person reads in params.yaml afterwards


@dataclass(frozen=True)
class Space:
    """What is tried, and what it is tried with.

    Attributes:
        metric: one of DIRECTIONS.
        folds: how many parts the training customers are cut into.
        declared: {dotted name in params.yaml: what `tune.space` says of it}, of the models that are tried.
        models: those that are tried.
        params: params.yaml.
    """

    metric: str
    folds: int
    declared: dict[str, Json]
    models: list[str]
    params: Params

    @classmethod
    def read(cls, settings: Params, metric: str | None = None) -> "Space":
        """What params.yaml says; another metric where one is given. Raises UserError naming each mistake."""
        refuse(mistakes(settings.tree))
        tune: Tree = settings["tune"]
        space = tune["space"]
        choice = space.get("train", {}).get("model")
        models = choice["choices"] if choice else [settings[MODEL]]
        declared = {MODEL: choice} if choice else {}
        for model in models:
            for name, values in (space.get("models", {}).get(model) or {}).items():
                declared[f"models.{model}.{name}"] = values
        return cls(metric or tune["metric"], tune["folds"], declared, models, settings)

    @property
    def direction(self) -> Direction:
        return DIRECTIONS[self.metric]

    def is_better(self, one: float, other: float) -> bool:
        return one > other if self.direction == "maximize" else one < other

    def as_json(self) -> Json:
        """All that decides a trial's score beside data and code: the declaration, and what is not drawn."""
        fixed = {f"models.{model}": self._fixed(model) for model in self.models}
        if MODEL not in self.declared:
            fixed[MODEL] = self.params[MODEL]
        names = ("seed", "prepare.split_salt", "data.target.column", "data.columns")
        return (
            {"tune.metric": self.metric, "tune.folds": self.folds}
            | {f"tune.space.{name}": values for name, values in self.declared.items()}
            | self.params.subset(*names)
            | fixed
        )

    def _fixed(self, model: str) -> Json:
        settings = self.params[f"models.{model}"]
        return {key: value for key, value in settings.items() if f"models.{model}.{key}" not in self.declared}

    def today(self) -> Json:
        """{dotted name: value} as params.yaml has them today, of what is drawn for its model."""
        model = self.params[MODEL]
        return {name: self.params[name] for name in self.declared if self._is_drawn_for(name, model)}

    def _is_drawn_for(self, name: str, model: str) -> bool:
        return name == MODEL or name.startswith(f"models.{model}.")

    def settings(self, drawn: Json) -> tuple[str, Json]:
        """(the model, its settings) of a trial that has drawn these values."""
        model = drawn.get(MODEL, self.params[MODEL])
        begins = f"models.{model}."
        mine = {name.removeprefix(begins): value for name, value in drawn.items() if name.startswith(begins)}
        return model, self.params[f"models.{model}"] | mine

    def draw(self, trial: "Trial") -> Json:
        """{dotted name: value} that a trial's sampler suggests: the model first, then its own settings."""
        distributions = self.distributions()
        model = self.params[MODEL]
        if MODEL in distributions:
            model = suggest(trial, MODEL, distributions[MODEL])
        drawn = {MODEL: model} if MODEL in distributions else {}
        for name, distribution in distributions.items():
            if name.startswith(f"models.{model}."):
                drawn[name] = shortened(suggest(trial, name, distribution), distribution)
        return drawn

    def distributions(self) -> "dict[str, BaseDistribution]":
        """{dotted name: Optuna's name for what is declared}."""
        return {name: DISTRIBUTIONS[values["type"]](values) for name, values in self.declared.items()}


def _integer(declared: Json) -> "BaseDistribution":
    from optuna.distributions import IntDistribution

    low, high, log = declared["low"], declared["high"], declared.get("log", False)
    return IntDistribution(low, high, log, declared.get("step", 1))


def _number(declared: Json) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution

    low, high, log = float(declared["low"]), float(declared["high"]), declared.get("log", False)
    return FloatDistribution(low, high, log, declared.get("step"))


def _category(declared: Json) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution

    return CategoricalDistribution(declared["choices"])


DISTRIBUTIONS: dict[str, Callable[[Json], "BaseDistribution"]] = {
    "integer": _integer,
    "number": _number,
    "category": _category,
}


def suggest(trial: "Trial", name: str, distribution: "BaseDistribution") -> Any:
    """What a trial's sampler suggests for one name."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{name}: {distribution}")


def shortened(value: Any, distribution: "BaseDistribution") -> Any:
    """A number of DIGITS digits, where it is one and has no steps; within its bounds."""
    from optuna.distributions import FloatDistribution

    if not isinstance(distribution, FloatDistribution) or distribution.step is not None:
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)
