"""`predictflow lineage`: a model's experiment and data; the models made from a file."""

from typing import TYPE_CHECKING

import click

from predictflow.adapters.dvc_files import REQUIREMENTS
from predictflow.commands.completion import complete_handle
from predictflow.console import draw_table, fact, open_console, print_gaps, print_json
from predictflow.errors import CouldNotTell
from predictflow.formatting import SHORT, Json, some_of, stage_and_aliases
from predictflow.lineage import answers
from predictflow.lineage.handles import Target, ambiguous, find_targets
from predictflow.lineage.project import Project
from predictflow.lineage.scored import describe
from predictflow.lineage.shared import shared_sources

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

IN_GIT = ("stages/", REQUIREMENTS)  # what DVC does not cache
CACHED = {True: "cached", False: "not in the cache", None: "cache not looked at"}
ON_REMOTE = {True: "on the remote", False: "not on the remote", None: "remote not looked at"}
SAME = {  # of models that have the same file
    "experiment": {True: "the same for each model, with these params", False: "not the same for each model"},
    "data": {
        True: "each model has learned from these customers",
        False: "not each has learned from the same customers",
    },
}
RECEIPTS = RUNS = 3  # that are told; the others are counted


@click.command(short_help="A model's experiment and data; the models made from data.")
@click.argument("handle", required=False, shell_complete=complete_handle)
@click.option("--down", is_flag=True, help="The models made from it, or from the customers of a model.")
@click.option("--remote", is_flag=True, help="Ask the remote too, over the network.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(context: click.Context, handle: str | None, down: bool, remote: bool, as_json: bool) -> None:
    """Which experiment produced this model, and which data was it trained on?

    HANDLE is a file or folder anywhere on the disk, an md5 or its beginning, a Git revision, a version
    (churn-predictor/3, churn-predictor@production, models:/churn-predictor/Staging), a run's id, an
    experiment's name or a file that `predictflow predict` has scored; without one, the model of the working
    tree.

    A model is followed back to its sources; of data, code or an environment, the models made from it are
    listed. Where several models have the same file, what all of them were made from is told, and each.

    Exit codes: 0 both questions have one answer, 1 not known here, 2 could not tell, or it differs.

    \b
    Examples:
      predictflow lineage churn-predictor@staging
      predictflow lineage data/customers.csv
    """
    project = Project.enter(context.obj, by_index=True)
    targets = find_targets(project, handle)
    answer = _answer(project, handle, targets, down, remote)
    answer |= {"handle": handle, "is": targets[0].named, "not_looked_at": project.unseen}
    if as_json:
        print_json(answer)
    else:
        console = open_console()
        draw = _sources if "model" in answer else _shared if "same" in answer else _results
        console.print(draw(answer))
        print_gaps(console, project.unseen)
    doubted = answer.get("scored", {}).get("doubts")
    context.exit(0 if all(answer.get("same", {}).values()) and not doubted else 2)


def _answer(project: Project, handle: str | None, targets: list[Target], down: bool, remote: bool) -> Json:
    """Raises CouldNotTell where the targets have no answer in common."""
    models = [target.model for target in targets if target.model]
    if down or not models:
        md5s = {target.file or _customers(project, target.model or "") for target in targets}
        if len(md5s) == 1:
            return answers.results(project, md5s.pop(), remote)
    elif len(targets) == 1:
        answer = answers.sources(project, models[0], targets[0].lock, remote)
        scored = targets[0].scored
        return answer | ({"scored": describe(project, scored)} if scored else {})
    elif targets[0].bytes and len({target.bytes for target in targets}) == 1:
        return shared_sources(project, models, remote)
    raise ambiguous(project, handle or "", targets)


def _customers(project: Project, content: str) -> str:
    """The md5 of the customers of a model. Raises CouldNotTell where nothing tells it."""
    md5 = answers.recorded(project, content).customers
    if md5 is None:
        raise CouldNotTell(
            f"nothing tells which customers the model {content} was made from.\n"
            "Cure: `git fetch --all --tags` brings the commit that holds it."
        )
    return md5


def _sources(answer: Json) -> "Tree":
    from rich.tree import Tree

    model = answer["model"]
    tree = Tree(fact(model["kind"] or "model", f"content {model['content']}"))
    if "scored" in answer:
        _add_scored(tree, answer["scored"])
    if not answer["store_answers"]:
        tree.add(fact("version", "MLflow's versions are not known"))
    for version in answer["versions"]:
        tree.add(fact("version", version["name"], stage_and_aliases(version["stage"], version["aliases"])))
    for receipt in answer["receipts"][:RECEIPTS]:
        tree.add(_receipt(receipt))
    if more := answer["receipts"][RECEIPTS:]:
        tree.add(fact("receipt", f"and {len(more)} older ones: `predictflow history`"))
    for rebuild in answer["rebuilds"][:1]:
        tree.add(fact("rebuilt", rebuild["verdict"], rebuild["when"], rebuild["tag"], *rebuild["broken"]))
    if not answer["store_answers"]:
        tree.add(fact("experiment", *answer["experiments"], "MLflow's runs are not known"))
    for run in answer["runs"][:RUNS]:
        tree.add(_run(run))
    if more := answer["runs"][RUNS:]:
        tree.add(fact("experiment", f"and {len(more)} more runs of it, the oldest of {more[-1]['began']}"))
    for study in answer["studies"][:RUNS]:
        tree.add(fact(study["name"], f"run {study['run']}", "has chosen these params, MLflow says"))
    if answer["metrics"]:
        tree.add(_metrics(answer["metrics"]))
    tree.add(_commit(answer))
    tree.add(_params(answer["params"]))
    if answer["code"]:
        tree.add(fact("code", f"{len(answer['code'])} files of stages/"))
    _add_inputs(tree, answer)
    if answer["rebuild"]:
        tree.add(fact("rebuild", "")).add("\n".join(answer["rebuild"]))
    return tree


def _add_scored(tree: "Tree", scored: Json) -> None:
    rows = f"{scored['rows']:,} rows" + (f", {scored['skipped']:,} skipped" if scored["skipped"] else "")
    line = fact("scores", scored["name"], f"md5 {scored['md5']}", rows, scored["when"])
    for doubt in scored["doubts"]:
        line.append(f" · IN DOUBT: {doubt}", "red")
    branch = tree.add(line)
    known = scored["input"]["paths"] or ["a file that is not recorded here"]
    branch.add(fact("scored file", f"md5 {scored['input']['md5']}", *known))
    branch.add(f"not proven: {scored['unproven']}")


def _metrics(metrics: Json) -> "Text":
    """The headline, with the interval of a metric that has one."""
    numbers = {name: f"{name} {metrics[name]:.4g}" for name in answers.HEADLINE if name in metrics}
    for name in numbers:
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        if low is not None and high is not None:
            numbers[name] += f" ({low:.3f} to {high:.3f})"
    return fact("metrics", *numbers.values())


def _params(params: Json) -> "Text":
    told = (f"{name} {value}" for name, value in params.items() if not name.startswith("data."))
    return fact("params", *told)


def _add_inputs(tree: "Tree", answer: Json) -> None:
    """Environment, prepared data and, beneath it, the customers."""
    if environment := answer["environment"]:
        tree.add(fact("environment", environment["path"], f"md5 {environment['md5'] or 'not known'}"))
    data = tree
    for file in answer["prepared"]:
        data = tree.add(_file(file))
    if answer["data"]:
        data.add(_file(answer["data"]))


def _shared(answer: Json) -> "Group":
    """What several models have in common, then each of them."""
    from rich.console import Group
    from rich.tree import Tree

    same, models = answer["same"], answer["models"]
    tree = Tree(fact(f"{answer['is']}:", f"{len(models)} models have this file"))
    names = models[0]["experiments"] if same["experiment"] else []
    tree.add(fact("experiment", *names, SAME["experiment"][same["experiment"]]))
    if answer["params"]:
        tree.add(_params(answer["params"]))
    if answer["metrics"]:
        tree.add(_metrics(answer["metrics"]))
    tree.add(fact("data", SAME["data"][same["data"]]))
    _add_inputs(tree, answer)
    differing = dict.fromkeys(name for model in models for name in model["differs"])
    tree.add(fact("they differ in", some_of(list(differing)) or "nothing that is recorded"))
    return Group(tree, _models(answer))


def _receipt(receipt: Json) -> "Text":
    line = fact(
        "receipt",
        receipt["tag"],
        " ".join(filter(None, (receipt["action"], receipt["stage"], receipt["when"]))),
        receipt["who"],
        " ".join((receipt["why"] or "").split()),
    )
    for broken in receipt["broken"]:
        line.append(f" · BROKEN: {broken}", "red")
    return line


def _run(run: Json) -> "Text":
    made_at = f"made at {run['made_at'][:10]}" if run["made_at"] else ""
    if run["uncommitted_changes"]:
        made_at += " with uncommitted changes"
    line = fact(
        "experiment",
        run["experiment"] or "dvc repro",
        f"run {run['id']} {run['status']} {run['began']}",
        made_at,
        "restored from DVC's cache" if run["restored"] else "",
        f"MLflow alone says: {', '.join(run['mlflow_alone'])}" if run["mlflow_alone"] else "",
    )
    for otherwise in run["otherwise"]:
        line.append(f" · NOT AS GIT HAS IT: {otherwise}", "red")
    return line


def _commit(answer: Json) -> "Text":
    first = answer["commit"]
    own = {receipt["tag"] for receipt in answer["receipts"]}  # which are told apart
    if first is None:
        where = "only in the working tree: `git commit` keeps it" if answer["in_working_tree"] else "none"
        return fact("commit", where)
    kinds = {"on": "branches", "tags": "tags", "experiments": "experiments", "earlier in": "earlier_in"}
    at = {word: [name for name in answer[key] if name not in own] for word, key in kinds.items()}
    return fact(
        "commit",
        f"{first['sha'][:10]} {first['time'][:10]} {first['author']}: {first['subject']}",
        *(f"{word} {some_of(names)}" for word, names in at.items() if names),
    )


def _file(file: Json) -> "Text":
    from rich.filesize import decimal

    parts = [f"md5 {file['md5']}"]
    if file.get("rows") is not None:
        parts.append(f"{file['rows']:,} rows")
    if file["size"] is not None:
        parts.append(decimal(file["size"]))
    if not file["path"].startswith(IN_GIT):
        parts.append(CACHED[file["cached"]])
    if "on_remote" in file:
        parts.append(ON_REMOTE[file["on_remote"]])
    if file.get("commit"):
        parts.append(f"since {file['commit']['sha'][:10]} {file['commit']['time'][:10]}")
    return fact(file["path"], *parts)


def _results(answer: Json) -> "Group":
    from rich.console import Group

    models = len(answer["models"])
    head = f"{models or 'no'} model{'' if models == 1 else 's'} made from it"
    if not answer["store_answers"]:
        head += " that Git knows"
    return Group(_file(answer["file"]), head, _models(answer))


def _models(answer: Json) -> "Table":
    heads = ("model", "made", "commit", "roc_auc", "version", "experiment", "kind")
    return draw_table(heads, (_row(model, answer["store_answers"]) for model in answer["models"]))


def _row(model: Json, store_answers: bool) -> tuple[str, ...]:
    versions = (
        f"{version['name'].rpartition('/')[2]} {stage_and_aliases(version['stage'], version['aliases'])}"
        for version in model["versions"]
    )
    metric = model["metrics"].get("roc_auc")
    return (
        model["content"][:SHORT],
        model["made"][:10],
        (model["commit"] or "none")[:10],
        "" if metric is None else f"{metric:.4f}",
        "\n".join(versions) if store_answers else "not known",
        "\n".join(model["experiments"]),
        model["kind"],
    )
