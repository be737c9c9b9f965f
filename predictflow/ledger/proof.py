"""Do receipts follow from what Git holds? Their signatures, where these count, their content, their decision.

The numbers of a decision stand in its commit, its policy in params.yaml of a commit, and who stood in
Production in the receipts before it. What Git has not (whether registry and bytes agreed, how the challenger
scored against the champion) is believed as it stands: a signature says whose word that is.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from predictflow.adapters.git import Repository
from predictflow.ledger import decisions
from predictflow.ledger.chain import UNPROVEN, UNSIGNED, Chain, read_chain
from predictflow.ledger.decisions import Evidence
from predictflow.ledger.origin import Origin, default_branch, tag_objects
from predictflow.ledger.receipts import Damage, Receipt
from predictflow.ledger.signatures import Signers, read_signers, verify


def read_proven(repository: Repository, model: str, default: str | None = None) -> Chain:
    """All receipts of a model, and what is wrong with them by all that Git holds.

    Args:
        default: the commit of origin's default branch, which says whose signatures count; by default as this
            clone knows it.
    """
    chain = read_chain(repository, model)
    signers = read_signers(repository, default or default_branch(repository))
    of_order = chain.damage
    chain = replace(chain, damage=[*of_order, *_unsigned(repository, chain, signers)], signers=signers)
    held = tag_objects(repository, model)
    # Where the order of receipts is in doubt, nobody knows who stood where when a decision was taken.
    declaring = [[gap for gap in chain.gaps if gap.names(found, held.get(found.tag))] for found in of_order]
    after = [chain.links.index(gap) + 1 for gaps in declaring for gap in gaps]
    in_order = chain.links[max(after, default=0) :] if all(declaring) else []
    chain = _declared(chain, held)
    unproven = _unproven(Evidence(repository, chain), in_order) if chain.receipts else []
    return _declared(replace(chain, damage=[*chain.damage, *unproven]), held)


def _declared(chain: Chain, held: dict[str, str]) -> Chain:
    """The chain with the damage that a gap was declared for apart.

    Args:
        held: {name: id} of the model's tags.
    """
    declared = [found for found in chain.damage if chain.declares(found, held.get(found.tag))]
    damage = [found for found in chain.damage if found not in declared]
    return replace(chain, damage=damage, declared=[*chain.declared, *declared])


def read_both(
    repository: Repository, model: str, ask: Callable[[Repository, str], Origin | None]
) -> tuple[Chain, Origin | None]:
    """The receipts of a model, here and on origin; what a gap was declared for is no damage on either.

    Args:
        ask: `ask_origin`, or `fetch_receipts`, which brings those that only origin has. Raises Unreachable.
    """
    origin = ask(repository, model)
    chain = read_proven(repository, model, origin.default if origin else None)
    if origin is None:
        return chain, None
    held = tag_objects(repository, model)
    damage = [found for found in origin.damage if not chain.declares(found, held.get(found.tag))]
    return chain, replace(origin, damage=damage)


def _unsigned(repository: Repository, chain: Chain, signers: Signers | None) -> Iterator[Damage]:
    if signers is None:
        return
    for link in chain.links:
        good, said = verify(repository, link, signers)
        if not good:
            message = f"it has no good signature of a key that promote.signers lists ({signers.where})"
            yield Damage(UNSIGNED, link.name, f"{message}: {said}")


def _unproven(evidence: Evidence, in_order: Iterable[Any]) -> list[Damage]:
    """What does not follow from Git.

    Args:
        in_order: the links behind which no other is missing, so that they tell who stood where.
    """
    damage: list[Damage] = []
    counted: list[Receipt] = []
    ordered, doubtful = {link.name for link in in_order}, evidence.chain.doubtful
    for receipt in evidence.chain.receipts:
        reasons = [*decisions.of_record(evidence, receipt), *decisions.of_decision(evidence, receipt)]
        if receipt.name in ordered - doubtful and not reasons:
            reasons += decisions.of_standing(receipt, counted)
        damage += [Damage(UNPROVEN, receipt.name, reason) for reason in reasons]
        if not reasons and receipt.name not in doubtful:
            counted.append(receipt)
    return damage
