"""`predictflow find-customer`: which registered models have learned from a customer."""

import click

from predictflow.console import draw_table, open_console, print_gaps, print_json
from predictflow.errors import Unreachable
from predictflow.formatting import SHORT, Json, stage_and_aliases
from predictflow.lineage import answers
from predictflow.lineage.project import Project
from stages.data import customer_index
from stages.support import hashes
from stages.support.errors import UserError
from stages.support.params import flat
from stages.support.paths import TEST_INDEX, TRAIN_INDEX

# The sets in the order in which they are looked into.
SETS = {"training": TRAIN_INDEX, "test": TEST_INDEX}
FETCH = f"dvc fetch --all-commits {TRAIN_INDEX} {TEST_INDEX}"


@click.command(short_help="Which registered models have learned from a customer?")
@click.argument("customer_id", metavar="ID")
@click.option("--all", "every", is_flag=True, help="Look into the models too that are not registered.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, customer_id: str, every: bool, as_json: bool) -> None:
    """Was this customer in the training set, the test set, or neither, of each registered version?

    ID is the customer's id as the customer file writes it. The answer comes from the indexes that prepare
    has written, salted hashes of the ids: no customer file is opened.

    \b
    Exit codes: 0 in one of the sets, 1 in none of any version, 2 could not tell.

    \b
    Example:
      predictflow find-customer C00042
    """
    project = Project.enter(context.obj, by_index=True)
    contents = list(project.versions_with)
    if every or not contents:
        contents = list(dict.fromkeys([*contents, *project.history.contents, *project.runs]))
    answers.confirm_models(project, filter(None, contents))
    models = [_look(project, content, customer_id) for content in contents]
    sets = {model["set"] for model in models}
    registered = project.registry_answers
    answer = {
        "id": customer_id,
        "models": models,
        "alike": None if sets & SETS.keys() else _alike(project, contents, customer_id),
        "store_answers": registered,
        "not_looked_at": project.unseen,
    }
    if as_json:
        print_json(answer)
    else:
        console = open_console()
        no_version = "not registered" if registered else "not known"
        rows = (_row(model, no_version) for model in models)
        console.print(draw_table(("version", "set", "model", "commit"), rows))
        if answer["alike"]:
            told = f"{answer['alike']} is in a set: give the id as the customer file writes it"
            console.print(told, markup=False, style="yellow")
        print_gaps(console, project.unseen)
    if sets & SETS.keys():
        context.exit(0)
    context.exit(1 if registered and None not in sets and (models or not project.unseen) else 2)


def _look(project: Project, content: str | None, customer_id: str) -> Json:
    """What is known of a customer in a model; None for versions that carry no content."""
    try:
        holder, why_not = _set(project, content, customer_id), None
    except (Unreachable, UserError) as error:
        holder, why_not = None, str(error)
    first = project.history.first_with_model.get(content or "")
    return {
        "content": content,
        "versions": answers.version_entries(project, content),
        "commit": first.sha if first else None,
        "set": holder,
        "why_not": why_not,
    }


def _alike(project: Project, contents: list[str | None], customer_id: str) -> str | None:
    """The same id in other letters or without spaces, where that one is in a set."""
    bare = customer_id.strip()
    for other in sorted({bare, bare.upper(), bare.lower()} - {customer_id}):
        if any(_look(project, content, other)["set"] in SETS for content in contents):
            return other
    return None


def _set(project: Project, content: str | None, customer_id: str) -> str:
    """training, test or neither. Raises Unreachable where that cannot be told."""
    if content is None:
        raise Unreachable("registered by other means: what it learned from is not known")
    model = answers.recorded(project, content)
    salt = flat(model.params).get("prepare.id_salt")
    md5s = {name: md5 for name, path in SETS.items() if (md5 := model.md5s.get(path.as_posix()))}
    if not model.params:
        raise Unreachable("its provenance.json is not in Git")
    if not salt or md5s.keys() != SETS.keys():
        raise Unreachable("its data was prepared before there was an index")
    digest, missing = customer_index.digest(customer_id, salt), []
    for name, md5 in md5s.items():
        index = project.storage.cached(md5)
        if index is None:
            missing.append(SETS[name].as_posix())
        elif hashes.md5(index) != md5:
            raise Unreachable(f"the cache is damaged: `rm {index}`, then `{FETCH}`")
        elif customer_index.holds(index, digest):
            return name
    if missing:
        raise Unreachable(f"{' and '.join(missing)} not in the cache: `{FETCH}`")
    return "neither"


def _row(model: Json, no_version: str) -> tuple[str, ...]:
    versions = [
        f"{version['name']} {stage_and_aliases(version['stage'], version['aliases'])}"
        for version in model["versions"]
    ]
    return (
        "\n".join(versions) or no_version,
        model["set"] or f"could not tell: {model['why_not']}",
        (model["content"] or "")[:SHORT],
        (model["commit"] or "none")[:10],
    )
