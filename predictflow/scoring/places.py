"""The files that a person names: what is read, what is written, and what may not be."""

from pathlib import Path

from predictflow.scoring import claim
from predictflow.scoring.customers import READERS
from stages.support.errors import UserError


def ensure_readable(source: Path) -> None:
    """Raise UserError where this is no file of customers: it is read more than once, so no pipe is one."""
    if source.is_dir():
        wrong, cure = "is a folder", "name a file in it"
    elif source.exists() and not source.is_file():
        wrong, cure = "is a pipe or a device, and customers are read twice", "write them to a file first"
    elif not source.exists():
        wrong, cure = (
            "is not here",
            "`ls` shows what is; for customers on standard input, write them to a file",
        )
    elif source.suffix.lower() not in READERS:
        wrong, cure = "is neither .csv nor .parquet", "name it by what it is"
    elif not source.stat().st_size:
        wrong, cure = "is empty", "write the customers into it again"
    else:
        return
    raise UserError(f"{source} {wrong}.\nCure: {cure}.")


def ensure_writable(source: Path, output: Path, bad: Path | None, force: bool) -> None:
    """Raise UserError where something would be lost, or could not be written."""
    if output.suffix.lower() not in READERS:
        raise UserError(f"{output} is neither .csv nor .parquet.\nCure: name it by what it is to be.")
    if bad and bad.suffix.lower() != ".csv":
        raise UserError(f"{bad} is to hold rows of a CSV.\nCure: name it .csv.")
    places = [output, claim.place(output), *([bad] if bad else [])]
    for place in places:
        if not place.parent.is_dir():
            raise UserError(f"{place.parent} is no folder.\nCure: `mkdir -p {place.parent}`.")
        if place.exists() and not place.is_file():
            raise UserError(f"{place} is no plain file, so none can take its place.\nCure: another name.")
        if place.resolve() == source.resolve():
            raise UserError(f"{place} is what is to be scored.\nCure: another name with --output.")
        if place.exists() and not force:
            raise UserError(f"{place} is there already.\nCure: another name, or --force to write it anew.")
    if len({place.resolve() for place in places}) < len(places):
        raise UserError(f"{bad} is named for two things.\nCure: another name with --skip-bad.")
