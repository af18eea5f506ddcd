"""A token server for the real registry: gives whoever logs in, or anybody, tokens for what they may do.

The token protocol of registries, with tokens as distribution wants them: JWTs signed by a key it knows (ES256).
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from support.bad_registry import BadRegistry, Reply, Request, running

ISSUER = "the test's token server"
SERVICE = "the test registry"


class TokenServer:
    """Anybody may pull what begins with ``public/``; the one user may do everything."""

    def __init__(self, web: BadRegistry, directory: Path, login: str) -> None:
        self._web = web
        self._login = login
        authority = trustme.CA()
        signer = authority.issue_cert("signer.test")
        key = serialization.load_pem_private_key(signer.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._chain = ["".join(blob.bytes().decode().strip().splitlines()[1:-1]) for blob in signer.cert_chain_pems]
        self._authority = directory / "token-authority.crt"
        authority.cert_pem.write_to_path(str(self._authority))
        web.on("GET", "/token", self._give)

    @property
    def settings(self) -> dict[str, Any]:
        """What goes into the registry's configuration."""
        return {
            "token": {
                "realm": f"http://{self._web.host}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(self._authority),
            }
        }

    @property
    def requests(self) -> list[Request]:
        return self._web.requests

    def _give(self, request: Request) -> Reply:
        known = request.authorization == "Basic " + base64.b64encode(self._login.encode()).decode()
        if request.authorization is not None and not known:
            return Reply(401, b'{"details":"incorrect username or password"}')
        access = [granted for scope in request.query.get("scope", []) if (granted := _granted(scope, known=known))]
        return Reply(body=json.dumps({"token": self._sign(access), "expires_in": 300}).encode())

    def _sign(self, access: list[dict[str, Any]]) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "tester",
            "exp": now + 300,
            "nbf": now - 60,
            "iat": now,
            "jti": str(now),
            "access": access,
        }
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (self._header(), claims))
        r, s = utils.decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _header(self) -> dict[str, Any]:
        return {"typ": "JWT", "alg": "ES256", "x5c": self._chain}


@contextmanager
def token_server(directory: Path, login: str) -> Iterator[TokenServer]:
    """Run one that knows ``login``, ``user:password``; its certificate goes into ``directory``."""
    with running() as web:
        yield TokenServer(web, directory, login)


def _granted(scope: str, *, known: bool) -> dict[str, Any] | None:
    match = re.fullmatch(r"repository:([^:]+):([a-z,]+)", scope)
    if match is None:
        return None
    asked = set(match[2].split(","))
    allowed = asked & ({"pull", "push"} if known else {"pull"} if match[1].startswith("public/") else set())
    return {"type": "repository", "name": match[1], "actions": sorted(allowed)} if allowed else None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
