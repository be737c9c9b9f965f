"""The command `predictflow`. Each of its commands is a file of its own, imported when it is called."""

import gc
import importlib
import signal
import sys
from pathlib import Path

import click

from predictflow.errors import CouldNotTell, masked
from stages.support.errors import UserError

COMMANDS = (
    "lineage",
    "diff",
    "find-customer",
    "status",
    "history",
    "promote",
    "rollback",
    "gate",
    "audit",
    "restore",
    "rebuild",
    "experiments",
    "prune",
)


class Commands(click.Group):
    """The commands, each imported only when it is needed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"predictflow.commands.{name.replace('-', '_')}").command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--repo",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The project, or a bare clone of it, if it is not the one around this folder.",
)
@click.pass_context
def predictflow(context: click.Context, repo: Path) -> None:
    """Which experiment produced this model? Which data was it trained on?

    \b
    Exit codes: 0 yes, 1 no (or a mistake of yours), 2 could not tell.

    \b
    Shell completion:  eval "$(_PREDICTFLOW_COMPLETE=bash_source predictflow)"   (or zsh_, fish_)

    \b
    Example:
      predictflow lineage models/churn-predictor
    """
    context.obj = repo


def run(words: list[str]) -> int:
    """Run a command and return its exit code; a person's mistake is told in words, without a traceback."""
    try:
        predictflow(words, prog_name="predictflow")
    except UserError as error:
        print(f"ERROR: {masked(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, CouldNotTell) else 1
    except SystemExit as ended:  # which is how click ends
        return int(ended.code or 0)
    return 0


def main() -> None:
    gc.disable()  # a command ends soon; of reading a long history, the search for garbage takes a third
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
