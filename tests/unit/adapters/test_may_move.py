"""Whether somebody may move a version is what the server's status says, not what its words happen to hold."""

from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from predictflow.adapters import mlflow_store
from predictflow.adapters.mlflow_entities import Version
from stages.support.errors import UserError

VERSION = Version("churn-403", 1, "None", (), "r", 0, {"a": "b"}, "", "")
RIGHT = "lacks the right EDIT on the registered model churn-403 there (403)"


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (RestException({"error_code": "PERMISSION_DENIED", "message": "Permission denied"}), True),
        (MlflowException("failed with error code 403 != 200", error_code=PERMISSION_DENIED), True),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "pod 403 restarts"}), False),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no churn-403"}), False),
        (ConnectionError("http://127.0.0.1:4403 refuses the connection"), False),
    ],
    ids=["a code", "a status", "a number in a message", "a number in a name", "a number in an address"],
)
def test_a_right_is_missing_where_the_server_says_403(monkeypatch, error: Exception, lacks: bool):
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    client = SimpleNamespace(set_model_version_tag=refuse)
    monkeypatch.setattr(mlflow_store, "tracking_client", lambda uri: client)
    with pytest.raises(UserError) as told:
        mlflow_store.ensure_may_move(VERSION, "Production")
    assert (RIGHT in str(told.value)) == lacks and "Nothing was written" in str(told.value)
