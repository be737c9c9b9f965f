"""Who writes receipts, and writes them anew behind everybody's back."""

from predictflow.adapters.git import Repository
from predictflow.ledger.chain import Chain, read_chain
from predictflow.ledger.receipts import Receipt, canonical
from predictflow.ledger.writer import write_receipt

MODEL = "churn-predictor"


GIVEN = {"md5s": {}, "run": None, "registered": 1, "tags": {}, "description": "", "decision": None}


def git(repository: Repository, *words: str) -> str:
    return repository.read(*words).strip()


def put(
    repository: Repository,
    action: str,
    version: int,
    stage: str | None = None,
    *,
    model: str = MODEL,
    chain: Chain | None = None,
    **more: object,
) -> Receipt:
    """Write a receipt; version 1 is the first commit, and so on."""
    commit = git(repository, "rev-list", "--reverse", "main").split()[version - 1]
    chain = chain or read_chain(repository, model)
    given = GIVEN | {"content": f"content {version}"}
    return write_receipt(repository, chain, action, version, commit, given, stage=stage, **more)


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
