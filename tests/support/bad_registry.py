"""A registry that misbehaves on order: a small one in memory, whose answers a test replaces one by one.

It runs in a thread of the test. What is not replaced is answered as a registry should.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pg_ephemeral.oci.reference import Name


@dataclass(frozen=True)
class Request:
    """``client`` is the port it came from: the same for requests of one connection."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    client: int = 0

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


@dataclass(frozen=True)
class Reply:
    """``cut`` closes the connection after so many bytes of the body, once ``held`` is set; ``hang_up`` before any.

    ``raw`` is sent as it is, in whatever protocol, and nothing else.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    held: threading.Event | None = None
    hang_up: bool = False
    raw: bytes | None = None


Script = Callable[[Request], Reply | None]


def error(status: int, code: str = "", message: str = "", **headers: str) -> Reply:
    """An error as the distribution specification has it."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode() if code else message.encode()
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def once(*replies: Reply | None) -> Script:
    """Answer so, one after the other, None meaning properly; and properly from then on."""
    left = list(replies)
    return lambda _request: left.pop(0) if left else None


def always(reply: Reply) -> Script:
    return lambda _request: reply


class BadRegistry:
    """Everything it was asked is in ``requests``. Scripts are tried in the order they were added."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._uploads: dict[str, bytes] = {}
        self._numbers = itertools.count()
        self._scripts: list[tuple[str, re.Pattern[str], Script]] = []
        self._guard = threading.Lock()
        self.port = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def repository(self, path: str = "owner/app") -> Name:
        return Name.parse(f"{self.host}/{path}")

    def on(self, method: str, path: str, script: Script, *, first: bool = False) -> None:
        """Ask ``script`` about requests whose method and path (a regular expression for all of it) fit.

        It is asked after those that were added before, or ``first`` of all.
        """
        self._scripts.insert(0 if first else len(self._scripts), (method, re.compile(path), script))

    def asked(self, method: str, path: str = ".*") -> list[Request]:
        return [one for one in self.requests if one.method == method and re.fullmatch(path, one.path)]

    def keep_blob(self, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return digest

    def keep_manifest(self, path: str, tag: str, media_type: str, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        for name in (tag, digest):
            self.manifests[path, name] = (media_type, data)
        return digest

    def answer(self, request: Request) -> Reply:
        with self._guard:
            self.requests.append(request)
        for method, path, script in self._scripts:
            if method in (request.method, "*") and path.fullmatch(request.path):
                reply = script(request)
                if reply is not None:
                    return reply
        return self.properly(request)

    def properly(self, request: Request) -> Reply:
        """Answer as a registry should."""
        with self._guard:
            return self._known(request)

    def _known(self, request: Request) -> Reply:
        if request.path == "/v2/":
            return Reply(body=b"{}")
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs/uploads|blobs)/([^/]*)", request.path)
        if match is None:
            return error(404, "UNSUPPORTED", "no such place")
        path, kind, name = match.groups()
        if kind == "manifests":
            return self._manifest(request, path, name)
        return self._upload(request, path, name) if kind == "blobs/uploads" else self._blob(request, name)

    def _manifest(self, request: Request, path: str, name: str) -> Reply:
        if request.method == "PUT":
            digest = self.keep_manifest(path, name, request.headers["content-type"], request.body)
            return Reply(201, headers={"Docker-Content-Digest": digest})
        if (path, name) not in self.manifests:
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, data = self.manifests[path, name]
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return Reply(body=data, headers={"Content-Type": media_type, "Docker-Content-Digest": digest})

    def _blob(self, request: Request, digest: str) -> Reply:
        if digest not in self.blobs:
            return error(404, "BLOB_UNKNOWN", "blob unknown")
        data = self.blobs[digest]
        if match := re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")):
            start = int(match[1])
            headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return Reply(206, data[start:], headers)
        return Reply(body=data)

    def _upload(self, request: Request, path: str, name: str) -> Reply:
        if request.method == "POST":
            name = f"upload-{next(self._numbers)}"
            self._uploads[name] = b""
            return Reply(202, headers={"Location": f"/v2/{path}/blobs/uploads/{name}?state=a%2Fb"})
        if name not in self._uploads or request.query.get("state") != ["a/b"]:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown")
        self._uploads[name] += request.body
        if request.method == "PATCH":
            end = len(self._uploads[name]) - 1
            return Reply(202, headers={"Location": f"{name}?state=a%2Fb", "Range": f"0-{end}"})
        if request.method == "DELETE":
            return Reply(204)
        data = self._uploads.pop(name)
        if request.query["digest"] != [f"sha256:{hashlib.sha256(data).hexdigest()}"]:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.keep_blob(data)
        return Reply(201)


@contextmanager
def running(port: int = 0) -> Iterator[BadRegistry]:
    """One of them, on this port or a free one, over plain HTTP."""
    registry = BadRegistry()

    class Handler(_Handler):
        asked = registry

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: BadRegistry

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _do(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        chunked = headers.get("transfer-encoding") == "chunked"
        body = self._chunks() if chunked else self.rfile.read(int(headers.get("content-length", "0")))
        request = Request(self.command, parts.path, parse_qs(parts.query), headers, body, self.client_address[1])
        reply = self.asked.answer(request)
        if reply.hang_up or reply.raw is not None:
            self.close_connection = True
            self.wfile.write(reply.raw or b"")
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(reply.body[: reply.cut])
        if reply.cut is not None:
            self.close_connection = True
            if reply.held is not None:
                self.wfile.flush()
                reply.held.wait(60)

    def _chunks(self) -> bytes:
        """A body whose length is not announced, as engines send blobs."""
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815 -- http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- http.server's name
        """Say nothing."""
