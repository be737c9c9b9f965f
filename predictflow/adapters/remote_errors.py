"""What a remote's refusals mean: S3's codes as sentences, the right that is missing, and whose keys asked."""

from collections.abc import Iterator
from dataclasses import dataclass

from predictflow.errors import Unreachable, masked, system_cure

# The right that each of S3's operations needs (IAM's action).
RIGHTS = {
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}
OF_THE_BUCKET = ("s3:ListBucket", "s3:ListBucketMultipartUploads")  # asked of it, not of its objects
RIGHTS_PAGE = "docs/remote.md#rights"
NO_S3 = "what answers there is no S3 server: a web page, as of a console's port, a proxy or a network's login"
NO_S3_CURE = (
    "correct the address (`dvc remote modify --local s3remote endpointurl URL`), or log in to the network"
)
NEW_TOKEN = "get new keys (`aws sso login`, or whoever gave them), and ask again"
NO_ANSWER_CURE = "`curl -I` the address from here: is the network up, the address right, a proxy in between?"
LATER = "wait a little and ask again: what was transferred stays"
# By S3's code: what it means, and what cures it.
CODES = {
    "InvalidAccessKeyId": ("the server knows no such access key", "correct the access key"),
    "SignatureDoesNotMatch": (
        "the secret key is not the one of this access key",
        "correct the secret key where these keys are kept",
    ),
    "ExpiredToken": ("the session token has expired", NEW_TOKEN),
    "ExpiredTokenException": ("the session token has expired", NEW_TOKEN),
    "InvalidToken": ("the session token is not valid", NEW_TOKEN),
    "TokenRefreshRequired": ("the session token must be refreshed", NEW_TOKEN),
    "RequestExpired": (
        "the request came too late: the clock here is off, or the token has expired",
        NEW_TOKEN,
    ),
    "RequestTimeTooSkewed": (
        "the clock of this machine and the server's are more than 15 minutes apart",
        "set the clock here (`timedatectl set-ntp true`)",
    ),
    "NoSuchBucket": (
        "there is no such bucket",
        "make it (`aws s3 mb s3://BUCKET`), or correct its name (`dvc remote modify s3remote url s3://BUCKET`)",
    ),
    "PermanentRedirect": (
        "the bucket is in another region",
        "`dvc remote modify --local s3remote region REGION` (or AWS_REGION)",
    ),
    "AuthorizationHeaderMalformed": (
        "the request was signed for another region",
        "`dvc remote modify --local s3remote region REGION` (or AWS_REGION)",
    ),
}
TRANSIENT = ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "502", "503", "504")
# By the class of what the network or botocore raises.
SILENT = ("ReadTimeoutError", "ConnectTimeoutError", "FSTimeoutError", "TimeoutError", "ServerTimeoutError")
CUT = (
    *("ConnectionClosedError", "ClientPayloadError", "ContentLengthError", "IncompleteRead"),
    *("IncompleteReadError", "ResponseStreamingError", "ServerDisconnectedError", "ConnectionResetError"),
)
REFUSED = (
    "EndpointConnectionError",
    "ConnectionRefusedError",
    "ProxyConnectionError",
    "ClientConnectorError",
)


@dataclass(frozen=True)
class RemoteQuestion:
    """What was asked of a remote.

    Attributes:
        what: its place, as s3://bucket/files/md5/ab/cd….
        whose: with whose credentials.
        right: IAM's action where the error names no operation.
    """

    what: str
    whose: str
    right: str | None = None


class RemoteError(Unreachable):
    """A remote that refused, failed, or did not answer.

    Attributes:
        cure: what to do about it.
        transient: whether the same question may be answered a moment later.
    """

    def __init__(self, message: str, cure: str, transient: bool = False) -> None:
        super().__init__(masked(message))
        self.cure, self.transient = cure, transient


def explain(error: BaseException, asked: RemoteQuestion) -> RemoteError:
    """An error of a remote's as a sentence that names code, key, missing right and credentials."""
    for cause in causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return _of_response(response, getattr(cause, "operation_name", ""), asked)
    return _of_network(error, asked)


def absent(error: BaseException) -> bool:
    """Whether an error says that there is no such object, and not that nothing could be asked."""
    for cause in causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return response["Error"].get("Code") in ("404", "NoSuchKey")
    # fsspec says so, too, of a web server that it cannot reach.
    others = [cause for cause in causes(error) if isinstance(cause, OSError)]
    return bool(others) and all(isinstance(cause, FileNotFoundError) for cause in others)


def code_of(error: BaseException) -> str:
    """S3's code of what it refused; empty of an error that is not S3's."""
    for cause in causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return str(response["Error"].get("Code") or "")
    return ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came from, and so on."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _of_response(response: dict, operation: str, asked: RemoteQuestion) -> RemoteError:
    code = str(response["Error"].get("Code") or "")
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or "")
    told = code if code.startswith(status) else f"{status} {code}".strip()
    right = RIGHTS.get(operation, asked.right)
    if not code or (operation == "ListObjectsV2" and code.isdigit() and status == "404"):
        return RemoteError(f"{status} for {asked.what}: {NO_S3}", NO_S3_CURE)
    if code in CODES:
        meaning, cure = CODES[code]
        return RemoteError(f"{told} for {asked.what}: {meaning}. {asked.whose}", cure)
    if code in TRANSIENT or status in TRANSIENT:
        return RemoteError(f"{told} for {asked.what}: the server is busy or fails", LATER, transient=True)
    if status == "404":
        return RemoteError(f"{told}: {asked.what} is not there", "push it again from where it is")
    if status in ("401", "403"):
        message = f"{told} for {asked.what}: the right {right} is missing. {asked.whose}"
        return RemoteError(message, _grant(right))
    if status == "400":
        why = "the server does not take these keys: expired, or of another place"
        return RemoteError(f"{told} for {asked.what}: {why}. {asked.whose}", NEW_TOKEN)
    message = response["Error"].get("Message") or "no reason is told"
    return RemoteError(f"{told} for {asked.what}: {message}. {asked.whose}", NO_ANSWER_CURE)


def _grant(right: str | None) -> str:
    on = "the bucket" if right in OF_THE_BUCKET else "its objects"
    return f"whoever owns the bucket grants {right} on {on} to these keys ({RIGHTS_PAGE})"


def _of_network(error: BaseException, asked: RemoteQuestion) -> RemoteError:
    names = {type(cause).__name__ for cause in causes(error)}
    text = " ".join(str(error).split()) or type(error).__name__
    if names & {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
    }:
        cure = "set AWS_PROFILE, or `dvc remote modify --local s3remote profile NAME` (docs/remote.md#keys)"
        return RemoteError(f"no credentials for {asked.what}: {text}", cure)
    if "ResponseParserError" in names:
        return RemoteError(f"{asked.what}: {NO_S3}", NO_S3_CURE)
    if names & {"FlexibleChecksumError", "ChecksumMismatchError"}:
        return RemoteError(
            f"{asked.what}: what came is not what the server's own checksum says ({text})",
            LATER,
            transient=True,
        )
    if names & set(SILENT):
        return RemoteError(f"no answer in time for {asked.what}: {text}", NO_ANSWER_CURE, transient=True)
    if names & set(CUT):
        return RemoteError(f"the connection was cut at {asked.what}: {text}", LATER, transient=True)
    if names & set(REFUSED):
        return RemoteError(f"nothing answers for {asked.what}: {text}", NO_ANSWER_CURE, transient=True)
    return RemoteError(f"{asked.what}: {text}", system_cure(text) or NO_ANSWER_CURE)
