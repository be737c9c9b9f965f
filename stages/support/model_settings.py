"""The settings of each model, under the names of its own library, with their types and ranges.

Left out is what would make a model something else than probabilities that are the same every time (the
task, the solver, the device), and what the stages set themselves (the seed, threads, what is measured).
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from stages.support.blocks import Block

MOST = 2**31 - 1  # of what XGBoost counts
Balanced = Literal["balanced"]


class XGBoost(Block):
    """https://xgboost.readthedocs.io/en/stable/parameter.html"""

    rounds: int = Field(ge=1, le=MOST)
    objective: Literal["binary:logistic", "reg:logistic"] = Field(
        "binary:logistic", description="binary:logistic or reg:logistic, which give probabilities"
    )
    base_score: float = Field(0.5, gt=0, lt=1)
    learning_rate: float = Field(0.3, gt=0, le=1)
    max_depth: int = Field(6, ge=0, le=MOST)
    max_leaves: int = Field(0, ge=0, le=MOST)
    grow_policy: Literal["depthwise", "lossguide"] = "depthwise"
    max_bin: int = Field(256, ge=2, le=MOST)
    min_child_weight: float = Field(1, ge=0)
    max_delta_step: float = Field(0, ge=0)
    gamma: float = Field(0, ge=0)
    reg_lambda: float = Field(1, ge=0)
    reg_alpha: float = Field(0, ge=0)
    subsample: float = Field(1, gt=0, le=1)
    colsample_bytree: float = Field(1, gt=0, le=1)
    colsample_bylevel: float = Field(1, gt=0, le=1)
    colsample_bynode: float = Field(1, gt=0, le=1)
    scale_pos_weight: float = Field(1, gt=0)
    num_parallel_tree: int = Field(1, ge=1, le=MOST)
    max_cat_to_onehot: int = Field(4, ge=1, le=MOST)
    max_cat_threshold: int = Field(64, ge=1, le=MOST)
    monotone_constraints: dict[str, Literal[-1, 0, 1]] = Field(
        {}, description="a mapping from columns to -1, 0 or 1"
    )
    interaction_constraints: list[list[str]] = Field([], description="a list of lists of columns")


class LogisticRegression(Block):
    C: float = Field(1, gt=0)
    max_iter: int = Field(100, ge=1)
    tol: float = Field(1e-4, gt=0)
    fit_intercept: bool = True
    intercept_scaling: float = Field(1, gt=0)
    class_weight: Balanced | None = Field(None, description="balanced or null")


class RandomForest(Block):
    n_estimators: int = Field(100, ge=1)
    criterion: Literal["gini", "entropy", "log_loss"] = "gini"
    max_depth: int | None = Field(None, ge=1)
    max_leaf_nodes: int | None = Field(None, ge=2)
    min_samples_split: int = Field(2, ge=2)
    min_samples_leaf: int = Field(1, ge=1)
    min_weight_fraction_leaf: float = Field(0, ge=0, le=0.5)
    min_impurity_decrease: float = Field(0, ge=0)
    max_features: (
        Annotated[float, Field(gt=0, le=1)] | Annotated[int, Field(ge=1)] | Literal["sqrt", "log2"] | None
    ) = Field(
        "sqrt",
        description="a share above 0 up to 1.0, a whole number from 1, sqrt, log2, or null for all columns",
    )
    bootstrap: bool = True
    ccp_alpha: float = Field(0, ge=0)
    class_weight: Balanced | None = Field(None, description="balanced or null")


class HistGradientBoosting(Block):
    max_iter: int = Field(100, ge=1)
    max_depth: int | None = Field(None, ge=1)
    max_leaf_nodes: int | None = Field(31, ge=2)
    max_bins: int = Field(255, ge=2, le=255)
    max_features: float = Field(1, gt=0, le=1)
    min_samples_leaf: int = Field(20, ge=1)
    learning_rate: float = Field(0.1, gt=0, le=1)
    l2_regularization: float = Field(0, ge=0)
    class_weight: Balanced | None = Field(None, description="balanced or null")


SETTINGS: dict[str, type[Block]] = {  # of each model that train.model may name
    "xgboost": XGBoost,
    "logistic_regression": LogisticRegression,
    "random_forest": RandomForest,
    "hist_gradient_boosting": HistGradientBoosting,
}

# With these XGBoost works out what a split gains by another formula, whose a*b + c is rounded once on aarch64
# and twice on x86-64. The file keeps the gains. To leave them out would not do: they choose the splits, so of
# two that are all but equal another one may win there. `make test-arm` shows what differs.
ONE_CPU_FAMILY = {"xgboost": ("max_delta_step", "monotone_constraints")}


def cpu_family_notes(model: str, settings: dict[str, Any]) -> list[str]:
    """A sentence for each setting in force under which a model's bytes hold on one family of CPUs alone."""
    return [
        f"models.{model}.{name}: the model's file is the same to the byte within one family of CPUs alone"
        " (x86-64, aarch64); on the other one `predictflow rebuild` compares its predictions"
        for name in ONE_CPU_FAMILY.get(model, ())
        if _in_force(settings.get(name))
    ]


def _in_force(value: Any) -> bool:
    return any(value.values()) if isinstance(value, dict) else bool(value)
