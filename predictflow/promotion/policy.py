"""Whether a version may take a stage: a pure decision with its reasons and every number.

What it is decided from is gathered in `predictflow/promotion/evidence.py`; nothing is looked up here.
"""

from dataclasses import asdict, dataclass
from typing import Any

from predictflow.ledger.rebuilds import IDENTICAL
from stages.model import bars
from stages.support.errors import UserError
from stages.support.params import SEEDS, Params

PROMOTE_KEYS = ("gate", "margin", "confidence", "resamples", "remote", "rebuilt_within_days", "signers")


@dataclass(frozen=True)
class Settings:
    """The block `promote` of params.yaml, checked.

    Attributes:
        gate: {"minimum": {metric: bar}, "maximum": {metric: bar}}.
        margin: by how much ROC AUC the challenger may be worse than the champion.
        confidence: of each end of the interval around their difference, one-sided.
        resamples: how many times the bootstrap draws the test customers.
        remote: whether data and model must be on DVC's default remote.
        rebuilt_within_days: how old the last rebuild may be, which was identical; None: that is not asked.
        seed: of those draws.
    """

    gate: dict[str, Any]
    margin: float
    confidence: float
    resamples: int
    remote: bool
    rebuilt_within_days: float | None
    seed: int


def read(settings: Params) -> Settings:
    """Raises UserError for a key that is missing, means nothing, or has a value that cannot be meant."""
    block = settings["promote"]
    cure = f"Cure: the keys {', '.join(PROMOTE_KEYS)}."
    if not isinstance(block, dict):
        raise UserError(f"promote in params.yaml is {block!r}.\n{cure}")
    if unknown := sorted(set(block) - set(PROMOTE_KEYS)):
        raise UserError(f"promote.{unknown[0]} in params.yaml means nothing.\n{cure}")
    remote = settings["promote.remote"]
    if not isinstance(remote, bool):
        raise UserError(f"promote.remote in params.yaml is {remote!r}.\nCure: true or false.")
    signers = settings["promote.signers"] if "signers" in block else None
    if not isinstance(signers, str | None):
        where = "promote.signers in params.yaml"
        raise UserError(f"{where} is {signers!r}.\nCure: the path of a file in Git, or null.")
    return Settings(
        settings["promote.gate"],
        settings.number("promote.margin", 0, 0.5),
        settings.number("promote.confidence", 0.5, 0.9999),
        settings.integer("promote.resamples", 100, 100_000),
        remote,
        None
        if settings["promote.rebuilt_within_days"] is None
        else settings.number("promote.rebuilt_within_days", 0, 36_500),
        settings.integer("seed", 0, SEEDS),
    )


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same test customers.

    Attributes:
        champion: the name of its version.
        content: the champion's; None where that is not one version's.
        same: whether the two are the same content, so that nothing needs to be compared.
        why_not: why they could not be compared; None where they were.
        customers, positives: that both were scored on.
        left_out: test customers of the challenger that the champion has learned from.
        champion_roc_auc, challenger_roc_auc: on these customers.
        difference: the challenger's less the champion's.
        low, high: the ends of its interval.
    """

    champion: str
    content: str | None = None
    same: bool = False
    why_not: str | None = None
    customers: int | None = None
    positives: int | None = None
    left_out: int | None = None
    champion_roc_auc: float | None = None
    challenger_roc_auc: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All that a promotion is decided from.

    Attributes:
        version, stage: what is to go where: churn-predictor/3, production.
        content: what the registry says that the version is; None where it does not say.
        commit: the first commit on a branch or tag whose dvc.lock holds it; None where there is none.
        files: how many files the content was found to agree on.
        disagreements: where registry, Git, MLflow's files and DVC's cache do not say the same; sentences.
        metrics: the numbers of its evaluation, from Git; empty where they were not committed.
        missing: what is not on the default remote; None where that was not asked for or could not be seen.
        remote_unseen: why the remote could not be looked at.
        rebuilt: the verdict of the last rebuild, and how many days ago; None where nobody has rebuilt it.
        comparison: with who is in Production; None where nobody is.
    """

    version: str
    stage: str
    content: str | None
    commit: str | None
    files: int
    disagreements: list[str]
    metrics: dict[str, float]
    missing: list[str] | None
    remote_unseen: str | None
    comparison: Comparison | None
    rebuilt: tuple[str, float] | None = None


@dataclass(frozen=True)
class PromotionDecision:
    """May the version take the stage?

    Attributes:
        passed: whether nothing speaks against it.
        forcible: whether a person may do it all the same: not where the content is in doubt.
        reasons: a sentence for everything that was looked at, in a fixed order: content, remote, rebuild,
            bars, champion.
        against: those of them that speak against it.
        numbers: what was compared, as plain values for JSON.
    """

    passed: bool
    forcible: bool
    reasons: list[str]
    against: list[str]
    numbers: dict[str, Any]


def decide(evidence: Evidence, settings: Settings) -> PromotionDecision:
    """The decision; nothing but its arguments decides it.

    Raises UserError for a bar that cannot be meant (a metric that was never measured, a bar that is no
    number).
    """
    reasons = [(False, sentence) for sentence in evidence.disagreements] or [_content(evidence)]
    if settings.remote:
        reasons.append(_remote(evidence))
    if settings.rebuilt_within_days is not None:
        reasons.append(_rebuilt(evidence, settings.rebuilt_within_days))
    reasons += _bars(evidence, settings.gate)
    reasons.append(_champion(evidence, settings))
    against = [sentence for good, sentence in reasons if not good]
    return PromotionDecision(
        passed=not against,
        forcible=not evidence.disagreements,
        reasons=[sentence for _, sentence in reasons],
        against=against,
        numbers={
            "metrics": dict(evidence.metrics),
            "settings": asdict(settings),
            "comparison": asdict(evidence.comparison) if evidence.comparison else None,
        },
    )


def _content(evidence: Evidence) -> tuple[bool, str]:
    return True, (
        f"the content {evidence.content} is the same in the registry, in dvc.lock and provenance.json of"
        f" commit {(evidence.commit or '')[:10]}, and in all {evidence.files} files of the model"
    )


def _remote(evidence: Evidence) -> tuple[bool, str]:
    if evidence.missing is None:
        unknown = "whether data and model are on the default remote is not known"
        return False, f"{unknown}: {evidence.remote_unseen}"
    if evidence.missing:
        named = ", ".join(evidence.missing)
        return False, f"not on the default remote: {named} (`dvc push --all-commits` brings them there)"
    return True, "data and model are on the default remote"


def _rebuilt(evidence: Evidence, limit: float) -> tuple[bool, str]:
    cure = f"`predictflow rebuild {evidence.version}`"
    if evidence.rebuilt is None:
        return False, f"nobody has rebuilt it yet ({cure})"
    verdict, days = evidence.rebuilt
    if verdict != IDENTICAL:
        return False, f"its last rebuild, {days:.1f} days ago, was not identical: {verdict}"
    if days > limit:
        return False, f"it was rebuilt {days:.1f} days ago, which is more than {limit:g} ({cure})"
    return True, f"it was rebuilt {days:.1f} days ago, byte for byte"


def _bars(evidence: Evidence, gate: dict[str, Any]) -> list[tuple[bool, str]]:
    if not evidence.metrics:
        why = "there are no numbers to hold against promote.gate"
        return [(False, f"{why}: no commit has the metrics that dvc.lock names")]
    decided = bars.decide(evidence.metrics, gate, key="promote.gate")
    return [(reason not in decided.missed, reason) for reason in decided.reasons]


def _champion(evidence: Evidence, settings: Settings) -> tuple[bool, str]:
    seen = evidence.comparison
    if seen is None:
        return True, "no version is in production, so there is no champion to compare it with"
    if seen.same:
        return True, f"it has the content of the champion, {seen.champion}: it scores everyone alike"
    if seen.low is None:
        return False, f"it could not be compared with the champion, {seen.champion}: {seen.why_not}"
    good = seen.low >= -settings.margin
    out = f" ({seen.left_out:,} that the champion has learned from left out)" if seen.left_out else ""
    verdict = "is not below" if good else "is below"
    return good, (
        f"on {seen.customers:,} test customers{out} its ROC AUC is {seen.challenger_roc_auc:.4f}, that of the"
        f" champion, {seen.champion}, {seen.champion_roc_auc:.4f}: the difference, {seen.difference:+.4f}, is"
        f" at least {seen.low:+.4f} with confidence {settings.confidence:g}, which {verdict}"
        f" {-settings.margin:+g}"
    )
