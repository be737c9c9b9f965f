"""`predictflow export`: hand a registered model to another tool."""

from pathlib import Path

import click

from predictflow.audit.gate import admit
from predictflow.commands.completion import complete_handle
from predictflow.console import open_console, print_json
from predictflow.exchange import bentoml
from predictflow.lineage.project import Project
from stages.support.errors import UserError

FILE = click.Path(dir_okay=False, path_type=Path)


class Tool(click.Choice[str]):
    """A tool that there is an export to."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            raise UserError(
                f"there is no export to {value}, but to {', '.join(self.choices)}.\n"
                "Cure: `predictflow export bentoml HANDLE`; MLflow, images and MLServer (KServe, Seldon)"
                " serve a model without an export: docs/serving.md."
            )
        return value


@click.command(short_help="Hand a registered model to another tool: BentoML.")
@click.argument("tool", metavar="bentoml", type=Tool(["bentoml"]))
@click.argument("handle", shell_complete=complete_handle)
@click.option("--python", type=FILE, help="Of BentoML's environment; else that beside `bentoml` on the PATH.")
@click.option("--service", type=FILE, help="Write the service that serves it, a file such as service.py.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.pass_context
def command(
    context: click.Context,
    tool: str,
    handle: str,
    python: Path | None,
    service: Path | None,
    as_json: bool,
) -> None:
    """Have a registered version in BentoML's store, under the tag MODEL:vVERSION-CONTENT, once.

    HANDLE is any of a registered model. What stands in a stage must pass the gate; of any other the bytes are
    compared. BentoML lives in an environment of its own; BENTOML_HOME says where its store is.

    Exit codes: 0 it stands there, 1 it may not or cannot, 2 could not tell.

    \b
    Example:
      predictflow export bentoml churn-predictor@production --service service.py
    """
    project = Project.enter(context.obj)
    project.require_model()
    project.require_versions()
    version = admit(project, handle)
    tag = bentoml.tag_of(version)
    imported = bentoml.export_model(project, version, python and project.place(python))
    if service:
        bentoml.write_service(project.place(service), version)
    if as_json:
        print_json(
            {
                "tag": tag,
                "version": version.name,
                "content": version.content,
                "imported": imported,
                "service": str(service) if service else None,
                "not_looked_at": project.unseen,
            }
        )
    else:
        console = open_console()
        console.print(f"{'imported' if imported else 'stands there already'}: {tag}", markup=False)
        if service:
            console.print(f"written: {service}", markup=False)
