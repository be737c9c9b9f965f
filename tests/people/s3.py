"""A real S3 server on this machine, with users and their rights, and a proxy before it that fails as told.

The server is moto's: signatures are checked, and each action against the policies. It keeps all in memory.
"""

import json
import logging
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RIGHTS = {  # moto asks for s3:HeadBucket where AWS asks for s3:ListBucket
    "owner": ["s3:*"],
    "reader": ["s3:ListBucket", "s3:HeadBucket", "s3:GetObject"],
    "lister": ["s3:ListBucket", "s3:HeadBucket"],
    "writer": ["s3:ListBucket", "s3:HeadBucket", "s3:PutObject"],
    "unlisting": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
    "undeleting": ["s3:ListBucket", "s3:HeadBucket", "s3:GetObject", "s3:PutObject"],
    "nobody": [],
}
Keys = tuple[str, str]  # an access key and its secret


@dataclass
class S3:
    """A server that knows some users.

    Attributes:
        keys: of each user.
    """

    host: str
    port: int
    keys: dict[str, Keys] = field(default_factory=dict)
    _buckets: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self, user: str = "owner") -> Any:
        """boto3's client, to arrange and to look."""
        return self._client("s3", *self.keys.get(user, ("any", "any")))

    def _client(self, service: str, key: str, secret: str) -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )

    def bucket(self) -> str:
        """A new bucket."""
        self._buckets += 1
        name = f"bucket-{self._buckets}"
        self.client().create_bucket(Bucket=name)
        return name

    def add_users(self) -> None:
        iam = self._client("iam", "any", "any")
        for user, actions in RIGHTS.items():
            iam.create_user(UserName=user)
            if actions:
                policy = {"Effect": "Allow", "Action": actions, "Resource": "*"}
                document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
                iam.put_user_policy(UserName=user, PolicyName="rights", PolicyDocument=document)
            made = iam.create_access_key(UserName=user)["AccessKey"]
            self.keys[user] = made["AccessKeyId"], made["SecretAccessKey"]
        # From here on each request must be signed by one who may; told as plain text, or moto reads a form.
        words = {"data": b"0", "method": "POST", "headers": {"Content-Type": "text/plain"}}
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset-auth", **words)).close()


@contextmanager
def s3_server() -> Iterator[S3]:
    """A server on a free port, with all users, until the block ends."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        made = S3(*server.get_host_and_port())
        made.add_users()
        yield made
    finally:
        server.stop()


# --- The proxy -------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """What goes back to who asked."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Request:
    """What was asked.

    Attributes:
        object: the md5 that it is about; empty for none.
        count: how many of its method came before it.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    count: int

    @property
    def object(self) -> str:
        found = re.search(r"/files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)(?:\?|$)", self.path)
        return found[1] + found[2] if found else ""


Forward = Callable[[], Answer]
Fault = Callable[[Request, Forward], Answer | None]  # None: the connection is cut


def error(status: int, code: str, method: str = "GET") -> Answer:
    """S3's way to refuse; a HEAD gets no reason."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
    return Answer(status, {"Content-Type": "application/xml"}, b"" if method == "HEAD" else text)


PAGE = b"<!DOCTYPE html><html><body>Welcome to the console</body></html>"


def page(status: int, request: Request) -> Answer:
    """What a console's port, or a network's login, sends to anybody."""
    return Answer(status, {"Content-Type": "text/html"}, b"" if request.method == "HEAD" else PAGE)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Proxy"

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        with self.server.counting:
            count = self.server.counts.get(self.command, 0)
            self.server.counts[self.command] = count + 1
        request = Request(self.command, self.path, dict(self.headers), self.rfile.read(length), count)
        answer = self.server.fault(request, lambda: self._forward(request))
        self.close_connection = True
        if answer is None:
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815

    def _forward(self, request: Request) -> Answer:
        upstream = HTTPConnection(*self.server.upstream, timeout=60)
        try:
            upstream.request(request.method, request.path, request.body, request.headers)
            answer = upstream.getresponse()
            left_out = ("transfer-encoding", "connection", "date", "server")
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in left_out}
            return Answer(answer.status, headers, answer.read())
        finally:
            upstream.close()

    def log_message(self, *words: object) -> None:
        """Say nothing."""


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: tuple[str, int], fault: Fault) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.fault = upstream, fault
        self.counts: dict[str, int] = {}
        self.counting = threading.Lock()

    def handle_error(self, request: Any, address: Any) -> None:
        """A client that went away is none."""


@contextmanager
def proxy(server: S3, fault: Fault) -> Iterator[str]:
    """The address of a proxy before a server."""
    made = _Proxy((server.host, server.port), fault)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of one that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def refusing_address() -> Iterator[str]:
    """An address at which nobody listens, nor can: it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
