"""What a GPU is worth: XGBoost's fit on it beside the CPU's, on the same customers.

    python -m benchmarks.gpu --customers 5000000

The customers are those that data/prepared/train.parquet holds, drawn again and again. It tells the seconds,
whether two fits on the GPU give the same bytes, and how far its probabilities are from the CPU's.
"""

import argparse
import hashlib
import time
from typing import Any, NamedTuple

import numpy as np

from benchmarks.tables import show
from stages.model.cuda import ensure_cuda
from stages.model.families import Sample, XGBoost
from stages.support import errors, params
from stages.train import customers

SHOWN = 100_000  # customers whose probabilities are compared


class Fit(NamedTuple):
    """One fit: on what, how long it took, the md5 of its model, and its probabilities."""

    device: str
    seconds: float
    md5: str
    probabilities: np.ndarray


def draw(telco: Sample, rows: int) -> Sample:
    """So many customers, the same ones every time."""
    chosen = np.random.default_rng(0).integers(0, len(telco.target), rows)
    return Sample(telco.frame.take(chosen).reset_index(drop=True), telco.target[chosen])


def fit(sample: Sample, device: str, settings: dict[str, Any], seed: int) -> Fit:
    import xgboost

    family, begun = XGBoost(), time.perf_counter()
    model = family.fit(sample, settings | {"device": device}, seed)
    seconds, md5 = time.perf_counter() - begun, hashlib.md5(model.save_raw("ubj")).hexdigest()
    model.set_param({"device": "cpu"})  # a model is scored on the CPU, whatever it has learned on
    first = xgboost.DMatrix(sample.frame.head(SHOWN), enable_categorical=True)
    return Fit(device, seconds, md5, model.predict(first))


def lines(fits: list[Fit]) -> list[str]:
    """What is open of a GPU, of fits the first of which is the CPU's."""
    cpu, *others = fits
    apart = abs(others[0].probabilities - cpu.probabilities)
    same = len({other.md5 for other in others}) == 1
    return [
        f"- {others[-1].device} against {cpu.device}: {cpu.seconds / others[-1].seconds:.1f} times as quick",
        f"- the same bytes from run to run: {'yes' if same else 'no'}; as the CPU's: "
        f"{'yes' if others[0].md5 == cpu.md5 else 'no'}",
        f"- probabilities differ from the CPU's by at most {apart.max():.3g}, {apart.mean():.3g} on average",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--customers", type=int, default=5_000_000, metavar="N", help="(default: 5,000,000)")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args()
    ensure_cuda()
    settings = params.load()
    sample = draw(customers(settings), options.customers)
    own, seed = settings["models.xgboost"], settings["seed"]
    fits = [fit(sample, device, own, seed) for device in ("cpu", "cuda", "cuda")]
    rows = [[one.device, f"{one.seconds:.1f}", one.md5[:12]] for one in fits]
    show(f"{options.customers:,} customers", ("fit on", "seconds", "md5"), rows, options.markdown)
    print("\n".join(lines(fits)))


if __name__ == "__main__":
    errors.run(main)
