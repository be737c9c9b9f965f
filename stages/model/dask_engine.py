"""XGBoost over the workers of a Dask cluster, the same to the last bit on every cluster of so many workers.

Which worker learns from which customers decides the model, and so does its rank, its place in the sums that
the workers exchange. XGBoost ranks them by their names; the parts are handed out in that order, each to a
worker that is named, so that nothing is left to Dask's scheduler. What cannot be kept to ends in an error.

The parts are sent. So a worker needs no file of this project, no shared disk and none of its code, the
customers are held to their md5 in one place, and nobody but the workers ever holds more than a part of them.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd

from stages.model.families import Sample
from stages.support.environment import threads
from stages.support.errors import UserError

if TYPE_CHECKING:
    from xgboost import Booster

ADDRESS = "DASK_SCHEDULER_ADDRESS"  # Dask's own variable
PATIENCE = 20  # seconds that a scheduler has to answer
LOOK = 1  # seconds between two looks at who is still there
ALIKE = ("dask", "distributed", "numpy", "pandas", "xgboost")  # packages of one version in all processes


@dataclass(frozen=True)
class Parts:
    """Customers to learn from, a part of them at a time.

    Attributes:
        samples: each is asked for once the one before it was sent.
        count: how many parts there are.
        rows: how many customers, in all.
    """

    samples: Iterator[Sample]
    count: int
    rows: int


def cut(batches: Iterator[Sample], rows: int, count: int) -> Parts:
    """Customers in parts of equal size, give or take one, whatever the batches that they come in.

    Part i of `count` begins with the row rows * i // count.
    """

    def samples() -> Iterator[Sample]:
        held: list[Sample] = []
        for part in range(count):
            wanted = rows * (part + 1) // count - rows * part // count
            while sum(len(sample.target) for sample in held) < wanted:
                held.append(next(batches))
            frame = pd.concat([sample.frame for sample in held], ignore_index=True)
            whole = Sample(frame, np.concatenate([sample.target for sample in held]))
            taken = np.arange(len(whole.target)) < wanted
            yield whole[taken]
            held = [whole[~taken]]

    return Parts(samples(), count, rows)


def check(workers: int) -> None:
    """Raise UserError where the cluster that the environment names could not learn; nothing is fitted."""

    async def look() -> None:
        async with _client(workers, 1) as client:
            await _ranked(client, workers)

    if os.environ.get(ADDRESS):
        asyncio.run(look())


def fit(parts: Parts, workers: int, params: dict[str, Any], rounds: int) -> "Booster":
    """A booster fitted to all customers, by so many workers.

    Args:
        params: of xgboost.train.

    Raises UserError where there is no cluster of so many workers, or where one of them is lost.
    """

    async def learn() -> "Booster":
        async with _client(workers, max(1, threads(parts.rows) // workers)) as client:
            ranked = await _ranked(client, workers)
            work = asyncio.create_task(_learn(client, list(ranked), parts, params, rounds))
            watch = asyncio.create_task(_watch(client, ranked))
            try:
                await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
                await _ensure_there(client, ranked)  # it may be why the work has failed
                return work.result()
            finally:
                work.cancel()
                watch.cancel()

    return asyncio.run(learn())


@asynccontextmanager
async def _client(workers: int, threads_each: int) -> AsyncIterator[Any]:
    """A client of the cluster that the environment names; where it names none, of one that is made on this
    machine for as long as this lasts, on ports that are free and without a dashboard."""
    from distributed import Client, LocalCluster

    if address := os.environ.get(ADDRESS):
        client = Client(address, asynchronous=True, timeout=PATIENCE)
        try:
            await client
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"no scheduler of Dask's answers at {ADDRESS}={address}: {error}.\n"
                f"Cure: start it, or correct {ADDRESS} (for tls:// Dask's own settings name the"
                " certificates); without it a cluster is made on this machine."
            ) from error
        else:
            yield client
        finally:
            await client.close()
        return
    async with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=threads_each,
            memory_limit=0,  # with a limit, a worker that nears it would be halted, or killed
            dashboard_address=None,
            silence_logs=logging.CRITICAL,  # what matters is told by `_ensure_there`
            asynchronous=True,
        ) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        yield client


# --- Who learns ---


async def _there(client: Any) -> dict[str, tuple[str, str]]:
    """{address: (name, folder)} of the workers; one that was restarted has another folder.

    Raises UserError where the scheduler does not answer.
    """
    try:
        told = await asyncio.wait_for(client.scheduler.identity(), PATIENCE)
    except (OSError, TimeoutError) as error:
        raise UserError(
            f"the scheduler of Dask's does not answer any more: {error}.\nCure: start it, then `dvc repro`."
        ) from error
    return {address: (str(of["id"]), of["local_directory"]) for address, of in told["workers"].items()}


async def _ranked(client: Any, workers: int) -> dict[str, tuple[str, str]]:
    """The workers as `_there` gives them, in the order in which XGBoost will rank them.

    Raises UserError where there are not so many, or where they have other packages.
    """
    there = await _there(client)
    if len(there) != workers:
        raise UserError(
            f"train.workers in params.yaml is {workers}, but the cluster of Dask's has {len(there)}, and"
            f" another number of workers gives another model.\n"
            f"Cure: have {workers} of `dask worker` there, or set train.workers to what is there."
        )
    await _ensure_alike(client)
    # xgboost.dask.CommunicatorContext makes these names, and XGBoost's tracker sorts them.
    return dict(sorted(there.items(), key=lambda worker: f"[xgboost.dask-{worker[1][0]}]:{worker[0]}"))


async def _ensure_alike(client: Any) -> None:
    """Raise UserError where a process of the cluster has another Python or other packages than this one: what
    is pickled here is loaded there, and another XGBoost makes another model."""
    versions = await client.get_versions(packages=["xgboost"])
    own = _versions(versions["client"])
    odd = [
        f"  {name}: {package} {version}, here {own[package]}"
        for name, process in {"the scheduler": versions["scheduler"], **versions["workers"]}.items()
        for package, version in _versions(process).items()
        if version != own[package]
    ]
    if odd:
        raise UserError(
            "the cluster of Dask's does not have the packages of requirements.lock:\n"
            + "\n".join(odd)
            + "\nCure: start scheduler and workers in an environment that is made of it."
        )


def _versions(process: dict[str, Any]) -> dict[str, str]:
    packages = process["packages"]
    python = ".".join(str(packages["python"]).split(".")[:2])
    return {"Python": python} | {name: str(packages[name]) for name in ALIKE}


async def _ensure_there(client: Any, ranked: dict[str, tuple[str, str]]) -> None:
    """Raise UserError where a worker has gone, or was started again, which has lost its part."""
    there = await _there(client)
    if gone := [address for address in ranked if there.get(address) != ranked[address]]:
        raise UserError(
            f"{len(gone)} of the {len(ranked)} workers of Dask's ended while the model was learned"
            f" ({', '.join(gone)}), perhaps for want of memory: without it another model would come out.\n"
            "Cure: `dvc repro` again; with more memory, or with more workers, which give another model."
        )


async def _watch(client: Any, ranked: dict[str, tuple[str, str]]) -> NoReturn:
    while True:
        await asyncio.sleep(LOOK)
        await _ensure_there(client, ranked)


# --- The work ---


async def _learn(
    client: Any, ranked: list[str], parts: Parts, params: dict[str, Any], rounds: int
) -> "Booster":
    from dask import dataframe
    from xgboost import dask as xgboost

    owners = [ranked[part * len(ranked) // parts.count] for part in range(parts.count)]
    frames: list[Any] = []
    targets: list[Any] = []
    for owner in owners:
        sample = await asyncio.to_thread(next, parts.samples)
        frame, target = sample.frame, pd.Series(sample.target)
        frames.append(await client.scatter(frame, workers=[owner], hash=False))
        targets.append(await client.scatter(target, workers=[owner], hash=False))
    matrix = await xgboost.DaskQuantileDMatrix(
        client,
        dataframe.from_delayed(frames, meta=frame.iloc[:0], verify_meta=False),
        dataframe.from_delayed(targets, meta=target.iloc[:0], verify_meta=False),
        enable_categorical=True,
    )
    keys = sorted(matrix.partition_order, key=lambda key: matrix.partition_order[key])
    meant: dict[str, list[Any]] = {}
    for owner, key in zip(owners, keys, strict=True):
        meant.setdefault(owner, []).append(key)
    if meant != {address: [part.key for part in held] for address, held in matrix.worker_map.items()}:
        raise UserError("Dask has moved customers from worker to worker.\nCure: `dvc repro` again.")
    learned = await xgboost.train(client, params, matrix, num_boost_round=rounds)
    return learned["booster"]
