# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = [
#     "numpy==2.4.6",
#     "packaging",
#     "pandas==3.1.1",
#     "pyarrow==25.0.1",
#     "pydantic",
#     "ray[data,train]==2.60.0",
#     "rich",
#     "ruamel.yaml",
#     "scikit-learn==1.9.1",
#     "scipy==1.17.1",
#     "xgboost==3.2.0",
# ]
# ///
"""XGBoost under Ray Train on the prepared customers, held against the model of one process.

    PYTHONPATH=. .venv/bin/uv run --system-certs benchmarks/on_ray.py

It runs in an environment of its own, which uv makes of the lines above. Two workers on this machine
stand for a cluster; the model at hand must be there (`dvc repro`).
"""

import argparse
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Ray would make the environment of `uv run` anew for each worker; those of this machine have it.
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would tell its makers that it was used
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")  # a busy machine's

import ray
import ray.data
import ray.train
import ray.train.xgboost
import xgboost

from benchmarks.scaled_out import WORKERS, Settings, compare, fit, numbered, settings
from stages.support.paths import TRAIN

MODEL = "model.ubj"  # in the checkpoint of a training


@dataclass(frozen=True)
class Worker:
    """What each worker does: it learns from its share of the rows, together with the others."""

    asked: Settings

    def __call__(self) -> None:
        share = ray.train.get_dataset_shard("train").materialize().to_pandas()
        booster = fit(numbered(share, self.asked), share[self.asked.target].to_numpy(), self.asked)
        with tempfile.TemporaryDirectory() as folder:
            booster.save_model(Path(folder, MODEL))
            first = ray.train.get_context().get_world_rank() == 0
            checkpoint = ray.train.Checkpoint.from_directory(folder) if first else None
            ray.train.report({}, checkpoint=checkpoint)


def train(asked: Settings) -> xgboost.Booster:
    """The model that Ray's workers make together."""
    customers = ray.data.read_parquet(str(TRAIN.resolve())).repartition(WORKERS)
    with tempfile.TemporaryDirectory() as storage:
        trainer = ray.train.xgboost.XGBoostTrainer(
            Worker(asked),
            datasets={"train": customers},
            scaling_config=ray.train.ScalingConfig(num_workers=WORKERS),
            run_config=ray.train.RunConfig(storage_path=storage),
        )
        with trainer.fit().checkpoint.as_directory() as folder:
            return xgboost.Booster(model_file=Path(folder, MODEL))


def main() -> None:
    parser = argparse.ArgumentParser(prog="on_ray.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, metavar="N", help="trees (default: those of params.yaml)")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args()
    asked = settings(options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        ray.init(
            num_cpus=2 * WORKERS,  # a worker's own, and as many for who reads the rows
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=folder,
        )
        compare("Ray", asked, lambda: train(asked), options.markdown)
        ray.shutdown()


if __name__ == "__main__":
    main()
