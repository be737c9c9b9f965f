"""A person's mistake, or what the disk refuses, ends a stage with a sentence and its cure; a bug does not."""

import errno
import os

import pytest

from stages.support import errors
from stages.support.errors import UserError


def ended(error: Exception) -> str:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        errors.run(main)
    return str(ended.value.code)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)


def test_a_mistake_is_told_alone():
    assert ended(UserError("a is b.\nCure: c.")) == "ERROR: a is b.\nCure: c."


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EISDIR])
def test_what_the_disk_refuses_is_told_with_its_place_and_cure(number):
    error = OSError(
        number, os.strerror(number), "data/prepared/.train.parquet.tmp", None, "data/train.parquet"
    )
    said, cure = ended(error).splitlines()
    assert said == f"ERROR: data/train.parquet cannot be used: {os.strerror(number)}."
    assert cure.startswith("Cure: ")
    assert ended(OSError(number, os.strerror(number))).startswith(f"ERROR: {os.strerror(number)}.\nCure: ")


def test_a_bug_keeps_its_traceback():
    for error in (OSError(errno.EBADF, "a bug"), OSError("a bug"), ValueError("a bug")):
        with pytest.raises(type(error), match="a bug"):
            errors.run(lambda error=error: (_ for _ in ()).throw(error))


REFUSED = "API request to endpoint /api/2.0/mlflow/runs/create failed with error code {} != 200. Body: 'no'"


@pytest.mark.parametrize(
    ("env", "who"),
    [
        ({}, "somebody without a name (no MLFLOW_TRACKING_USERNAME)"),
        ({"MLFLOW_TRACKING_TOKEN": "s3cret"}, "the owner of a token (named by MLFLOW_TRACKING_TOKEN)"),
        ({"MLFLOW_TRACKING_USERNAME": "bo"}, "bo (named by MLFLOW_TRACKING_USERNAME)"),
        (
            {"MLFLOW_TRACKING_USERNAME": "bo", "MLFLOW_TRACKING_URI": "https://ada:s3cret@127.0.0.1:5000"},
            "ada (named by MLFLOW_TRACKING_URI)",
        ),
        ({"HOME": "here"}, "cleo (named by ~/.mlflow/credentials)"),
    ],
)
def test_a_server_that_refuses_is_told_with_whom_it_refuses_and_no_password(env, who, tmp_path, monkeypatch):
    for name in ("TOKEN", "USERNAME", "PASSWORD", "URI"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in env.items():
        monkeypatch.setenv(name, str(tmp_path / value) if name == "HOME" else value)
    file = tmp_path / "here/.mlflow/credentials"
    file.parent.mkdir(parents=True)
    file.write_text("[mlflow]\nmlflow_tracking_username = cleo\nmlflow_tracking_password = s3cret%\n")
    of_mlflow = type("MlflowException", (Exception,), {"__module__": "mlflow.exceptions"})
    refusals = {"401": f"does not let in {who} (401)", "403": f"does not let {who} do this: 403"}
    for code, expected in refusals.items():
        said = ended(of_mlflow(REFUSED.format(code)))
        assert expected in said and "\nCure: " in said and "s3cret" not in said
    assert errors.refusal(REFUSED.format("500")) is None
    said = ended(of_mlflow("request to https://ada:s3cret@127.0.0.1:5000/api failed"))
    assert "https://…@127.0.0.1:5000/api failed\nCure: " in said
