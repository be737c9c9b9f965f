"""Does what a receipt says follow from what Git holds at its commit, and from the receipts before it?"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from predictflow.adapters.dvc_files import (
    DVC_LOCK,
    MEASURED,
    parse_lock,
    parse_params,
    parse_record,
    parse_yaml,
)
from predictflow.adapters.git import Repository
from predictflow.formatting import Json
from predictflow.ledger import receipts
from predictflow.ledger.chain import Chain, assigned_after, standing_after
from predictflow.ledger.receipts import Receipt
from stages.model import bars
from stages.support.errors import UserError
from stages.support.params import flat
from stages.support.paths import PARAMS, PROVENANCE
from stages.tracking.registry import RegistryStage

DECISION_TYPES = {"passed": bool, "forcible": bool, "forced": bool, "reasons": list, "against": list}
AUCS = ("champion_roc_auc", "challenger_roc_auc")
COMPARED = ("customers", "positives", "left_out", *AUCS, "difference", "low", "high")
COMPARISON_KEYS = {"champion", "content", "same", "why_not", *COMPARED}
ROUNDED = 1e-6  # by which numbers that were rounded may be off


@dataclass(frozen=True)
class Evidence:
    """What Git holds of the versions that receipts speak of."""

    repository: Repository
    chain: Chain

    @cached_property
    def blobs(self) -> dict[str, bytes]:
        """{"commit:path": bytes} of what the commits of the receipts have."""
        commits = dict.fromkeys(receipt.body["commit"] for receipt in self.chain.receipts)
        paths = (DVC_LOCK, PROVENANCE.as_posix(), MEASURED, PARAMS.as_posix())
        names = [f"{commit}:{path}" for commit in commits for path in paths]
        ids = dict(zip(names, self.repository.ids(names), strict=True))
        texts = dict(self.repository.blobs(list({blob for blob in ids.values() if blob})))
        return {name: texts[blob] for name, blob in ids.items() if blob in texts}

    def md5s(self, commit: str) -> dict[str, str]:
        """{path: md5} by a commit's provenance.json; by its dvc.lock where that names none."""
        try:
            *files, _ = parse_record(self.blobs[f"{commit}:{PROVENANCE}"])
            named = {entry["path"]: entry["md5"] for entry in files}
        except (KeyError, TypeError, ValueError):  # it is no such list
            named = {}
        return named or parse_lock(self.blobs.get(f"{commit}:{DVC_LOCK}", b"")).md5s

    def metrics(self, commit: str) -> dict[str, float]:
        """The numbers of the evaluation that a commit's dvc.lock names; nothing where none were committed."""
        lock = self.blobs.get(f"{commit}:{DVC_LOCK}", b"")

        def named(text: bytes) -> bool:
            return hashlib.md5(text).hexdigest().encode() in lock

        text = self.blobs.get(f"{commit}:{MEASURED}", b"")
        if not named(text):  # it may have been committed later
            later = (text for _, text in self.repository.blobs(_all_of(self.repository, MEASURED)))
            text = next(filter(named, later), b"{}")
        return parse_record(text) or {}

    def is_policy(self, settings: Json, commit: str) -> bool:
        own = _parsed(self.blobs.get(f"{commit}:{PARAMS}", b""))
        return _is_policy(own, settings) or self.policies.have(settings)

    @cached_property
    def policies(self) -> "Policies":
        return Policies(self.repository)


@dataclass(frozen=True)
class Policies:
    """What params.yaml of the commits on branches and tags has ever said under promote."""

    repository: Repository

    def have(self, settings: Json) -> bool:
        """Whether these settings, with the seed, are one of them."""
        if any(_is_policy(_parsed(text), settings) for text in self._texts):
            return True
        return any(_is_policy(_read_exactly(text), settings) for text in self._texts)

    @cached_property
    def _texts(self) -> list[bytes]:
        return [text for _, text in self.repository.blobs(_all_of(self.repository, PARAMS.as_posix()))]


_parsed = cache(parse_params)  # receipts are many, and policies few


def _read_exactly(text: bytes) -> Json:
    """As DVC reads it, a number like .5 too, which takes longer; nothing of one that is no YAML."""
    try:
        return flat(parse_yaml(text))
    except ValueError:
        return {}


def _all_of(repository: Repository, path: str) -> list[str]:
    """The ids of all that branches and tags ever had at a path."""
    words = ("rev-list", "--objects", "--full-history", "--branches", "--remotes", "--tags")
    head = ("HEAD",) if repository.head else ()
    listed = repository.read(*words, *head, "--", path).splitlines()
    return [line.removesuffix(f" {path}") for line in listed if line.endswith(f" {path}")]


def _is_policy(params: Json, settings: Json) -> bool:
    """Whether params, by their dotted names, have these settings under promote, and the seed."""
    told = {name: value for name, value in params.items() if name.startswith("promote.")}
    told.pop("promote.signers", None)
    wanted = {f"promote.{name}": value for name, value in flat(settings).items()}
    return wanted.pop("promote.seed", None) == params.get("seed") and told == wanted


def of_record(evidence: Evidence, receipt: Receipt) -> Iterator[str]:
    """Where its content and md5s are not those of provenance.json in its commit."""
    commit = receipt.body["commit"]
    text = evidence.blobs.get(f"{commit}:{PROVENANCE}")
    where = f"{PROVENANCE} of commit {commit[:10]}"
    if text is None:
        yield f"content: {where} is not there"
    elif (md5 := hashlib.md5(text).hexdigest()) != receipt.content:
        yield f"content: it is {receipt.content}, by {where} {md5}"
    else:
        named = evidence.md5s(commit)
        for path in sorted(named.keys() | receipt.md5s.keys()):
            if named.get(path) != receipt.md5s.get(path):
                yield f"md5s: that of {path} is {receipt.md5s.get(path)}, by {where} {named.get(path)}"


def of_decision(evidence: Evidence, receipt: Receipt) -> Iterator[str]:
    """Where its decision is not complete, or not what its numbers and Git's come to."""
    decision, action, commit = receipt.decision, receipt.action, receipt.body["commit"]
    if decision is None:
        if action in (receipts.PROMOTED, receipts.ROLLED_BACK):
            yield "decision: there is none, and a promotion has one"
        return
    if action == receipts.ARCHIVED:
        yield "decision: there is one, and who takes a version out decides nothing"
        return
    for key, kind in DECISION_TYPES.items():
        if type(decision.get(key)) is not kind:
            yield f"decision.{key}: it is {decision.get(key)!r}"
            return
    numbers = decision.get("numbers")
    if not isinstance(numbers, dict) or set(numbers) != {"metrics", "settings", "comparison"}:
        yield "decision.numbers: they are not metrics, settings and comparison"
        return
    metrics, settings, comparison = (numbers[key] for key in ("metrics", "settings", "comparison"))
    recorded = evidence.metrics(commit)
    if metrics != recorded:
        told = metrics if isinstance(metrics, dict) else {}
        name = next((name for name in {**recorded, **told} if told.get(name) != recorded.get(name)), "")
        by = f"{MEASURED} of commit {commit[:10]}"
        yield f"decision.numbers.metrics.{name}: it is {told.get(name)}, by {by} {recorded.get(name)}"
        return
    if not isinstance(settings, dict) or not evidence.is_policy(settings, commit):
        yield f"decision.numbers.settings: no commit has this policy under promote in {PARAMS}"
        return
    if comparison is not None and (wrong := _of_comparison(comparison)):
        yield f"decision.numbers.comparison{wrong}"
        return
    yield from _of_outcome(receipt, decision, _missed(metrics, settings, comparison))


def _of_comparison(comparison: Any) -> str:
    """What is wrong with champion against challenger in itself: ".field: …"; empty where nothing is."""
    if not isinstance(comparison, dict) or set(comparison) != COMPARISON_KEYS:
        return ": its fields are not complete"
    if not isinstance(comparison["champion"], str) or type(comparison["same"]) is not bool:
        return ".champion: it names nobody"
    if comparison["same"] or comparison["why_not"] is not None:
        named = next((key for key in COMPARED if comparison[key] is not None), None)
        return f".{named}: there is one, and nothing was compared" if named else ""
    for key in COMPARED:
        if isinstance(comparison[key], bool) or not isinstance(comparison[key], int | float):
            return f".{key}: it is {comparison[key]!r}"
    champion, challenger = (comparison[key] for key in AUCS)
    if abs(challenger - champion - comparison["difference"]) > ROUNDED:
        return f".difference: it is {comparison['difference']}, by the two {challenger - champion:.6f}"
    return ""


def _missed(metrics: dict[str, float], settings: Json, comparison: Json | None) -> list[str]:
    """What speaks against a version, by the numbers alone."""
    if not metrics:
        return ["there are no metrics"]
    try:
        missed = bars.decide(metrics, settings["gate"], key="promote.gate").missed
        if comparison and comparison["why_not"] is not None:
            return [*missed, "champion and challenger were not compared"]
        if comparison and not comparison["same"] and comparison["low"] < -settings["margin"]:
            return [*missed, f"the difference may be {comparison['low']}, below the margin"]
    except (UserError, KeyError, TypeError) as error:
        return [f"the bars cannot be meant: {error}"]
    return missed


def _of_outcome(receipt: Receipt, decision: Json, missed: list[str]) -> Iterator[str]:
    """Where what was decided is not what its reasons come to."""
    if decision["passed"] != (not decision["against"]) or not decision["reasons"]:
        yield "decision.passed: it is not what its reasons say"
    elif decision["passed"] and missed:
        yield f"decision.passed: it is true, but {missed[0]}"
    elif decision["forced"] != (not decision["passed"]):
        yield f"decision.forced: it is {decision['forced']}, and passed is {decision['passed']}"
    elif decision["forced"] and not decision["forcible"]:
        yield "decision.forced: nothing can force what is in doubt"
    elif decision["forced"] and receipt.action == receipts.PROMOTED and not receipt.body["why"]:
        yield "decision.forced: it is, without a reason (why)"


def of_standing(receipt: Receipt, before: list[Receipt]) -> Iterator[str]:
    """Where it is not what the receipts before it say of who stands where."""
    standing, stage = standing_after(before), receipt.stage or ""
    former = standing[stage].version if stage in standing else None
    if receipt.body["from"] != former:
        yield f"from: it is {receipt.body['from']}, by the receipts before it {former}"
    if receipt.action == receipts.ROLLED_BACK and assigned_after(before, stage)[-2:-1] != [receipt.version]:
        yield f"version: {receipt.version} is not who was in {stage} before"
    if receipt.decision is None:
        return
    champion = standing.get(RegistryStage.PRODUCTION.alias)
    comparison = receipt.decision["numbers"]["comparison"]
    if champion is None:
        # Before the first receipt, MLflow alone says who is in Production.
        others = [one for one in before if one.version != receipt.version]
        if comparison and comparison["why_not"] is None and others:
            yield "decision.numbers.comparison: there is one, and nobody was in production"
    elif comparison is None:
        yield f"decision.numbers.comparison: there is none, and version {champion.version} was in production"
    elif comparison["why_not"] is None:
        same = champion.content == receipt.content
        if comparison["same"] != same or comparison["content"] != champion.content:
            yield f"decision.numbers.comparison.content: it is not that of version {champion.version}"
