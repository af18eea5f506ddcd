"""A real registry for tests: distribution's ``docker-registry``, on a free port of this machine, in a directory.

Over plain HTTP for all, or over TLS for one user. It ends with the tests, however these end.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pg_ephemeral.oci.reference import Name

PROGRAM = "docker-registry"
USER = "tester"
PASSWORD = "for-the-tests-alone"

#: The password as the registry wants it, in bcrypt.
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuOyRDwMrsMgN.ynrD9Ibng/qq4IoLGWW\n"

#: Becomes the registry's parent, and ends it when the pipe on stdin is closed, as it is when we end.
_GUARD = '"$@" & child=$!; read -r _; kill "$child"; wait "$child"'

_LISTENING = re.compile(r'msg="listening on 127\.0\.0\.1:(\d+)')
_MARKER = "how-far-are-you-"
_REQUEST = re.compile(r'"([A-Z]+) (/v2/\S*) HTTP/[\d.]+" (\d{3})')


@dataclass
class Registry:
    """A running registry. ``log`` are its log lines so far; ``authority`` is its CA's file, when it has TLS."""

    port: int
    directory: Path
    authority: Path | None = None
    log: list[str] = field(default_factory=list)
    logged: threading.Condition = field(default_factory=threading.Condition)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def places(self) -> tuple[Path, ...]:
        """A ``certs.d`` directory that makes its authority known, beside it."""
        return () if self.authority is None else (self.authority.parent.parent,)

    def repository(self, path: str) -> Name:
        return Name.parse(f"{self.host}/{path}")

    def requests(self) -> list[tuple[str, str, int]]:
        """Method, path and status of every request that has been answered so far, in order."""
        marker = f"/v2/{_MARKER}{secrets.token_hex(8)}"
        if self.authority is None:
            connection = http.client.HTTPConnection(self.host, timeout=30)
        else:
            context = ssl.create_default_context(cafile=str(self.authority))
            connection = http.client.HTTPSConnection(self.host, timeout=30, context=context)
        with closing(connection):
            connection.request("GET", marker)
            connection.getresponse().read()
        # The log is written in the order of the answers, and read by a thread of ours.
        with self.logged:
            assert self.logged.wait_for(lambda: any(marker in line for line in self.log), 30)
            lines = list(self.log)
        found = [(match[1], match[2], int(match[3])) for line in lines if (match := _REQUEST.search(line))]
        return [one for one in found if _MARKER not in one[1]]

    def blob_file(self, digest: str) -> Path:
        """Where it keeps a blob, for tests that damage it."""
        algorithm, _, value = digest.partition(":")
        return self.directory / f"docker/registry/v2/blobs/{algorithm}/{value[:2]}/{value}/data"


def unavailable() -> str | None:
    """Why there can be no registry here; None when there can."""
    return None if shutil.which(PROGRAM) else f"{PROGRAM} is not installed"


@contextmanager
def running(
    directory: Path, *, tls: bool = False, login: bool = False, auth: dict[str, Any] | None = None
) -> Iterator[Registry]:
    """A registry that keeps everything below ``directory``; with ``login``, only ``USER`` with ``PASSWORD`` may in.

    ``auth`` is another way of deciding who may, as in the registry's configuration.
    """
    data = directory / "data"
    data.mkdir(parents=True)
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", "secret": "one registry, one secret"},
    }
    if auth is not None:
        settings["auth"] = auth
    authority = None
    if tls:
        authority = _authority(directory, settings)
    if login:
        (directory / "htpasswd").write_text(_HTPASSWD)
        settings["auth"] = {"htpasswd": {"realm": "the test registry", "path": str(directory / "htpasswd")}}
    configuration = directory / "config.yml"
    configuration.write_text(json.dumps(settings))  # YAML by being JSON
    child = subprocess.Popen(
        ("sh", "-c", _GUARD, "registry-guard", PROGRAM, "serve", str(configuration)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    registry = Registry(port=0, directory=data, authority=authority)
    listening = threading.Event()
    reader = threading.Thread(target=_follow, args=(child, registry, listening), daemon=True)
    reader.start()
    try:
        listening.wait(30)
        assert registry.port, "".join(registry.log)
        if authority is not None:
            place = authority.parent / registry.host
            place.mkdir()
            shutil.copy(authority, place / "ca.crt")
            registry.authority = place / "ca.crt"
        yield registry
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(30)
        reader.join(30)


def _authority(directory: Path, settings: dict[str, Any]) -> Path:
    import trustme

    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    places = directory / "certs.d"
    places.mkdir()
    certificate, key = directory / "server.crt", directory / "server.key"
    server.private_key_pem.write_to_path(str(key))
    certificate.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    settings["http"]["tls"] = {"certificate": str(certificate), "key": str(key)}
    authority.cert_pem.write_to_path(str(places / "authority.crt"))
    return places / "authority.crt"


def _follow(child: subprocess.Popen[str], registry: Registry, listening: threading.Event) -> None:
    assert child.stdout is not None
    with child.stdout as lines:
        for line in lines:
            with registry.logged:
                registry.log.append(line)
                registry.logged.notify_all()
            if not registry.port and (found := _LISTENING.search(line)):
                registry.port = int(found[1])
                listening.set()
    listening.set()
