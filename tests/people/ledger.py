"""Who writes receipts, and writes them anew behind everybody's back."""

from predictflow.adapters.git import Repository
from predictflow.ledger.chain import read_chain
from predictflow.ledger.ledger import Ledger
from predictflow.ledger.origin import ask_origin
from predictflow.ledger.receipts import Receipt, ReceiptDraft
from predictflow.ledger.tags import canonical

MODEL = "churn-predictor"
GIVEN = {"md5s": {}, "run": None, "registered": 1, "tags": {}, "description": "", "decision": None}


def git(repository: Repository, *words: str) -> str:
    return repository.read(*words).strip()


def draft(repository: Repository, action: str, version: int, stage: str | None = None) -> ReceiptDraft:
    """A receipt to write; version 1 is the first commit, and so on."""
    commit = git(repository, "rev-list", "--reverse", "main").split()[version - 1]
    return ReceiptDraft(action, version, commit, GIVEN | {"content": f"content {version}"}, stage)


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
    """Write a tag anew, under its own name or another, with changes to its body, its commit or its date."""
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
