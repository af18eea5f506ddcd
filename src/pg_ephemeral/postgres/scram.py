"""SCRAM-SHA-256: what a server stores of a password, and how a client proves it (RFC 5802, RFC 7677). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from pg_ephemeral.errors import ClientError

#: As PostgreSQL lists it among the mechanisms (PostgreSQL manual, "SASL Authentication").
MECHANISM = "SCRAM-SHA-256"

#: PostgreSQL's own default for ``scram_iterations``.
ITERATIONS = 4096

#: How long PostgreSQL's own salts are.
SALT_BYTES = 16

#: "This client does not bind to a channel", as it is and in Base64.
_UNBOUND = "n,,"
_UNBOUND_TEXT = "biws"


def verifier(password: str, salt: bytes, *, iterations: int = ITERATIONS) -> str:
    """The text of ``pg_authid.rolpassword`` for an ASCII ``password`` (PostgreSQL manual, "pg_authid").

    Raises ``UnicodeEncodeError`` for a password that is not ASCII, which would have to be normalised first.
    """
    salted = _salted(password, salt, iterations)
    stored = hashlib.sha256(_client_key(salted)).digest()
    return f"{MECHANISM}${iterations}:{_text(salt)}${_text(stored)}:{_text(_server_key(salted))}"


class Proof:
    """A client's side of one exchange, for an ASCII password; ``nonce`` is printable, without commas, and used once.

    The user is the one the connection was begun for, and is not said again.
    """

    def __init__(self, password: str, nonce: str) -> None:
        self._password = password
        self._first = f"n=,r={nonce}"
        self._nonce = nonce
        self._signature = b""
        #: Whether the server has shown that it knows the password.
        self.returned = False

    def first(self) -> str:
        """The message that begins the exchange."""
        return _UNBOUND + self._first

    def final(self, challenge: str) -> str:
        """The answer to the server's first message. Raises ``ClientError`` for one that makes no sense."""
        said = _attributes(challenge)
        try:
            nonce, salt, iterations = said["r"], base64.b64decode(said["s"], validate=True), int(said["i"])
        except (KeyError, ValueError) as error:
            raise ClientError("the server's challenge for the password cannot be read") from error
        if not nonce.startswith(self._nonce) or iterations < 1:
            raise ClientError("the server's challenge for the password is none for this connection")
        salted = _salted(self._password, salt, iterations)
        unproven = f"c={_UNBOUND_TEXT},r={nonce}"
        signed = f"{self._first},{challenge},{unproven}".encode()
        key = _client_key(salted)
        mask = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        self._signature = hmac.digest(_server_key(salted), signed, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, mask, strict=True))
        return f"{unproven},p={_text(proof)}"

    def check(self, outcome: str) -> None:
        """Whether the server's last message shows that it knows the password, too. Raises ``ClientError``."""
        if not hmac.compare_digest(_attributes(outcome).get("v", ""), _text(self._signature)):
            raise ClientError("the server does not know the password that it was given")
        self.returned = True


def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)


def _client_key(salted: bytes) -> bytes:
    return hmac.digest(salted, b"Client Key", "sha256")


def _server_key(salted: bytes) -> bytes:
    return hmac.digest(salted, b"Server Key", "sha256")


def _attributes(message: str) -> Mapping[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in message.split(","))}


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
