"""What a rebuild asks inside the environment that it ran in, in a process of its own.

    python -m predictflow.reproduction.probe machine
    python -m predictflow.reproduction.probe difference TEST.parquet MODEL_FOLDER MODEL_FOLDER

Each prints JSON. It runs with the packages of an old commit: it imports as little as can be.
"""

import json
import math
import os
import platform
import re
import sys
from pathlib import Path

GPUS = Path("/proc/driver/nvidia/gpus")  # where NVIDIA's driver for Linux tells of them


def machine() -> dict[str, str]:
    """What may change a model's last bits though data, params, code and packages are the same."""
    import numpy  # noqa: F401  it brings the BLAS library that threadpoolctl asks
    from threadpoolctl import threadpool_info

    texts = [file.read_text(encoding="utf-8") for file in sorted(GPUS.glob("*/information"))]
    gpus = [name.strip() for text in texts for name in re.findall("^Model:(.*)", text, re.MULTILINE)]
    kernels = {library.get("architecture") for library in threadpool_info()} - {None}
    return {
        "python": platform.python_version(),
        "cpu": " ".join([platform.machine(), *sorted(kernels)]),
        "threads": os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count()),  # at most
    } | ({"gpu": ", ".join(gpus)} if gpus else {})


def difference(test: str, recorded: str, rebuilt: str) -> dict[str, float]:
    """The largest difference between two models' probabilities of the same customers."""
    import pandas as pd

    from predictflow.scoring.model import scorer

    rows = pd.read_parquet(test)
    scores = [scorer(Path(folder))(rows) for folder in (recorded, rebuilt)]
    largest = float(abs(scores[0] - scores[1]).max())
    if not math.isfinite(largest):
        raise ValueError("a model gave a probability that is no number")
    return {"customers": len(rows), "largest": largest}


if __name__ == "__main__":
    question, *words = sys.argv[1:]
    print(json.dumps(machine() if question == "machine" else difference(*words)))
