"""A push: what the remote lacks or holds wrong is put right, from what is proven, and is looked for again."""

from predictflow.adapters.dvc_commands import hold_dvc_lock
from predictflow.adapters.remote_transfer import put_objects
from predictflow.formatting import Json
from predictflow.lineage.project import Project
from predictflow.maintenance.transfer import Problem, Transfer, answer, ask, begin, named
from predictflow.verification.remote_content import HOLDING, Held, Need, Read, Seen, examine, look_through

REMAKE = "`dvc repro` makes it again, or push it from where it is right"


def push(project: Project, handle: str | None, everything: bool, deep: bool) -> Json:
    """Let the remote hold every byte that is needed.

    Args:
        handle: whose needs; None for the working tree.
        everything: also all that branches and tags need.
        deep: every object on the remote is read to its end, not only those whose ETag proves nothing.

    Raises CouldNotTell where the remote cannot be asked, and UserError where DVC is at work here.
    """
    with begin(project, handle, everything, "pushing") as transfer:
        ask(transfer.remote, transfer.tell)
        with hold_dvc_lock(project.repository.require_root()):
            return _push(transfer, deep)


def _push(transfer: Transfer, deep: bool) -> Json:
    needs, tell = transfer.needs, transfer.tell
    read = Read.ALL if deep else Read.DOUBTFUL
    held = look_through(transfer.project, transfer.remote, needs, read, tell)
    seen = {one.need.md5: one for one in held}
    wanting = [one for one in held if one.held not in HOLDING]
    problems, ready = [], []
    for at, one in enumerate(wanting, 1):
        tell(f"hashing {one.need.path} ({at} of {len(wanting)})")
        problem = _not_to_be_pushed(transfer, one)
        problems += [problem] if problem else []
        ready += [] if problem else [one]
    pushed = _upload(transfer, [one.need for one in ready if not one.need.is_list], seen, problems)
    lists = []
    for need in (one.need for one in ready if one.need.is_list):
        lacking = [md5 for md5 in needs.inside.get(need.md5, []) if seen[md5].held not in HOLDING]
        if lacking:  # whoever sees a list believes that its files are there
            message = f"its list was not pushed: {len(lacking)} of its files are not there"
            problems.append(transfer.problem(need, message, "cure those, and push again"))
        else:
            lists.append(need)
    pushed += _upload(transfer, lists, seen, problems)
    replaced = {one.need.md5 for one in wanting if one.held is Held.WRONG}
    return answer(
        transfer,
        problems,
        {
            "pushed": [named(need) for need in pushed if need.md5 not in replaced],
            "replaced": [named(need) for need in pushed if need.md5 in replaced],
            "unproven": sum(one.held is Held.UNPROVEN for one in seen.values()),
        },
    )


def _not_to_be_pushed(transfer: Transfer, seen: Seen) -> Problem | None:
    """Why an object that the remote wants is not one to push: only what is proven goes out."""
    need, place = seen.need, transfer.place(seen.need)
    if transfer.is_here(need):
        return None
    if place.is_file():
        message = f"{seen.why}; DVC's cache here holds other bytes than that name says, which were not pushed"
        return transfer.problem(need, message, f"`rm {place}`; then {REMAKE}")
    return transfer.problem(need, f"{seen.why}; nor is it in DVC's cache here", REMAKE)


def _upload(
    transfer: Transfer, needs: list[Need], seen: dict[str, Seen], problems: list[Problem]
) -> list[Need]:
    """Push objects, and look whether they are there; `seen` and `problems` learn of it. Those that are."""
    if not needs:
        return []
    failed = transfer.try_again(put_objects, needs, "pushed")
    for need in needs:
        if error := failed.get(need.md5):
            problems.append(transfer.problem(need, str(error), error.cure))
    sent = [need for need in needs if need.md5 not in failed]
    there = []
    for one in examine(transfer.remote, sent, Read.UNPROVEN, transfer.tell):
        seen[one.need.md5] = one
        if one.held is Held.RIGHT:
            there.append(one.need)
            continue
        message = f"the server took it, but {one.why}"
        cure = "ask whoever runs it: it does not keep what it says it has taken"
        problems.append(transfer.problem(one.need, message, cure))
    return there
