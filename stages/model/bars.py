"""Whether a model is good enough: a pure decision with its reasons."""

from dataclasses import dataclass
from typing import Any

from stages.support.errors import UserError

WORDS = {
    ("minimum", True): "reaches",
    ("minimum", False): "misses",
    ("maximum", True): "is within",
    ("maximum", False): "exceeds",
}


@dataclass(frozen=True)
class BarsDecision:
    """A sentence for every bar, and which of them tell of a bar that was missed."""

    reasons: list[str]
    missed: list[str]

    @property
    def passed(self) -> bool:
        return not self.missed


def decide(metrics: dict[str, float], gate: dict[str, Any], key: str = "register.gate") -> BarsDecision:
    """Hold metrics against {"minimum": {metric: bar}, "maximum": {metric: bar}}; `key` is where these stand.

    Raises UserError for a metric that was never measured or a bar that is no number.
    """
    if not isinstance(gate, dict):
        raise UserError(
            f"{key} in params.yaml is {gate!r}.\nCure: minimum and maximum, a bar for each metric."
        )
    reasons: list[str] = []
    missed: list[str] = []
    for side, bars in gate.items():
        if side not in ("minimum", "maximum"):
            raise UserError(f"{key}.{side} in params.yaml means nothing.\nCure: minimum or maximum.")
        if not isinstance(bars, dict | None):
            raise UserError(f"{key}.{side} in params.yaml is {bars!r}.\nCure: a bar for each metric.")
        for metric, bar in (bars or {}).items():
            name = f"{key}.{side}.{metric}"
            if metric not in metrics:
                raise UserError(
                    f"{name} in params.yaml names no metric.\nCure: one of {', '.join(sorted(metrics))}."
                )
            if isinstance(bar, bool) or not isinstance(bar, int | float) or bar != bar:
                raise UserError(f"{name} in params.yaml is {bar!r}.\nCure: give it a number.")
            value = metrics[metric]
            reached = value >= bar if side == "minimum" else value <= bar
            reasons.append(f"{metric} {value:g} {WORDS[side, reached]} the {side} {bar:g}")
            if not reached:
                missed.append(reasons[-1])
    return BarsDecision(reasons, missed)
