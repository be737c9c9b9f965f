"""The tables of a new store, as MLflow makes them, from one script.

MLflow makes them by all its migrations, one after the other: that takes over a second, and a kill among
them leaves a database that it can no longer use. `make lock` writes tables.sql anew:

    python -m stages.tracking.tables >stages/tracking/tables.sql
"""

import itertools
import re
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from stages.tracking.database import Database

SCRIPT = Path(__file__).with_name("tables.sql")
# What a new store holds but for its first experiment, which tells where files are to lie.
FILLED = ("alembic_version", "workspaces")
REVISION = re.compile(r"^INSERT INTO alembic_version VALUES \('(\w+)'\);$", re.MULTILINE)
MIGRATIONS = "store/db_migrations/versions/*.py"  # in MLflow's package: what brings older tables on
MIGRATION = re.compile(r"""^(down_)?revision(?::[^=]*)? = ["'](\w+)["']""", re.MULTILINE)


def lay(database: Path) -> None:
    """Give an empty database MLflow's tables, all of them or none.

    A database with a table, and an MLflow that the script is not of, are left to MLflow itself.
    """
    with closing(sqlite3.connect(database)) as connection:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            return  # as at all but the first opening: nothing is read of the script
        statements = SCRIPT.read_text(encoding="utf-8")
        if statements.startswith(_headline()):
            connection.executescript(f"BEGIN IMMEDIATE;\n{statements}COMMIT;")


def revision() -> str | None:
    """Which tables the script makes, by MLflow's own name; None where another MLflow is installed."""
    statements = SCRIPT.read_text(encoding="utf-8")
    found = REVISION.search(statements) if statements.startswith(_headline()) else None
    return found[1] if found else None


@dataclass(frozen=True)
class Tables:
    """Of which MLflow the tables of a database are, held against the one that is installed.

    Attributes:
        revision: what MLflow calls them.
        own: what it calls those of the installed MLflow.
        known: whether the installed MLflow can bring them on to its own.
    """

    revision: str
    own: str
    known: bool

    @property
    def difference(self) -> str | None:
        """Why the installed MLflow may not open them, and the cure below; None where they are its own."""
        if self.revision == self.own:
            return None
        installed = f"MLflow {metadata.version('mlflow')}, which is installed"
        if self.known:
            return (
                f"is of an older MLflow (its tables are {self.revision}), and {installed}, would change it"
                " for good.\nCure: `predictflow store upgrade`, which keeps a copy."
            )
        return (
            f"is of a newer MLflow (its tables are {self.revision}) than {installed}.\nCure: `make repro` at"
            " the commit whose requirements.lock has that MLflow; docs/store.md tells how to put a copy back."
        )


def compare(database: Path) -> Tables | None:
    """What a database's tables are; None where it says nothing of it, as an empty one.

    Raises Unreachable where it cannot be read.
    """
    store = Database(database)
    named = store.ask("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")
    rows = store.ask("SELECT version_num FROM alembic_version") if named else []
    return held_against_installed(rows[0][0]) if rows else None


def held_against_installed(found: str) -> Tables:
    """Hold a name of tables against the installed MLflow."""
    if found == revision():
        return Tables(found, found, known=True)
    every, replaced = _migrations()
    (own,) = every - replaced
    return Tables(found, own, found in every)


def _migrations() -> tuple[set[str], set[str]]:
    """All tables that the installed MLflow knows, and those that a migration leads on from."""
    spec = util.find_spec("mlflow")
    assert spec and spec.origin, "MLflow is what is asked here"
    found = [
        MIGRATION.findall(path.read_text(encoding="utf-8"))
        for path in Path(spec.origin).parent.glob(MIGRATIONS)
    ]
    names = [name for names in found for name in names]
    return {name for down, name in names if not down}, {name for down, name in names if down}


def _headline() -> str:
    return f"-- The tables of MLflow {metadata.version('mlflow')}: `make lock` writes them.\n"


def script() -> str:
    """What makes the tables that the installed MLflow makes."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "mlflow.db")
        engine = create_sqlalchemy_engine(f"sqlite:///{database}")
        _initialize_tables(engine)
        engine.dispose()
        with closing(sqlite3.connect(database)) as connection:
            statements = [
                f"{_in_order(sql)};"
                for (sql,) in connection.execute(
                    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type != 'table', name"
                )
            ]
            for table in FILLED:
                for row in connection.execute(f"SELECT * FROM {table}"):
                    values = ", ".join("NULL" if value is None else f"'{value}'" for value in row)
                    statements.append(f"INSERT INTO {table} VALUES ({values});")
    return _headline() + "\n".join(statements) + "\n"


def _in_order(statement: str) -> str:
    """Its named constraints by name: MLflow's migrations write them in the order of a set."""
    lines = statement.splitlines()
    blocks = itertools.groupby(lines, lambda line: line.startswith("\tCONSTRAINT") and line.endswith(", "))
    return "\n".join(line for named, block in blocks for line in (sorted(block) if named else block))


if __name__ == "__main__":
    print(script(), end="")
