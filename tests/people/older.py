"""A store as an older MLflow has left it: made by MLflow's own migrations, as far as that one's."""

import sqlite3
from contextlib import closing
from pathlib import Path

OLDER = "0584bdc529eb"  # MLflow 2.22's
FILLED = """
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)
    VALUES (1, 'churn-prediction', 'file:///nowhere', 'active');
INSERT INTO runs (run_uuid, name, source_type, status, start_time, end_time, lifecycle_stage, artifact_uri,
    experiment_id, user_id, source_name, source_version, entry_point_name)
    VALUES ('{run}', 'xgboost', 'UNKNOWN', 'FINISHED', 1, 2, 'active', 'file:///nowhere/{run}/artifacts', 1,
    'ada', '', '', '');
INSERT INTO params VALUES ('seed', '7', '{run}');
INSERT INTO tags VALUES ('predictflow.content', '{content}', '{run}');
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('roc_auc', 0.8, 1, '{run}', 0, 0);
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    VALUES ('roc_auc', 0.8, 1, 0, 0, '{run}');
INSERT INTO registered_models (name, creation_time) VALUES ('churn-predictor', 1);
INSERT INTO model_versions (name, version, creation_time, current_stage, source, run_id, status)
    VALUES ('churn-predictor', 1, 1, 'Production', 'file:///nowhere', '{run}', 'READY');
"""
RUN, CONTENT = "a" * 32, "c" * 32


def make_older(database: Path) -> Path:
    """A store of MLflow 2.22's tables, with a run and a version in it."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = create_sqlalchemy_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(str(engine.url))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, OLDER)
    engine.dispose()
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(FILLED.format(run=RUN, content=CONTENT))
        connection.commit()
    return database


def rows(database: Path, table: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()
