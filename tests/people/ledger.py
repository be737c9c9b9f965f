"""Who writes receipts, and writes them anew behind everybody's back."""

import hashlib
import json

from predictflow.adapters.dvc_files import parse_yaml
from predictflow.adapters.git import Repository
from predictflow.ledger.chain import Chain, read_chain
from predictflow.ledger.ledger import Ledger
from predictflow.ledger.origin import ask_origin
from predictflow.ledger.receipts import Receipt, ReceiptDraft
from predictflow.ledger.tags import canonical

MODEL = "churn-predictor"
FILE, METRICS, PROVENANCE = (
    "models/churn-predictor/model.ubj",
    "metrics/evaluate/metrics.json",
    "models/provenance.json",
)
PARAMS = """\
seed: 7
promote:
  gate:
    minimum:
      roc_auc: 0.6
  margin: 0.1
  confidence: 0.95
  resamples: 300
  remote: false
  rebuilt_within_days: null
"""
LOCK = """\
stages:
  train:
    outs:
    - path: models/provenance.json
      md5: {provenance}
  evaluate:
    outs:
    - path: metrics/evaluate/metrics.json
      md5: {metrics}
"""
# What a rebuild has come to.
REBUILD = {
    "verdict": "identical",
    "entries": 140,
    "differs": [],
    "predictions": {"customers": None, "largest": 0.0},
    "inputs": [],
    "environment": "own",
    "requirements": "e" * 32,
    "machine": {"python": "3.11.7", "cpu": "x86_64 Haswell", "threads": "2"},
}


def git(repository: Repository, *words: str) -> str:
    return repository.read(*words).strip()


def provenance_of(number: int) -> str:
    return json.dumps([{"path": FILE, "md5": f"{number:032}"}, {"params": {}}])


def content_of(number: int) -> str:
    """The content of the model that `commit_model` makes."""
    return hashlib.md5(provenance_of(number).encode()).hexdigest()


def commit_model(repository: Repository, number: int) -> None:
    """Commit what Git holds of a model, as the stages would write it."""
    texts = {
        PROVENANCE: provenance_of(number),
        METRICS: json.dumps({"roc_auc": 0.7 + number / 100}),
        "params.yaml": PARAMS,
    }
    md5s = {name: hashlib.md5(text.encode()).hexdigest() for name, text in texts.items()}
    texts["dvc.lock"] = LOCK.format(provenance=md5s[PROVENANCE], metrics=md5s[METRICS])
    for name, text in texts.items():
        path = repository.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", f"model {number}")


def decision_at(repository: Repository, commit: str, content: str, chain: Chain) -> dict:
    """The decision that lets a version pass, after a chain, as far as Git tells."""
    metrics = json.loads(git(repository, "show", f"{commit}:{METRICS}"))
    params = parse_yaml(git(repository, "show", f"{commit}:params.yaml").encode())
    settings = {key: value for key, value in params["promote"].items() if key != "signers"}
    champion = chain.standing().get("production")
    compared = {"customers": 90, "positives": 30, "left_out": 0, "champion_roc_auc": 0.7}
    compared |= {"challenger_roc_auc": 0.75, "difference": 0.05, "low": 0.0, "high": 0.1}
    if champion and champion.content == content:
        compared = dict.fromkeys(compared)
    return {
        "passed": True,
        "forcible": True,
        "forced": False,
        "reasons": ["all is well"],
        "against": [],
        "numbers": {
            "metrics": metrics,
            "settings": settings | {"seed": params["seed"]},
            "comparison": champion
            and {
                "champion": f"{chain.model}/{champion.version}",
                "content": champion.content,
                "same": champion.content == content,
                "why_not": None,
            }
            | compared,
        },
    }


def draft(repository: Repository, action: str, version: int, stage: str | None = None) -> ReceiptDraft:
    """A receipt to write; version 1 is the first commit, and so on."""
    commit = git(repository, "rev-list", "--reverse", "main").split()[version - 1]
    content = content_of(version)
    facts = {"content": content, "md5s": {FILE: f"{version:032}"}, "run": None, "registered": 1}
    decided = action in ("promoted", "rolled back")
    facts["decision"] = (
        decision_at(repository, commit, content, read_chain(repository, MODEL)) if decided else None
    )
    return ReceiptDraft(action, version, commit, facts | {"tags": {}, "description": ""}, stage)


def put(
    repository: Repository,
    action: str,
    version: int,
    stage: str | None = None,
    *,
    model: str = MODEL,
    **more: object,
) -> Receipt:
    """Write a receipt, and push nothing."""
    ledger = Ledger(repository, read_chain(repository, model), None)
    return ledger.append([draft(repository, action, version, stage)], **more)[0]


def append(repository: Repository, *drafts: tuple) -> Receipt:
    """Write receipts and push them, without a fetch before; the last one."""
    ledger = Ledger(repository, read_chain(repository, MODEL), ask_origin(repository, MODEL))
    return ledger.append([draft(repository, *words) for words in drafts])[-1]


def rewrite(repository: Repository, name: str, to: str | None = None, message: str = "", **changed) -> None:
    """Write a tag anew, under its own name or another, with changes to its body, its commit or its date, in a
    clone that did not know it before."""
    git(repository, "update-ref", "-d", f"refs/receipts/{MODEL}")
    one = {receipt.name: receipt for receipt in read_chain(repository, MODEL).receipts}[name]
    commit, date = changed.pop("at", one.commit), changed.pop("date", one.time)
    body = one.body | changed
    message = message or f"words\n\n{canonical(body)}\n"
    done = repository.git(
        *("tag", "--force", "-a", "-F", "-", "--cleanup=verbatim", to or name, commit),
        given=message,
        env={"GIT_COMMITTER_DATE": f"@{date} +0000"},
    )
    assert done.returncode == 0, done.stderr


def list_signers(here: Repository, text: str) -> None:
    (here.root / "signers").write_text(text)
    (here.root / "params.yaml").write_text(f"{PARAMS}  signers: signers\n")
    git(here, "add", "--all")
    git(here, "commit", "--quiet", "-m", "whose receipts count")
    here.__dict__.pop("head", None)  # as a new command finds it
