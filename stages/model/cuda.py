"""Is there a GPU that XGBoost can learn on?"""

import json
import warnings

from stages.support.errors import UserError


def ensure_cuda() -> None:
    """Raise UserError where XGBoost finds no CUDA device: it would go on with the CPU, with no more than a
    warning, and give another model than params.yaml says.

    XGBoost itself is asked, by a model of two rows: its build, the driver and the GPU must all be there.
    """
    import numpy as np
    import xgboost

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = xgboost.DMatrix(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]))
        tried = xgboost.train({"device": "cuda", "tree_method": "hist"}, pair, num_boost_round=1)
    used = json.loads(tried.save_config())["learner"]["generic_param"]["device"]
    if not used.startswith("cuda"):
        raise UserError(
            "train.device in params.yaml is cuda, but XGBoost finds no CUDA device here.\n"
            "Cure: train where `nvidia-smi` shows one, or set train.device to cpu, which is another model."
        )
