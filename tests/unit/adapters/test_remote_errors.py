"""What a remote's refusals are told as: which code, which key, which right, whose credentials."""

import errno

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from predictflow.adapters.remote_errors import RemoteQuestion, absent, explain

ASKED = RemoteQuestion(
    "s3://bucket/files/md5/ab/cd", "The keys are …WXYZ, of the environment (AWS_ACCESS_KEY_ID)"
)


def refusal(status: int, code: str, operation: str) -> OSError:
    """As s3fs raises it: its own error, of botocore's."""
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = OSError(errno.EIO, "told by nobody")
    error.__cause__ = ClientError(response, operation)
    return error


@pytest.mark.parametrize(
    ("operation", "right"),
    [
        ("ListObjectsV2", "s3:ListBucket"),
        ("HeadObject", "s3:GetObject"),
        ("PutObject", "s3:PutObject"),
        ("UploadPart", "s3:PutObject"),
        ("DeleteObject", "s3:DeleteObject"),
        ("ListMultipartUploads", "s3:ListBucketMultipartUploads"),
    ],
)
def test_a_403_names_its_key_the_right_that_is_missing_and_whose_credentials_asked(operation, right):
    told = explain(refusal(403, "AccessDenied", operation), ASKED)
    assert str(told).startswith("403 AccessDenied") and not told.transient
    for part in (ASKED.what, f"{right} is missing", "…WXYZ", "AWS_ACCESS_KEY_ID"):
        assert part in str(told)
    assert right in told.cure


@pytest.mark.parametrize(
    ("status", "code", "meaning", "transient"),
    [
        (403, "InvalidAccessKeyId", "no such access key", False),
        (403, "SignatureDoesNotMatch", "secret key", False),
        (400, "ExpiredToken", "expired", False),
        (400, "400", "does not take these keys", False),
        (403, "RequestTimeTooSkewed", "clock", False),
        (404, "NoSuchBucket", "no such bucket", False),
        (301, "PermanentRedirect", "another region", False),
        (404, "NoSuchKey", "is not there", False),
        (404, "", "no S3 server", False),
        (503, "SlowDown", "busy", True),
        (500, "InternalError", "busy or fails", True),
        (418, "Teapot", "418 Teapot", False),
    ],
)
def test_every_code_is_a_sentence_with_a_cure(status, code, meaning, transient):
    told = explain(refusal(status, code, "GetObject"), ASKED)
    assert meaning in str(told) and told.cure and told.transient == transient


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (NoCredentialsError(), "no credentials"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), "nothing answers"),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:9"), "no answer in time"),
        (ConnectionResetError("by peer"), "was cut"),
        (ValueError("what nobody foresaw"), "what nobody foresaw"),
    ],
)
def test_what_the_network_says_is_a_sentence_too(error, meaning):
    told = explain(error, ASKED)
    assert meaning in str(told) and told.cure


def test_a_full_disk_has_the_cure_of_a_full_disk():
    full = OSError(errno.ENOSPC, "No space left on device")
    assert "make room" in explain(full, ASKED).cure


def test_a_password_in_an_address_is_not_told():
    assert "secret" not in str(explain(OSError("http://ada:secret@127.0.0.1:9 is gone"), ASKED))


def test_only_a_404_says_that_an_object_is_not_there():
    assert absent(refusal(404, "404", "HeadObject")) and absent(FileNotFoundError("files/md5/ab/cd"))
    for error in (
        refusal(403, "403", "HeadObject"),
        refusal(404, "NoSuchBucket", "HeadObject"),
        ValueError(),
    ):
        assert not absent(error)
    unreached = FileNotFoundError("http://127.0.0.1:9")
    unreached.__cause__ = ConnectionRefusedError()
    assert not absent(unreached)
