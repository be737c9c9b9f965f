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
from importlib import metadata
from pathlib import Path

SCRIPT = Path(__file__).with_name("tables.sql")
# What a new store holds but for its first experiment, which tells where files are to lie.
FILLED = ("alembic_version", "workspaces")
REVISION = re.compile(r"^INSERT INTO alembic_version VALUES \('(\w+)'\);$", re.MULTILINE)


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
