"""A side of a comparison tells what made its model, also one that is older than some of today's params."""

from predictflow.lineage.sides import _whole


def test_a_model_that_is_older_than_the_engines_learned_in_one_process_on_the_cpu():
    assert _whole({"train.model": "xgboost", "seed": 7}) == {
        "train.model": "xgboost",
        "seed": 7,
        "train.engine": "local",
        "train.workers": 1,
        "train.partitions": 1,
        "train.device": "cpu",
    }
    assert _whole({"train.model": "xgboost", "train.engine": "dask"})["train.engine"] == "dask"


def test_where_no_training_is_told_nothing_is_added():
    assert _whole({}) == {}
