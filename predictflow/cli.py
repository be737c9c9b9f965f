"""The command `predictflow`. Each of its commands is a file of its own, imported when it is called."""

import difflib
import gc
import importlib
import signal
import sys
from pathlib import Path

import click

from predictflow.console import open_console, print_json
from predictflow.errors import CouldNotTell, masked, system_cure
from stages.support.errors import UserError

# Every command with its group and its short help: `predictflow --help` imports none of them.
COMMANDS = {
    "lineage": ("Ask", "A model's experiment and data; the models made from data."),
    "diff": ("Ask", "What differs between two models, or between their customers."),
    "find-customer": ("Ask", "Which registered models have learned from a customer?"),
    "status": ("Ask", "Where do things stand, and what is to be done next?"),
    "experiments": ("Ask", "Experiments and runs in one table."),
    "history": ("Ask", "Who put which version in which stage, when and why."),
    "promote": ("Decide", "Put a version in a stage, with a receipt."),
    "rollback": ("Decide", "Put the version back that was in a stage before."),
    "gate": ("Decide", "May what stands in a stage be deployed?"),
    "tune": ("Make", "Try settings by cross-validation; are they better?"),
    "predict": ("Make", "Score a file of customers with any model."),
    "export": ("Make", "Hand a registered model to another tool: BentoML."),
    "audit": ("Prove", "What does not agree: receipts, registry, store, bytes."),
    "rebuild": ("Prove", "Make a past model again, and compare every byte."),
    "push": ("Keep", "Let the remote hold every byte, and see that it does."),
    "pull": ("Keep", "Bring data and models, every byte proven."),
    "doctor": ("Keep", "Is all that the pipeline stands on as it should be?"),
    "restore": ("Keep", "Bring a lost or broken store back from Git and DVC."),
    "prune": ("Keep", "Remove what nothing refers to any more."),
    "store": ("Keep", "Copy, check or upgrade the project's own store."),
}


class Commands(click.Group):
    """The commands, each imported only when it is needed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"predictflow.commands.{name.replace('-', '_')}").command

    def resolve_command(
        self, context: click.Context, words: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, words)
        except click.UsageError as error:
            near = difflib.get_close_matches(words[0], COMMANDS, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"{error.message}{meant}", context) from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under the names of their groups."""
        width = max(map(len, COMMANDS))
        for group in dict.fromkeys(group for group, _ in COMMANDS.values()):
            with formatter.section(group):
                formatter.write_dl(
                    [(f"{name:{width}}", told) for name, (of, told) in COMMANDS.items() if of == group]
                )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--repo",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The project, or a bare clone of it, if it is not the one around this folder.",
)
@click.version_option(package_name="predictflow", message="%(package)s %(version)s")
@click.pass_context
def predictflow(context: click.Context, repo: Path) -> None:
    """Which experiment produced this model? Which data was it trained on?

    \b
    Exit codes: 0 yes, 1 no (or a mistake of yours), 2 could not tell.

    \b
    Shell completion, or zsh_source, fish_source:
      eval "$(_PREDICTFLOW_COMPLETE=bash_source predictflow)"

    \b
    Example:
      predictflow lineage models/churn-predictor
    """
    context.obj = repo


def run(words: list[str]) -> int:
    """Run a command and return its exit code; a person's mistake is told in words, without a traceback."""
    as_json = "--json" in words
    try:
        return predictflow(words, prog_name="predictflow", standalone_mode=False) or 0
    except click.ClickException as error:
        if not as_json:
            error.show()
            return error.exit_code
        about = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "predictflow"
        return _tell(f"{error.format_message()}\nCure: `{about} --help`.", error.exit_code, as_json)
    except UserError as error:
        return _tell(str(error), 2 if isinstance(error, CouldNotTell) else 1, as_json)
    except OSError as error:
        message = f"{error.filename or 'this project'}: {error.strerror}"
        if system_cure(message) is None:
            raise
        return _tell(message, 1, as_json)
    except (click.Abort, KeyboardInterrupt):
        return _tell("stopped before it was done.\nCure: ask again; what was begun is completed.", 1, as_json)
    except SystemExit as ended:
        return int(ended.code or 0)


def _tell(message: str, code: int, as_json: bool) -> int:
    """Tell a mistake, as JSON on standard output or as text on standard error; the exit code."""
    error, _, cure = masked(message).partition("\nCure: ")
    cure = system_cure(error) or cure  # what the disk does not take, no other cure brings
    if as_json:
        print_json({"error": error, "cure": cure or None})
    else:
        if sys.stderr.isatty():  # its lines break between words; a cure stays whole, to be copied
            open_console(stderr=True).print(f"ERROR: {error}")
        else:
            print(f"ERROR: {error}", file=sys.stderr)
        if cure:
            print(f"Cure: {cure}", file=sys.stderr)
    return code


def main() -> None:
    gc.disable()  # a command ends soon; of reading a long history, the search for garbage takes a third
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
