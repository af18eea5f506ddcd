"""SCRAM verifiers: what a server stores of a password, made without a server (RFC 5802, RFC 7677). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac

#: PostgreSQL's own default for ``scram_iterations``.
ITERATIONS = 4096


def verifier(password: str, salt: bytes, *, iterations: int = ITERATIONS) -> str:
    """The text of ``pg_authid.rolpassword`` for an ASCII ``password`` (PostgreSQL manual, "pg_authid").

    Raises ``UnicodeEncodeError`` for a password that is not ASCII, which would have to be normalised first.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
